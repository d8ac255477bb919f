"""From a part of a claim to numbers: which runs it takes, what they score, and the effect with its error."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import pandas as pd

from segnb import statistics
from segnb.companions import COMPANIONS, Missing, companion
from segnb.evidence import MEASURES, Counted, Measure, file_of
from segnb.models.registry import VARIANTS, label
from segnb.parts import Part
from segnb.study.study import Run, Study

DRAWS = 2000  # of the bootstrap: a standard error from them is good to 1.6 %

# Columns of cost.json and what they are; those that were timed have a list a round in the second.
COSTS = {
    "parameters": ("parameters", None),
    "gflops": ("operations of a prediction", None),
    "memory_mib": ("peak memory of a training step", None),
    "resident_mib": ("peak resident size in training", None),
    "train_seconds": ("seconds an image of training", "train_samples"),
    "predict_seconds": ("seconds an image of prediction", "predict_samples"),
}


@dataclass(frozen=True)
class Finding:
    """What came of a part.

    repeats:  "seeds" or "rounds", of which `effect` has the error; "" for a number that is counted
    estimate: NaN where `missing` says why there is none
    """

    part: Part
    words: str
    unit: str
    scale: float
    repeats: str = "seeds"
    estimate: float = np.nan
    effect: statistics.Effect | None = None
    missing: str = ""

    def interval(self, level: float) -> tuple[float, float]:
        """(low, high) of the estimate; that of a share ends at 0 and 1."""
        low, high = self.effect.interval(level)
        return (max(low, 0.0), min(high, 1.0)) if self.part.rivals else (low, high)


class Score(NamedTuple):
    """A measure of one run: its value, and (B,) what it is under weightings of the images."""

    value: float
    draws: np.ndarray | None = None
    cases: int = 0  # see `Counted`
    drawn: bool = True  # False: there are images, and no draws yet


class Evidence:
    """The measured runs of a study and of its companions; each measure of each run is computed once."""

    def __init__(self, study: Study, variants: str = "all", seeds: str | int = "all"):
        self.study = study
        self._asked = variants, seeds
        self._runs: dict[str, dict[tuple[str, int], Run]] = {}
        self._found: dict[tuple, Score] = {}

    # ---- runs ------------------------------------------------------------------------------------------

    def study_of(self, place: str) -> Study:
        """The study itself (""), or a companion. Raises Missing if there is none."""
        return companion(self.study, place) if place else self.study

    def runs(self, place: str) -> dict[tuple[str, int], Run]:
        """Tested runs of the study ("") or of a companion, by variant and seed."""
        if place not in self._runs:
            measured = self.study_of(place).measured(*self._asked)
            self._runs[place] = {(run.variant, run.seed): run for run in measured}
        return self._runs[place]

    def seeds(self, part: Part) -> list[int]:
        """Seeds of which every network of the part has been tested. Raises Missing if there is none."""
        common: set[int] | None = None
        for side in (*part.plus, *part.minus, *part.rivals):
            place, variant = _split(side)
            there = {seed for name, seed in self.runs(place) if name == variant}
            if not there:
                where = f" on {COMPANIONS[place]}" if place else ""
                raise Missing(f"{label(variant)} has not been trained and tested{where}")
            common = there if common is None else common & there
        if not common:
            raise Missing("its networks have no seed in common")
        return sorted(common)

    # ---- scores ----------------------------------------------------------------------------------------

    def score(self, name: str, side: str, seed: int, rivals: tuple[str, ...], drawn: bool = True) -> Score:
        """A measure of one run. With `drawn`, also how it varies with the images, if it has any."""
        measure = MEASURES[name]
        rivals = rivals if measure.looks_at_rivals else ()
        key = name, side, seed, rivals
        if key not in self._found or (drawn and not self._found[key].drawn):
            made, draws = self._made(measure, side, seed, rivals), None
            if isinstance(made, Counted):
                draws = made.draws(self._weights(side, seed)) if drawn else None
                score = Score(made.value(), draws, made.cases, drawn)
            else:
                score = Score(made)
            if not np.isfinite(score.value) or (draws is not None and not np.isfinite(draws).all()):
                raise Missing(
                    f"{measure.words} of {label(_split(side)[1])} has no value on these test images"
                )
            self._found[key] = score
        return self._found[key]

    def _made(self, measure: Measure, side: str, seed: int, rivals: tuple[str, ...]) -> Counted | float:
        run, *others = (self._run(one, seed) for one in (side, *rivals))
        return measure.of(run, others)

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
        return _weights(len(names), sha256("\n".join(names).encode()).hexdigest())

    # ---- effects ---------------------------------------------------------------------------------------

    def finding(self, part: Part) -> Finding:
        """The part's effect, or why there is none."""
        if part.measure in COSTS:
            words, samples = COSTS[part.measure]
            found = Finding(part, words, "%", 100, repeats="rounds" if samples else "")
            made = self._cost
        else:
            measure = MEASURES[part.measure]
            found = Finding(part, measure.words, measure.unit, measure.scale)
            made = self._effect
        try:
            return Finding(**(vars(found) | made(part)))
        except Missing as reason:
            return Finding(**(vars(found) | {"missing": str(reason)}))

    def _effect(self, part: Part) -> dict:
        seeds, (sides, coefficients) = self.seeds(part), _contrast(part)
        scores = []
        for side in sides:
            rivals = part.rivals or tuple(one for one in sides if one != side)
            scores.append([self.score(part.measure, side, seed, rivals) for seed in seeds])
        values = [[score.value for score in row] for row in scores]
        lent = self._lent(part, seeds)  # rows of coefficient 0, so their draws do not matter
        draws, images = None, 0
        if scores[0][0].draws is not None:
            draws = np.array([[score.draws for score in row] for row in scores])  # (V, S, B)
            draws = np.concatenate([draws, np.zeros((len(lent), *draws.shape[1:]))])
            images = min(len(self._names(side, seeds[0])) for side in sides)
        coefficients = np.concatenate([coefficients, np.zeros(len(lent))])
        effect = statistics.effect(np.array(values + lent), draws, coefficients, images)
        if scores[0][0].cases:
            least = share_variance(effect.estimate, scores[0][0].cases)
            effect = replace(effect, image_variance=max(effect.image_variance, least))
        return {"estimate": effect.estimate, "effect": effect}

    def _lent(self, part: Part, seeds: list[int]) -> list[list[float]]:
        """The measure of the family's other networks, a row each, whose spread over seeds joins the pool.

        None of them where the part takes other studies in, or a measure is about the very networks compared.
        """
        sides, _ = _contrast(part)
        if MEASURES[part.measure].looks_at_rivals or any(_split(side)[0] for side in sides):
            return []
        rows = []
        for name, variant in VARIANTS.items():
            if variant.family != VARIANTS[sides[0]].family or name in sides:
                continue
            if not all((name, seed) in self.runs("") for seed in seeds):
                continue
            try:
                rows.append([self.score(part.measure, name, seed, (), drawn=False).value for seed in seeds])
            except Missing:  # a network without gates has no gate to measure
                continue
        return rows

    @cached_property
    def _costs(self) -> pd.DataFrame:
        return self.study.cost()

    def _cost(self, part: Part) -> dict:
        """(plus - minus) / minus; where it was timed, by round, as a slow minute hits all networks of one."""
        table, samples = self._costs, COSTS[part.measure][1]
        column = samples or part.measure
        rows = []
        for name in (*part.plus, *part.minus):
            if name not in table.index:
                raise Missing(f"the cost of {label(name)} has not been measured")
            found = table[column].get(name) if column in table else None
            if found is None or np.isnan(np.mean(found)):
                raise Missing(f"{COSTS[part.measure][0]} of {label(name)}: not measured in rounds")
            rows.append(np.median(found, axis=1) if samples else float(found))
        share = rows[0] / rows[1] - 1
        if not samples:
            return {"estimate": share}
        effect = statistics.effect(share[None], None, np.ones(1))
        return {"estimate": effect.estimate, "effect": effect}

    # ---- images ----------------------------------------------------------------------------------------

    def by_image(self, part: Part) -> pd.DataFrame:
        """The contrast in each test image, mean over seeds: columns name, index, difference.

        An image of which some network has no value (no small object in it) is left out. Empty where the
        measure has no images, or the networks saw different ones.
        """
        empty = pd.DataFrame({"name": [], "index": [], "difference": []})
        if part.measure in COSTS:
            return empty
        try:
            seeds, (sides, coefficients) = self.seeds(part), _contrast(part)
            names = [tuple(self._names(side, seeds[0])) for side in sides]
            if len(set(names)) > 1:
                return empty
            total = np.zeros(len(names[0]))
            for seed in seeds:
                for side, coefficient in zip(sides, coefficients, strict=True):
                    rivals = part.rivals or tuple(one for one in sides if one != side)
                    made = self._made(MEASURES[part.measure], side, seed, rivals)
                    if not isinstance(made, Counted):
                        return empty
                    total += coefficient * made.by_image() / len(seeds)
        except Missing:
            return empty
        frame = pd.DataFrame({"name": names[0], "index": range(len(total)), "difference": total})
        return frame.dropna(ignore_index=True)


