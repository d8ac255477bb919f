"""From a contrast of the ledger to its effect: which runs it takes, what they score, and its error."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from segnb.claims.by_image import ImageCounts, file_of
from segnb.claims.claim import FLOOR, Contrast
from segnb.claims.metrics import METRICS
from segnb.claims.related_studies import COMPANIONS, Missing, companion
from segnb.models.registry import VARIANTS, label
from segnb.stats.bootstrap import count_blocks, resample, weights_of
from segnb.stats.effect import Effect, effect
from segnb.study.study import Run, Study

# Columns of cost.json and what they are; those that were timed have a list per round in the second.
COSTS = {
    "parameters": ("parameters", None),
    "gflops": ("operations of a prediction", None),
    "train_gflops": ("operations of a training step", None),
    "memory_mib": ("peak memory of a training step", None),
    "train_seconds": ("seconds an image of training", "train_samples"),
    "predict_seconds": ("seconds an image of prediction", "predict_samples"),
}


@dataclass(frozen=True)
class MeasuredContrast(Contrast):
    """A contrast with its numbers, as claims.json has them; None is what has no value.

    words, unit, scale: what is measured; a printed number is the value times `scale`, in `unit`; both are
                negative where the claim is one of "at most"
    repeats:    "seeds", of which the effect has the error; "rounds" of timing; "" for what is counted
    margin:     of the claim, where it is one of equivalence
    low, high:  what decides, see `segnb.stats.decisions.interval`; that of a share ends at 0 and 1
    level:      of the interval, 0 to 1: that of the claim's family
    se, dof:    the error on which interval and p rest
    image_se:   the part of `se` that is due to images
    p_for, p_against: of this contrast alone
    missing:    why there is no number; "" otherwise
    floor:      why no difference can be told at this size, see `Effects.floor`; "" otherwise
    effect:     what is tested; not written to files
    """

    words: str = ""
    unit: str = ""
    scale: float = 1
    repeats: str = ""
    margin: float | None = None
    estimate: float | None = None
    seeds: int = 0
    by_seed: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    se: float | None = None
    dof: float | None = None
    seed_sd: float | None = None
    image_se: float | None = None
    p_for: float | None = None
    p_against: float | None = None
    missing: str = ""
    floor: str = ""
    effect: Effect | None = field(default=None, compare=False, repr=False)

    @property
    def half_width(self) -> float | None:
        """Half of the interval's width."""
        return None if self.low is None else (self.high - self.low) / 2

    @property
    def short_unit(self) -> str:
        """The unit without what it is of: "points"."""
        return self.unit.partition(" of ")[0]


def finite(value: float | None) -> float | None:
    """Return a number as JSON has it: None for one that is not finite."""
    return None if value is None or not np.isfinite(value) else float(value)


class Score(NamedTuple):
    """A metric of one run: its value, and (B,) what it is under weightings of the images."""

    value: float
    draws: np.ndarray | None = None
    drawn: bool = True  # False: there are images, and no draws yet


