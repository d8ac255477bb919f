"""TODO segnb.audit.scores.published"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    pass


def published() -> pd.DataFrame:
    """The study's own results, one row a variant (the index), all numbers from 0 to 1.

    reported_test_miou:  the test score that the study prints, three decimals (see `as_published_score`)
    Unlabeled … Traffic sign: test IoU of each class, read off the study's bar charts to about ±0.003;
                         0 where no bar is drawn
    mean_of_class_iou:   the mean of those thirteen, three decimals
    """
    return pd.read_csv(Path(__file__).with_name("published.csv"), index_col="variant")


def published_shares() -> pd.DataFrame:
    """pixel_share and image_share, 0 to 1, by class in the study's 2,000 training images."""
    return pd.read_csv(Path(__file__).with_name("published_shares.csv"), index_col="class")
