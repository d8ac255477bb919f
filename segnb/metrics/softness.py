"""The softness of a network's edges, summed from its logits while they are in memory.

`segnb.metrics.boundaries.softness` and `missing_edges` compute scores from the sums.
"""

import numpy as np
import torch

from segnb.labels import IGNORE_INDEX


class Softness:
    """The width of softmax transitions at true edges.

    Across an edge from class a to class b, the share p = P(a) / (P(a) + P(b)) should fall from 1 to 0. It is
    computed for `reach` pixels on each side. An edge counts only if all those pixels are of class a before
    it and of class b after it, so edges of thin objects such as poles do not count.

    The **width** of the transition is 6 · Σ q (1 - q), in pixels, where q is p relative to its highest and
    its lowest value in these pixels. It is w for a linear ramp of w pixels, and 0 for a step, independent of
    its position within reach. A ramp that does not end within reach counts up to there. (With p instead of q,
    a network that is not sure of its classes would have wide transitions, however sharp they are.) If p does
    not fall from above 1/2 to below 1/2, the edge has no transition and no width; `missing_edges` is the
    share of such edges.

    Args:
        labels: ground truth, uint8 (N, S, S), of the images in the order of their logits
    """

    def __init__(self, labels: np.ndarray):
        self.labels = labels
        self.reach = max(4, labels.shape[1] // 32)  # px; less could not measure widths of 4 px
        self._seen = 0
        self._sums = np.zeros((3, len(labels)))  # widths, edges with a transition, all edges that count

    def see(self, logits: torch.Tensor) -> None:
        """Add the logits of the next images, (B, C, S, S)."""
        part = slice(self._seen, self._seen + len(logits))
        labels = torch.from_numpy(np.array(self.labels[part])).to(logits.device)
        self._across(logits, labels, part)
        self._across(logits.transpose(2, 3), labels.transpose(1, 2), part)
        self._seen = part.stop

    def _across(self, logits: torch.Tensor, labels: torch.Tensor, part: slice) -> None:
        """Add the edges between horizontal neighbours."""
        reach = self.reach
        same = labels[..., 1:] == labels[..., :-1]  # (B, S, S - 1), a pixel and the next
        starts = labels.shape[2] - 2 * reach + 1  # number of windows of 2 · reach pixels in a row
        clean = ~same[..., reach - 1 : reach - 1 + starts]  # windows whose only edge is in the middle
        for step in (*range(reach - 1), *range(reach, 2 * reach - 1)):
            clean = clean & same[..., step : step + starts]
        clean &= (labels[..., :starts] != IGNORE_INDEX) & (labels[..., 2 * reach - 1 :] != IGNORE_INDEX)
        image, row, start = (index[:, None] for index in clean.nonzero(as_tuple=True))  # (E, 1) each
        columns = start + torch.arange(2 * reach, device=labels.device)  # (E, 2 · reach)
        before, after = labels[image, row, start].long(), labels[image, row, start + 2 * reach - 1].long()
        # P(a) / (P(a) + P(b)) of a softmax is the sigmoid of the difference of the two logits.
        difference = logits[image, before, row, columns].float() - logits[image, after, row, columns].float()
        share = difference.sigmoid()  # (E, 2 · reach)
        falls = (share[:, 0] > 0.5) & (share[:, -1] < 0.5)
        low, high = share.aminmax(dim=1, keepdim=True)
        relative = (share - low) / (high - low)
        widths = torch.where(falls, 6 * (relative * (1 - relative)).sum(1), 0)
        image = image[:, 0].cpu().numpy()
        for sums, values in zip(self._sums, (widths, falls, torch.ones_like(falls)), strict=True):
            sums[part] += np.bincount(image, values.double().cpu().numpy(), minlength=len(logits))

    def statistics(self) -> dict[str, np.ndarray]:
        """Return the sums of each image.

        Returns:
            softness_sum: float64 (N,), widths in px
            softness_count: int64 (N,), edges with a transition
            softness_edges: int64 (N,), all edges that count
        """
        widths, falls, every = self._sums
        counts = {"softness_count": falls.astype(np.int64), "softness_edges": every.astype(np.int64)}
        return {"softness_sum": widths} | counts
