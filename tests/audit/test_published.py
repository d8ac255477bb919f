"""The table of the study's own results."""

import pandas as pd
import pytest

from segnb.audit import scores
from segnb.labels import STREET
from tests.conftest import CHECKOUT

REFERENCE = CHECKOUT.parent / "shared" / "reference" / "published.csv"


def test_published_table_has_the_variants_and_classes():
    table = scores.published()
    assert list(table.columns) == ["reported_test_miou", "mean_of_class_iou", *STREET.names]
    assert len(table) == 10 and table.index.is_unique
    assert {"FCN8s_vgg16_finetune", "UNet_Standard_256", "AttentionResidualUNet_256"} <= set(table.index)
    assert ((table >= 0) & (table <= 1)).all(axis=None)


def test_published_means_are_the_means_of_their_columns():
    table = scores.published()
    means = table[list(STREET.names)].mean(axis=1)
    assert (means - table["mean_of_class_iou"]).abs().max() <= 0.0005 + 1e-9  # three decimals


def test_published_table_is_the_reference():
    if not REFERENCE.is_file():
        pytest.skip("no ../shared/reference next to the repository")
    pd.testing.assert_frame_equal(scores.published(), pd.read_csv(REFERENCE, index_col="variant"))