def share_variance(share: float, cases: int) -> float:
    """Variance of a share of so many cases, with two more won and two more lost (Agresti and Coull 1998).

    A bootstrap finds none in a share of 0 or 1, where every case that was seen went the same way.
    """
    share = (share * cases + 2) / (cases + 4)
    return share * (1 - share) / (cases + 4)


def image_differences(study: Study, part: dict, seeds: list[int] | str = "all") -> pd.DataFrame:
    """`Evidence.by_image` of a part as claims.json has it."""
    asked = seeds if isinstance(seeds, str) else ",".join(map(str, seeds))
    rivals, weight = tuple(part["rivals"]), part["weight"]
    plus, minus = tuple(part["plus"]), tuple(part["minus"])
    return Evidence(study, seeds=asked).by_image(Part("", part["measure"], plus, minus, weight, rivals))


def _split(side: str) -> tuple[str, str]:
    """A variant as a part names it: the companion study's place ("" for none) and the name."""
    place, _, variant = side.rpartition(":")
    return place, variant


def _contrast(part: Part) -> tuple[list[str], np.ndarray]:
    """Networks and their coefficients."""
    sides = [*part.plus, *part.minus]
    signs = np.array([1.0] * len(part.plus) + [-1.0] * len(part.minus))
    return sides, part.weight * signs


@lru_cache(maxsize=4)
def _weights(images: int, key: str) -> np.ndarray:
    return statistics.image_weights(images, draws=DRAWS, key=key)
