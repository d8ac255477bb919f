"""Widths of transitions across true edges: ramps, steps, and a comparison with a loop over edges."""

import numpy as np
import pytest
import torch

from segnb.labels import IGNORE_INDEX
from segnb.metrics import boundaries
from segnb.metrics.softness import Softness

from .maps import CLASSES, scenes


def ramp(centre: float, width: float, size: int = 64, sure: float = 1 - 1e-9) -> torch.Tensor:
    """Make logits (1, 3, size, size) whose share of class 0 falls over `width` px at `centre`.

    It falls from `sure` to 1 - `sure`.
    """
    share = 1 - sure + (2 * sure - 1) * np.clip(0.5 - (np.arange(size) - centre) / width, 0, 1)
    logits = torch.full((1, 3, size, size), -4.0)
    logits[0, 0] = torch.from_numpy(np.log(share)).float()
    logits[0, 1] = torch.from_numpy(np.log(1 - share)).float()
    return logits


def halves(size: int = 64) -> np.ndarray:
    labels = np.zeros((1, size, size), np.uint8)
    labels[..., size // 2 :] = 1
    return labels


def width(softness: Softness) -> float:
    found = softness.statistics()
    return boundaries.softness(found["softness_sum"].sum(), found["softness_count"].sum())


@pytest.mark.parametrize("sure", [1 - 1e-9, 0.9, 0.6])
@pytest.mark.parametrize("turn", [False, True])
def test_a_ramp_is_as_wide_as_it_is_however_sure_the_network(turn, sure):
    labels = np.zeros((1, 256, 256), np.uint8)
    labels[..., 128:] = 1
    for wide in (4.0, 6.0, 9.0):
        for shift in (0, 2):
            logits = ramp(127.5 + shift, wide, 256, sure)
            softness = Softness(labels.transpose(0, 2, 1) if turn else labels)
            softness.see(logits.transpose(2, 3) if turn else logits)
            assert width(softness) == pytest.approx(wide, rel=0.05)
            assert softness.statistics()["softness_count"] == 256


@pytest.mark.parametrize("sure", [1 - 1e-9, 0.9])
def test_a_step_has_no_width_and_a_transition_elsewhere_is_missing(sure):
    found = []
    for centre in (31.5, 31.5 + 10):  # reach is 4 px
        softness = Softness(halves())
        softness.see(ramp(centre, 0.5, sure=sure))
        found.append(softness.statistics())
    assert boundaries.softness(*(found[0][f"softness_{name}"] for name in ("sum", "count"))) < 1e-5
    missing = [boundaries.missing_edges(f["softness_count"], f["softness_edges"])[0] for f in found]
    assert missing == [0, 1] and np.isnan(boundaries.softness(0, 0))


def test_softness_against_a_loop_over_edges_batch_by_batch():
    _, labels, _ = scenes(count=5, size=40, void=True, seed=3)
    logits = torch.from_numpy(np.random.default_rng(1).normal(size=(5, CLASSES, 40, 40)).astype(np.float32))
    truth = torch.from_numpy(np.where(labels == IGNORE_INDEX, 0, labels)).long()
    logits += 2 * torch.nn.functional.one_hot(truth, CLASSES).permute(0, 3, 1, 2)
    softness = Softness(labels)
    for start in range(0, 5, 2):
        softness.see(logits[start : start + 2])
    found, reach = softness.statistics(), softness.reach

    probabilities = logits.double().softmax(1).numpy()
    for image in range(5):
        widths, edges = [], 0
        for one, p in (
            (labels[image], probabilities[image]),
            (labels[image].T, probabilities[image].transpose(0, 2, 1)),
        ):
            for row in range(40):
                for start in range(40 - 2 * reach + 1):
                    window = slice(start, start + 2 * reach)
                    a, b = one[row, window][0], one[row, window][-1]
                    if a == b or IGNORE_INDEX in (a, b):
                        continue
                    if (one[row, window] != np.repeat([a, b], reach)).any():
                        continue
                    edges += 1
                    share = p[a, row, window] / (p[a, row, window] + p[b, row, window])
                    if share[0] > 0.5 > share[-1]:
                        relative = (share - share.min()) / (share.max() - share.min())
                        widths.append(6 * sum(relative * (1 - relative)))
        assert edges and found["softness_edges"][image] == edges
        assert widths and found["softness_count"][image] == len(widths)
        assert found["softness_sum"][image] == pytest.approx(sum(widths), rel=1e-5)