class Effects:
    """Effects in the tested runs of a study and of related studies; computes each metric of each run once."""

    def __init__(self, study: Study, variants: str = "all", seeds: str | int = "all"):
        self.study = study
        self._asked = variants, seeds
        self._runs: dict[str, dict[tuple[str, int], Run]] = {}
        self._scores: dict[tuple, Score] = {}

    # ---- runs ------------------------------------------------------------------------------------------

    def runs(self, place: str = "") -> dict[tuple[str, int], Run]:
        """Return tested runs of the study ("") or of a related one, by variant and seed."""
        if place not in self._runs:
            study = companion(self.study, place) if place else self.study
            self._runs[place] = {(run.variant, run.seed): run for run in study.measured(*self._asked)}
        return self._runs[place]

    def seeds(self, contrast: Contrast) -> list[int]:
        """Return the seeds of which every network of the contrast has been tested.

        Raises:
            Missing: if there is none.
        """
        by_network = []
        for side in contrast.networks:
            place, variant = _split(side)
            seeds = {seed for name, seed in self.runs(place) if name == variant}
            if not seeds:
                where = f" on {COMPANIONS[place]}" if place else ""
                lost = variant in {run.variant for run in self.study.diverged()} and not place
                told = "diverged in training" if lost else "has not been trained and tested"
                raise Missing(f"{label(variant)} {told}{where}")
            by_network.append(seeds)
        if not (common := set.intersection(*by_network)):
            raise Missing("its networks have no seed in common")
        return sorted(common)

    def _run(self, side: str, seed: int) -> Run:
        place, variant = _split(side)
        return self.runs(place)[variant, seed]

    def _names(self, side: str, seed: int) -> np.ndarray:
        return file_of(self._run(side, seed), "test")["names"]

    def _weights(self, side: str, seed: int) -> np.ndarray:
        """The same weights for the same test images, whatever study they are in."""
        names = self._names(side, seed)
        if len(names) < 2:
            raise Missing("one test image says nothing about others")
        return weights_of(names)

    # ---- scores ----------------------------------------------------------------------------------------

    def _sides(self, contrast: Contrast) -> Iterator[tuple[str, float, tuple[str, ...]]]:
        """Network, coefficient and rivals; rivals only where the metric compares."""
        networks = (*contrast.plus, *contrast.minus)
        for place, side in enumerate(networks):
            rivals = contrast.rivals or tuple(other for other in networks if other != side)
            sign = 1 if place < len(contrast.plus) else -1
            yield side, sign * contrast.weight, rivals if METRICS[contrast.metric].compares else ()

    def _counts(self, name: str, side: str, seed: int, rivals: tuple[str, ...]) -> ImageCounts | float:
        return METRICS[name].of(*(self._run(network, seed) for network in (side, *rivals)))

    def score(
        self, name: str, side: str, seed: int, rivals: tuple[str, ...] = (), drawn: bool = True
    ) -> Score:
        """Compute a metric of one run; with `drawn`, also how it varies with the images, if it has any."""
        key = name, side, seed, rivals
        if key not in self._scores or (drawn and not self._scores[key].drawn):
            counts, draws = self._counts(name, side, seed, rivals), None
            images = isinstance(counts, ImageCounts)
            if images and drawn:
                draws = resample(counts.arrays, counts.reduce, self._weights(side, seed))
            score = Score(counts.value(), draws, drawn) if images else Score(counts)
            if not np.isfinite(score.value) or (draws is not None and not np.isfinite(draws).all()):
                network = label(_split(side)[1])
                raise Missing(f"{METRICS[name].words} of {network} has no value on these test images")
            self._scores[key] = score
        return self._scores[key]

    # ---- effects ---------------------------------------------------------------------------------------

    def measure(self, contrast: Contrast) -> MeasuredContrast:
        """Measure a contrast, or say why it cannot be measured."""
        if contrast.metric in COSTS:
            words, samples = COSTS[contrast.metric]
            facts = {"words": words, "unit": "%", "scale": 100, "repeats": "rounds" if samples else ""}
        else:
            metric = METRICS[contrast.metric]
            facts = {"words": metric.words, "unit": metric.unit, "scale": metric.scale, "repeats": "seeds"}
            if metric.share and not contrast.minus:  # a level, not points of difference
                facts["unit"] = "%"
        facts["scale"] *= -1 if contrast.at_most else 1
        measured = MeasuredContrast(**vars(contrast), **facts)
        try:
            if contrast.metric in COSTS:
                share, rounds = self._cost(contrast)
                return replace(measured, estimate=finite(share), by_seed=rounds)
            computed = self._effect(contrast)
        except Missing as reason:
            return replace(measured, missing=str(reason))
        numbers = {
            name: finite(getattr(computed, name)) for name in ("estimate", "se", "dof", "seed_sd", "image_se")
        }
        by_seed = tuple(computed.by_seed.tolist())
        floor = self.floor(contrast) if contrast.metric in METRICS else ""
        return replace(
            measured, **numbers, seeds=computed.seeds, by_seed=by_seed, floor=floor, effect=computed
        )

    def floor(self, contrast: Contrast) -> str:
        """Say why a share leaves no room for a difference of two networks; "" where it does.

        Because even the better one, with its 95 % interval over the images, stays below FLOOR, or the worse
        one above 1 - FLOOR; or because not even perfect scores at their strides get beyond FLOOR.
        """
        metric = METRICS[contrast.metric]
        if not metric.share or not len(contrast.plus) == len(contrast.minus) == 1:
            return ""
        levels = []  # (estimate, low, high, network) of both sides
        for side in (*contrast.plus, *contrast.minus):
            scores = [self.score(contrast.metric, side, seed) for seed in self.seeds(contrast)]
            low, high = np.quantile(np.mean([score.draws for score in scores], axis=0), (0.025, 0.975))
            levels.append((np.mean([score.value for score in scores]), low, high, label(_split(side)[1])))
        worse, better = sorted(levels)
        for bound, (value, low, high, network) in (
            (better[2] < FLOOR, better),
            (worse[1] > 1 - FLOOR, worse),
        ):
            if bound:
                between = f"{100 * low:.1f} to {100 * high:.1f}"
                return f"even {network} has a {metric.words} of {100 * value:.1f} % ({between})"
        return self._ceiling(contrast)

    def _ceiling(self, contrast: Contrast) -> str:
        """Say that not even perfect scores find objects of a size, where the strides are too large; or ""."""
        ceiling = contrast.metric.replace("recall:", "ceiling:")
        try:
            best = max(
                self.score(ceiling, side, self.seeds(contrast)[0], drawn=False).value
                for side in contrast.networks
                if ceiling in METRICS
            )
        except (Missing, ValueError):  # no FCNs, runs of older versions, or another measure
            return ""
        told = f"even perfect scores at these strides find {100 * best:.1f} % of such objects"
        return told if best < FLOOR else ""

    def _effect(self, contrast: Contrast) -> Effect:
        seeds, sides = self.seeds(contrast), list(self._sides(contrast))
        scores = [
            [self.score(contrast.metric, side, seed, rivals) for seed in seeds] for side, _, rivals in sides
        ]
        values = [[score.value for score in row] for row in scores]
        lent = self._lent(contrast, seeds)  # rows of coefficient 0, so their draws do not matter
        draws, images = None, 0
        if scores[0][0].draws is not None:
            draws = np.array([[score.draws for score in row] for row in scores])  # (V, S, B)
            draws = np.concatenate([draws, np.zeros((len(lent), *draws.shape[1:]))])
            images = min(count_blocks(self._names(side, seeds[0])) for side, *_ in sides)
        coefficients = np.array([coefficient for _, coefficient, _ in sides] + [0.0] * len(lent))
        estimated = effect(np.array(values + lent), draws, coefficients, images)
        if (
            contrast.rivals and images
        ):  # a bootstrap finds nothing in a share of 0 or 1: one image more may differ
            least = images / (images + 1) ** 3
            estimated = replace(estimated, image_variance=max(estimated.image_variance, least))
        return estimated

    def _lent(self, contrast: Contrast, seeds: list[int]) -> list[list[float]]:
        """The metric of the family's other networks, one row each, whose spread over seeds joins the pool.

        None of them where the contrast takes other studies in, or its metric compares networks.
        """
        networks = (*contrast.plus, *contrast.minus)
        if METRICS[contrast.metric].compares or any(_split(side)[0] for side in networks):
            return []
        rows, family = [], VARIANTS[networks[0]].family
        for name, variant in VARIANTS.items():
            there = all((name, seed) in self.runs() for seed in seeds)
            if variant.family != family or name in networks or not there:
                continue
            try:
                rows.append([self.score(contrast.metric, name, seed, drawn=False).value for seed in seeds])
            except Missing:  # a network without gates has no gate to measure
                continue
        return rows

    def _cost(self, contrast: Contrast) -> tuple[float, tuple[float, ...]]:
        """(plus - minus) / minus, of medians where it was timed; and that of each round of timing."""
        table, (words, samples) = self.study.cost(), COSTS[contrast.metric]
        costs, rounds = [], []
        for name in (*contrast.plus, *contrast.minus):
            if name not in table.index:
                raise Missing(f"the cost of {label(name)} has not been measured")
            cost = table[contrast.metric].get(name) if contrast.metric in table else None
            if cost is None or np.isnan(cost):
                raise Missing(f"{words} of {label(name)}: not measured")
            costs.append(float(cost))
            if samples in table and isinstance(table[samples][name], list):  # old versions kept none
                rounds.append(np.median(table[samples][name], axis=1))
        by_round = tuple((rounds[0] / rounds[1] - 1).tolist()) if len(rounds) == 2 else ()
        return costs[0] / costs[1] - 1, by_round

    # ---- images ----------------------------------------------------------------------------------------

    def by_image(self, contrast: Contrast) -> pd.DataFrame:
        """Compute the contrast in each test image, mean over seeds: columns name, index, difference.

        An image of which some network has no value (no small object in it) is left out. Empty where the
        metric has no images, or the networks saw different ones.
        """
        empty = pd.DataFrame({"name": [], "index": [], "difference": []})
        if contrast.metric in COSTS:
            return empty
        try:
            seeds, sides = self.seeds(contrast), list(self._sides(contrast))
            names = [tuple(self._names(side, seeds[0])) for side, *_ in sides]
            if len(set(names)) > 1:
                return empty
            total = np.zeros(len(names[0]))
            for seed in seeds:
                for side, coefficient, rivals in sides:
                    counts = self._counts(contrast.metric, side, seed, rivals)
                    if not isinstance(counts, ImageCounts):
                        return empty
                    total += coefficient * counts.by_image() / len(seeds)
        except Missing:
            return empty
        frame = pd.DataFrame({"name": names[0], "index": range(len(total)), "difference": total})
        return frame.dropna(ignore_index=True)


def _split(side: str) -> tuple[str, str]:
    """A variant as a contrast names it: the related study's place ("" for none) and the name."""
    place, _, variant = side.rpartition(":")
    return place, variant
