"""From a comparison in the ledger to its effect: runs, scores and standard error."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from segnb.claims.by_image import ImageCounts, file_of
from segnb.claims.claim import COSTS, FLOOR, Contrast
from segnb.claims.metrics import METRICS, words_of
from segnb.claims.related_studies import COMPANIONS, Missing, companion
from segnb.claims.verdicts import MeasuredContrast
from segnb.models.registry import VARIANTS, label
from segnb.stats.bootstrap import count_blocks, resample, weights_of
from segnb.stats.effect import Effect, effect
from segnb.study.study import Run, Study


def finite(value: float | None) -> float | None:
    """Return a number for JSON: None if it is not finite."""
    return None if value is None or not np.isfinite(value) else float(value)


class Score(NamedTuple):
    """A metric of one run: its value, its values under weightings of the images, (B,), and their number.

    Only independent images that contribute are counted.
    """

    value: float
    draws: np.ndarray | None = None
    images: int = 0


class Effects:
    """Effects in the evaluated runs of a study and of related studies, with a cache of scores."""

    def __init__(self, study: Study, variants: str = "all", seeds: str | int = "all"):
        self.study = study
        self._selection = variants, seeds
        self._runs: dict[str, dict[tuple[str, int], Run]] = {}
        self._scores: dict[tuple, Score | str] = {}  # or the reason why it is missing
        self._sums: deque = deque(maxlen=8)  # of the last arrays, see `resample`

    # ---- runs ------------------------------------------------------------------------------------------

    def runs(self, place: str = "") -> dict[tuple[str, int], Run]:
        """Return the evaluated runs of the study ("") or of a related study, by variant and seed."""
        if place not in self._runs:
            study = companion(self.study, place) if place else self.study
            self._runs[place] = {(run.variant, run.seed): run for run in study.measured(*self._selection)}
        return self._runs[place]

    def seeds(self, contrast: Contrast) -> list[int]:
        """Return the seeds with which every network of the comparison has been evaluated.

        Raises:
            Missing: if there is no such seed.
        """
        by_network = []
        for side in contrast.networks:
            place, variant = _split(side)
            seeds = {seed for name, seed in self.runs(place) if name == variant}
            if not seeds:
                where = f" on {COMPANIONS[place]}" if place else ""
                study = companion(self.study, place) if place else self.study
                diverged = variant in {run.variant for run in study.diverged()}
                reason = "diverged in training" if diverged else "has not been trained and evaluated"
                raise Missing(f"{label(variant)} {reason}{where}")
            by_network.append(seeds)
        if not (common := set.intersection(*by_network)):
            raise Missing("the networks have no seed in common")
        return sorted(common)

    def _run(self, side: str, seed: int) -> Run:
        place, variant = _split(side)
        return self.runs(place)[variant, seed]

    def _names(self, side: str, seed: int) -> np.ndarray:
        return file_of(self._run(side, seed), "test")["names"]

    # ---- scores ----------------------------------------------------------------------------------------

    def _sides(self, contrast: Contrast) -> Iterator[tuple[str, float, tuple[str, ...]]]:
        """Yield network, coefficient and rivals; rivals are empty unless the metric compares."""
        networks = (*contrast.plus, *contrast.minus)
        for i, side in enumerate(networks):
            rivals = contrast.rivals or tuple(other for other in networks if other != side)
            sign = 1 if i < len(contrast.plus) else -1
            yield side, sign * contrast.weight, rivals if METRICS[contrast.metric].compares else ()

    def _counts(self, name: str, side: str, seed: int, rivals: tuple[str, ...]) -> ImageCounts | float:
        return METRICS[name].of(*(self._run(network, seed) for network in (side, *rivals)))

    def score(self, name: str, side: str, seed: int, rivals: tuple = (), drawn: bool = True) -> Score:
        """Compute a metric of one run; with `drawn`, also its values under weightings of the images."""
        key = name, side, seed, rivals
        drawn = drawn or isinstance(self._scores.get((*key, True)), Score)  # computed with draws before
        if (*key, drawn) not in self._scores:
            self._scores[*key, drawn] = self._computed(*key, drawn)
        if isinstance(score := self._scores[*key, drawn], str):
            raise Missing(score)
        return score

    def _computed(self, name: str, side: str, seed: int, rivals: tuple, drawn: bool) -> Score | str:
        """Compute a score, or return the reason why it is missing."""
        try:
            counts = self._counts(name, side, seed, rivals)
            if not isinstance(counts, ImageCounts):
                score = Score(counts)
            else:
                score = self._drawn(counts, side, seed) if drawn else Score(counts.value())
        except Missing as reason:
            return str(reason)
        if all(np.isfinite(numbers).all() for numbers in score if numbers is not None):
            return score
        return f"{METRICS[name].words} of {label(_split(side)[1])} has no value on these test images"

    def _drawn(self, counts: ImageCounts, side: str, seed: int) -> Score:
        """Compute a score and its values under weightings of the images, the same in all studies."""
        names = self._names(side, seed)
        images = count_blocks(names, counts.contributing())
        if images < 2:
            raise Missing("the images that count are too close in time for an interval")
        draws = resample(counts.arrays, counts.reduce, weights_of(names), self._sums)
        return Score(counts.value(), draws, images)

    def prepare(self, contrasts: Iterable[Contrast]) -> None:
        """Compute the scores of comparisons run by run, so that each file of a run is read only once."""
        wanted: dict[tuple, bool] = {}  # whether draws are needed
        for contrast in contrasts:
            if contrast.metric in COSTS:
                continue
            with suppress(Missing):
                seeds = self.seeds(contrast)
                for seed in seeds:
                    for side, _, rivals in self._sides(contrast):
                        wanted[seed, side, contrast.metric, rivals] = True
                    for name in self._lenders(contrast, seeds):
                        wanted.setdefault((seed, name, contrast.metric, ()), False)
        for (seed, side, metric, rivals), drawn in sorted(wanted.items()):
            with suppress(Missing):
                self.score(metric, side, seed, rivals, drawn)

    # ---- effects ---------------------------------------------------------------------------------------

    def measure(self, contrast: Contrast) -> MeasuredContrast:
        """Measure a comparison, or give the reason why it cannot be measured."""
        facts = {"words": words_of(contrast.metric), "unit": "%", "scale": 100}
        if contrast.metric in METRICS:
            metric = METRICS[contrast.metric]
            level = metric.share and not contrast.minus  # not a difference in points
            facts |= {"unit": "%" if level else metric.unit, "scale": metric.scale}
        facts["scale"] *= -1 if contrast.at_most else 1
        measured = MeasuredContrast(**vars(contrast), **facts)
        try:
            if contrast.metric in COSTS:
                share, rounds = self._cost(contrast)
                return replace(measured, estimate=finite(share), by_seed=rounds)
            computed = self._effect(contrast)
        except Missing as reason:
            return replace(measured, missing=str(reason))
        names = ("estimate", "se", "dof", "seed_sd", "image_se")
        numbers = {name: finite(getattr(computed, name)) for name in names}
        by_seed = tuple(computed.by_seed.tolist())
        floor = self.floor(contrast)
        return replace(
            measured, **numbers, seeds=computed.seeds, by_seed=by_seed, floor=floor, effect=computed
        )

    def floor(self, contrast: Contrast) -> str:
        """Return the reason why a share leaves no room for a difference of two networks; "" if it does.

        There is no room if the 95% interval over images of the better network lies below FLOOR, or that of
        the worse network above 1 - FLOOR, or if perfect scores at the networks' strides are below FLOOR.
        """
        metric = METRICS[contrast.metric]
        if not metric.share or not len(contrast.plus) == len(contrast.minus) == 1:
            return ""
        levels = []  # (estimate, low, high, network)
        for side in (*contrast.plus, *contrast.minus):
            scores = [self.score(contrast.metric, side, seed) for seed in self.seeds(contrast)]
            low, high = np.quantile(np.mean([score.draws for score in scores], axis=0), (0.025, 0.975))
            levels.append((np.mean([score.value for score in scores]), low, high, label(_split(side)[1])))
        worse, better = sorted(levels)
        (_, worse_low, *_), (_, _, better_high, _) = worse, better
        if better_high >= FLOOR and worse_low <= 1 - FLOOR:
            return self._ceiling(contrast)
        value, low, high, network = better if better_high < FLOOR else worse
        ends = f"{100 * low:.1f} to {100 * high:.1f}"
        return f"{metric.words} is {100 * value:.1f}% (95% CI {ends}) even for {network}"

    def _ceiling(self, contrast: Contrast) -> str:
        """Return the reason if the strides are too large even for perfect scores; "" otherwise."""
        ceiling = "ceiling:" + contrast.metric.removeprefix("recall:")
        if ceiling not in METRICS:
            return ""
        try:
            seed = self.seeds(contrast)[0]
            best = max(self.score(ceiling, side, seed, drawn=False).value for side in contrast.networks)
        except Missing:  # no FCNs, or runs of older versions
            return ""
        reason = f"even perfect scores at these strides find only {100 * best:.1f}% of these objects"
        return reason if best < FLOOR else ""

    def _effect(self, contrast: Contrast) -> Effect:
        seeds, sides = self.seeds(contrast), list(self._sides(contrast))
        scores = [
            [self.score(contrast.metric, side, seed, rivals) for seed in seeds] for side, _, rivals in sides
        ]
        values = [[score.value for score in row] for row in scores]
        lent = self._lent(contrast, seeds)  # with coefficient 0, so their draws do not matter
        draws, images = None, 0
        if scores[0][0].draws is not None:
            draws = np.array([[score.draws for score in row] for row in scores])  # (V, S, B)
            draws = np.concatenate([draws, np.zeros((len(lent), *draws.shape[1:]))])
            images = min(score.images for row in scores for score in row)
        coefficients = np.array([coefficient for _, coefficient, _ in sides] + [0.0] * len(lent))
        estimated = effect(np.array(values + lent), draws, coefficients, images)
        if contrast.rivals and images:
            # The bootstrap variance of a share of 0 or 1 is zero, but one more image may differ.
            least = images / (images + 1) ** 3  # p (1 - p) / (N + 1) of a share p = 1 / (N + 1)
            estimated = replace(estimated, image_variance=max(estimated.image_variance, least))
        return estimated

    def _lent(self, contrast: Contrast, seeds: list[int]) -> list[list[float]]:
        """Return the metric of the family's other networks, whose seed variance joins the pool, as rows."""
        rows = []
        for name in self._lenders(contrast, seeds):
            with suppress(Missing):  # for instance without gates
                rows.append([self.score(contrast.metric, name, seed, drawn=False).value for seed in seeds])
        return rows

    def _lenders(self, contrast: Contrast, seeds: list[int]) -> list[str]:
        """Return the family's other evaluated networks; none for related studies or rivals."""
        networks = (*contrast.plus, *contrast.minus)
        if METRICS[contrast.metric].compares or any(_split(side)[0] for side in networks):
            return []
        family = VARIANTS[networks[0]].family
        others = [name for name in VARIANTS if VARIANTS[name].family == family and name not in networks]
        return [name for name in others if all((name, seed) in self.runs() for seed in seeds)]

    def _cost(self, contrast: Contrast) -> tuple[float, tuple[float, ...]]:
        """Return (plus - minus) / minus, of medians for timings, and the same for each round of timing."""
        table, (words, samples) = self.study.cost(), COSTS[contrast.metric]
        costs, rounds = [], []
        for name in (*contrast.plus, *contrast.minus):
            if name not in table.index:
                raise Missing(f"the cost of {label(name)} has not been measured")
            cost = table[contrast.metric].get(name) if contrast.metric in table else None
            if cost is None or np.isnan(cost):
                raise Missing(f"{words} of {label(name)}: not measured")
            costs.append(float(cost))
            if samples in table and isinstance(table[samples][name], list):  # missing in older versions
                rounds.append(np.median(table[samples][name], axis=1))
        by_round = tuple((rounds[0] / rounds[1] - 1).tolist()) if len(rounds) == 2 else ()
        return costs[0] / costs[1] - 1, by_round

    # ---- images ----------------------------------------------------------------------------------------

    def by_image(self, contrast: Contrast) -> pd.DataFrame:
        """Compute the comparison in each test image, mean over seeds.

        Returns:
            Columns name, index and difference. Images without a value for each network, such as images
            without small objects, are left out. Empty if the metric has no images or the networks were
            evaluated on different images.
        """
        frame = pd.DataFrame({"name": [], "index": [], "difference": []})
        if contrast.metric in COSTS:
            return frame
        with suppress(Missing):
            seeds, sides = self.seeds(contrast), list(self._sides(contrast))
            names, *others = {tuple(self._names(side, seeds[0])) for side, *_ in sides}
            terms = [
                (coefficient, self._counts(contrast.metric, side, seed, rivals))
                for seed in seeds
                for side, coefficient, rivals in sides
            ]
            if not others and all(isinstance(counts, ImageCounts) for _, counts in terms):
                total = sum(coefficient * counts.by_image() / len(seeds) for coefficient, counts in terms)
                frame = pd.DataFrame({"name": names, "index": range(len(total)), "difference": total})
        return frame.dropna(ignore_index=True)


def _split(side: str) -> tuple[str, str]:
    """Split a variant of a comparison into related study ("" for none) and name."""
    place, _, variant = side.rpartition(":")
    return place, variant
