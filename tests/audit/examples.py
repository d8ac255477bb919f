"""Made-up runs: as much of an evaluated run as the audit looks at."""

from types import SimpleNamespace

import numpy as np
import torch

from segnb.labels import IGNORE_INDEX, STREET
from segnb.metrics import confusion
from segnb.metrics.published_score import as_published_score

NAMES = ("UNet_Standard_256", "UNet_NoSkip_256", "AttentionUNet_256")
MISSED = ("Fence", "Pole", "Pedestrian")


def made_run(variant: str, seed: int, labels, predictions, classes=STREET):
    """As much of a measured run as the audit looks at, from label maps (N, H, W)."""
    labels, predictions = np.asarray(labels, np.uint8), np.asarray(predictions, np.uint8)
    counts = confusion.confusion(torch.from_numpy(labels), torch.from_numpy(predictions), len(classes))
    void = labels == IGNORE_INDEX
    plain = np.where(void, 0, labels), np.where(void, 0, predictions)
    score = as_published_score(*plain, len(classes))
    test = {"confusion": counts.numpy(), "as_published": np.array(score)}
    test["names"] = np.array([f"test {i}" for i in range(len(labels))])
    kept = {"labels": labels, "predictions": predictions}
    study = SimpleNamespace(classes=classes)
    return SimpleNamespace(
        variant=variant, seed=seed, study=study, test=lambda: test, predictions=lambda: kept
    )


def street(seed: int = 0, right: float = 0.8, missed: tuple[str, ...] = ()):
    """Labels and predictions (6, 16, 16): a share of the pixels right, some classes always taken for Road."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 13, (6, 16, 16))
    predictions = np.where(draw.random(labels.shape) < right, labels, draw.integers(0, 13, labels.shape))
    predictions[np.isin(labels, [STREET.id(name) for name in missed])] = STREET.id("Road")
    for name in missed:
        predictions[predictions == STREET.id(name)] = STREET.id("Road")
    return labels, predictions
