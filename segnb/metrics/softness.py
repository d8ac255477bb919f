"""How soft a network's edges are: what has to be taken from its logits while they are there.

What makes scores of the sums is in `segnb.metrics.boundaries`: `softness` and `missing_edges`.
"""

import numpy as np
import torch

from segnb.labels import IGNORE_INDEX


class Softness:
    """Width of the transition of the soft-max between the two classes of a true edge.

    labels: uint8 (N, S, S), of the images in the order in which their logits will be seen

    At an edge between classes a and b the share p = P(a) / (P(a) + P(b)) is followed across it, `reach`
    pixels to either side. Edges without that many pixels of a before and of b behind them, such as those of
    a thin pole, are not looked at. The width is 6 · Σ p (1 - p) px: w for a ramp of w pixels and 0 for a
    step, wherever within reach it lies. An edge across which p does not fall from above to below one half
    has no transition and no width; `missing_edges` says how often that is so.
    """

    def __init__(self, labels: np.ndarray):
        self.labels = labels
        self.reach = max(2, labels.shape[1] // 32)
        self._seen = 0
        self._sums = np.zeros((3, len(labels)))  # widths, edges with a transition, edges

    def see(self, logits: torch.Tensor) -> None:
        """The logits of the next images, (B, C, S, S)."""
        part = slice(self._seen, self._seen + len(logits))
        labels = torch.from_numpy(np.array(self.labels[part])).to(logits.device)
        self._across(logits, labels, part)
        self._across(logits.transpose(2, 3), labels.transpose(1, 2), part)
        self._seen = part.stop

    def _across(self, logits: torch.Tensor, labels: torch.Tensor, part: slice) -> None:
        """Edges between pixels that are beside each other."""
        reach = self.reach
        same = labels[..., 1:] == labels[..., :-1]  # (B, S, S - 1): a pixel and the next
        starts = labels.shape[2] - 2 * reach + 1  # as many windows of 2 · reach pixels are in a row
        clean = ~same[..., reach - 1 : reach - 1 + starts]  # an edge in the middle, and no other
        for step in (*range(reach - 1), *range(reach, 2 * reach - 1)):
            clean = clean & same[..., step : step + starts]
        clean &= (labels[..., :starts] != IGNORE_INDEX) & (labels[..., 2 * reach - 1 :] != IGNORE_INDEX)
        image, row, start = (found[:, None] for found in clean.nonzero(as_tuple=True))  # (E, 1)
        columns = start + torch.arange(2 * reach, device=labels.device)  # (E, 2 · reach)
        before, after = labels[image, row, start].long(), labels[image, row, start + 2 * reach - 1].long()
        # The share of two classes of a soft-max is the sigmoid of the difference of their logits.
        difference = logits[image, before, row, columns].float() - logits[image, after, row, columns].float()
        share = difference.sigmoid()
        falls = (share[:, 0] > 0.5) & (share[:, -1] < 0.5)
        widths = torch.where(falls, 6 * (share * (1 - share)).sum(1), 0)
        image = image[:, 0].cpu().numpy()
        for sums, values in zip(self._sums, (widths, falls, torch.ones_like(falls)), strict=True):
            sums[part] += np.bincount(image, values.double().cpu().numpy(), minlength=len(logits))

    def statistics(self) -> dict[str, np.ndarray]:
        """softness_sum float64 (N,), px; softness_count and softness_edges int64 (N,): the edges with a
        transition, and all that were looked at."""
        widths, falls, every = self._sums
        counts = {"softness_count": falls.astype(np.int64), "softness_edges": every.astype(np.int64)}
        return {"softness_sum": widths} | counts
