"""`make transfer`: what a U-Net that only ever saw rendered streets makes of real frames, and what such a
start is worth where there are few of them.

Three ways to learn, scored on the same frames, with the same seeds:

    scenes   rendered streets and nothing else
    scratch  few real frames, from random weights
    tuned    the same few frames, starting from the network of "scenes"

Up to `MANY` frames are cross-validated, all of them; of larger sets a few training frames are drawn and the
test split is tested on. Every seed has its own network of scenes, first weights, order and frames to learn
from. Intervals are those of `segnb.stats.effect`: other seeds and other test images. Of what other *training*
frames would do they hold only what the seeds' folds and draws show, and in cross-validation those overlap;
so with a handful of frames they are too narrow rather than too wide.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torchvision.transforms import v2

from segnb.data.batches import Split
from segnb.data.dataset import RENDERED, Data, open_data
from segnb.data.names import SPLITS
from segnb.errors import SegnbError
from segnb.labels import IGNORE_INDEX, STREET, ClassMap
from segnb.metrics.confusion import class_iou, mean_iou
from segnb.models.build import build
from segnb.presets import PRESETS, Preset, Recipe
from segnb.runtime.machine import Machine
from segnb.stats.bootstrap import count_blocks, resample, weights_of
from segnb.stats.effect import Effect, effect
from segnb.study.study import Run
from segnb.training import checkpoint
from segnb.training.fingerprint import code_digest
from segnb.training.loop import evaluate, fit

UNET = "UNet_Standard_256"
MANY = 100  # frames; a test split of so many that come from few drives says little, so all take their turn
ARMS = {"scenes": "scenes alone", "scratch": "few frames alone", "tuned": "scenes, then few frames"}

_QUICK = PRESETS["quick"].unet


@dataclass(frozen=True)
class Settings:
    """What is trained, and how; chosen on CamVid's training frames, which nothing here is tested on."""

    # mIoU on those 367, one seed: 240 scenes in 20 epochs 0.249, 1500 in 4 epochs 0.266, varied as below
    # 0.280 (and with details cut out as well 0.235), 1500 varied in 6 epochs 0.283.
    data: Preset = replace(PRESETS["quick"], train=1500)
    scenes: Recipe = replace(_QUICK, epochs=6)
    # 22 of them learnt from, 115 others tested on, one draw and seed: from scratch 40 epochs 0.349, 80 epochs
    # 0.395 (a rate of 1e-3 0.405, varied frames 0.359), 160 epochs 0.437; from scenes 40 epochs 0.449 (1e-3
    # 0.425), 80 epochs 0.468 (160, tried after the tested frames had been seen and so not taken, 0.479).
    # Both end with the weights of the last epoch, as there are no frames left to choose the best by.
    scratch: Recipe = replace(_QUICK, epochs=160)
    tuned: Recipe = replace(_QUICK, epochs=80)
    seeds: int = 3
    folds: int = 4  # of 30 frames, 22 or 23 are learnt from
    few: int = 22


# ---- classes that both have -------------------------------------------------------------------------


def to_street(classes: ClassMap) -> np.ndarray:
    """Ids of a label set to those of STREET, by name: uint8 (256,), a look-up table.

    Sky is STREET's Unlabeled, which is mostly that. A class that STREET does not have (CamVid's Bicyclist)
    becomes IGNORE_INDEX: no scene shows it, so it would add the same zero to every network of scenes, and to
    call it Pedestrian or Other would put our guess in the place of the labels.

    Raises SegnbError where fewer than two classes are common.
    """
    table = np.full(256, IGNORE_INDEX, np.uint8)
    for i, name in enumerate(classes.names):
        name = "Unlabeled" if name == "Sky" else name
        if name in STREET.names:
            table[i] = STREET.id(name)
    if (table != IGNORE_INDEX).sum() < 2:
        raise SegnbError(
            f"classes {', '.join(classes.names)}: fewer than two are among those of the streets; name them in"
            f" classes.csv as there: {', '.join(STREET.names)}"
        )
    return table


def in_common(confusion: np.ndarray, classes: ClassMap) -> np.ndarray:
    """Counts (..., 13, 13) in which a Roadline counts as Road where `classes` have no Roadline.

    CamVid's Road includes what is painted on it, so that to see the paint is no mistake there.
    """
    if "Roadline" in classes.names:
        return confusion
    line, road = STREET.id("Roadline"), STREET.id("Road")
    counts = confusion.copy()
    counts[..., road] += counts[..., line]
    counts[..., line] = 0
    return counts


# ---- frames -----------------------------------------------------------------------------------------


def frames(data: Data, cache: Path, size: int) -> Split:
    """All frames of a data set, train, val and test in turn, labelled in classes of STREET."""
    parts = [data.split(cache, name, size) for name in SPLITS]
    return Split(
        np.concatenate([part.images for part in parts]),
        to_street(data.classes)[np.concatenate([part.labels for part in parts])],
        [name for part in parts for name in part.names],
    )


def chosen(split: Split, indices: np.ndarray) -> Split:
    return Split(split.images[indices], split.labels[indices], [split.names[i] for i in indices])


def rounds(
    names: list[str], learning: int, settings: Settings, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which frames are learnt from and which tested on, as indices; names and seed alone decide.

    names: of all frames; learning: how many of them, at the front, may be learnt from in a large set
    """
    hashes = [hashlib.sha256(f"{seed}/{name}".encode()).digest() for name in names]
    order = np.array(sorted(range(len(names)), key=hashes.__getitem__))
    if len(names) <= MANY:
        tested = [np.sort(order[fold :: settings.folds]) for fold in range(settings.folds)]
        return [(np.setdiff1d(order, fold), fold) for fold in tested]
    return [(np.sort(order[order < learning][: settings.few]), np.arange(learning, len(names)))]


# Exposure, contrast, colour and focus are the camera's and the weather's, of which scenes know but few.
VARIATIONS = v2.Compose(
    [
        v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.5, hue=0.1),
        v2.RandomApply([v2.GaussianBlur(5, sigma=(0.3, 1.5))], p=0.3),
    ]
)


@dataclass(frozen=True)
class Varied(Split):
    """Scenes as other cameras might have taken them: whoever learns from its batches sees none twice.

    What is drawn depends on torch's seed.
    """

    def batch(
        self, chosen: np.ndarray, flips: np.ndarray, machine: Machine
    ) -> tuple[torch.Tensor, torch.Tensor]:
        pictures = torch.tensor(self.images[chosen]).permute(0, 3, 1, 2)
        images = np.stack([VARIATIONS(one).permute(1, 2, 0).numpy() for one in pictures])
        seen = Split(images, self.labels[chosen], [self.names[i] for i in chosen])
        return seen.batch(np.arange(len(seen)), flips[chosen], machine)


# ---- training and scores ----------------------------------------------------------------------------


def trained(
    seed: int,
    splits: tuple[Split, Split],
    recipe: Recipe,
    machine: Machine,
    folder: Path,
    what: list,
    begin: Callable[[torch.nn.Module], None] | None = None,
    last: bool = False,
) -> tuple[Path, torch.nn.Module]:
    """Train a U-Net for the classes of STREET, unless `folder` has it already.

    Args:
        seed: of weights, order and variations
        splits: for training and for validation
        what: identifies the splits and what `begin` does, ready for JSON
        begin: changes the weights that the seed has drawn, before training
        last: use the weights of the last epoch instead of those of the best

    Returns:
        The file of its weights, and the network with these weights on the machine's device.
    """
    identity = json.dumps([what, last, asdict(recipe), asdict(machine), code_digest()])
    run = Run(folder / hashlib.sha256(identity.encode()).hexdigest()[:16] / UNET / f"seed{seed}")
    torch.manual_seed(seed)
    model = build(UNET, len(STREET), recipe.width)
    if begin:
        begin(model)
    path = run.path / "last.safetensors" if last else run.model_path

    def keep_last(history: list[dict]) -> None:
        if last and not run.done:  # `fit` reports a finished run too, and leaves `model` as it was drawn
            checkpoint.save_model(path, model)

    fit(model, *splits, recipe, seed, run, machine, keep_last)
    checkpoint.load_model(path, model)
    return path, machine.place(model)


def taught_by_scenes(
    streets: Data, recipe: Recipe, seed: int, machine: Machine, cache: Path
) -> tuple[Path, torch.nn.Module]:
    scenes = streets.split(cache, "train", recipe.size)
    held_out = streets.split(cache, "val", recipe.size)
    what = [streets.digest, repr(VARIATIONS)]
    return trained(seed, (Varied(**vars(scenes)), held_out), recipe, machine, cache / "transfer", what)


def measure(
    path: str,
    settings: Settings,
    machine: Machine,
    cache: Path,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> dict:
    """Everything on one data set: what `table` shows, ready for JSON.

    path: a folder of real frames, as for `open_data`. Networks are kept in `cache`/transfer, so that what was
    stopped goes on, and so that other frames find the networks of scenes.

    Raises SegnbError as `open_data` and `to_street` do, and for the rendered streets themselves.
    """
    machine.apply()
    streets = open_data("streets", settings.data)
    data = open_data(path, settings.data, cache)
    if path in RENDERED:
        raise SegnbError(f"data {path!r} are the rendered streets themselves; name a folder of real frames")
    size = settings.scenes.size
    real = frames(data, cache, size)
    learning = len(real) - data.counts["test"]

    def counts(network: torch.nn.Module, split: Split) -> np.ndarray:
        return evaluate(network, split, settings.scenes.batch_size, machine).confusion.numpy()

    found: dict[str, list[np.ndarray]] = {arm: [] for arm in ("streets", *ARMS)}
    for seed in range(settings.seeds):
        turns = rounds(real.names, learning, settings, seed)
        tested = np.sort(np.concatenate([test for _, test in turns]))
        say(f"seed {seed}: {ARMS['scenes']}, {streets.counts['train']} of them …")
        start, model = taught_by_scenes(streets, settings.scenes, seed, machine, cache)
        found["streets"].append(counts(model, streets.split(cache, "test", size)))
        found["scenes"].append(counts(model, chosen(real, tested)))
        for arm, recipe in (("scratch", settings.scratch), ("tuned", settings.tuned)):
            parts = np.zeros_like(found["scenes"][-1])
            for turn, (few, test) in enumerate(turns):
                say(f"seed {seed}: {ARMS[arm]}, {len(few)} frames, {turn + 1} of {len(turns)} …")
                # `fit` needs a validation split. No frame can be spared, so it is one of those that are
                # learnt from; the weights of the last epoch do not depend on it.
                splits = chosen(real, few), chosen(real, few[:1])
                what = [data.digest, few.tolist(), start.parents[2].name if arm == "tuned" else None]
                begin = partial(checkpoint.load_model, start) if arm == "tuned" else None
                folder = cache / "transfer"
                _, model = trained(seed, splits, recipe, machine, folder, what, begin, last=True)
                parts[np.searchsorted(tested, test)] = counts(model, chosen(real, test))
            found[arm].append(parts)

    crossed, names = len(real) <= MANY, [real.names[i] for i in tested]
    confusions = {arm: np.stack(parts) for arm, parts in found.items()}  # (seeds, N, 13, 13)
    for arm in ARMS:
        confusions[arm] = in_common(confusions[arm], data.classes)
    return {
        "data": {"name": data.name, "digest": data.digest, "counts": data.counts},
        "scheme": f"{settings.folds} folds" if crossed else f"{settings.few} training frames drawn",
        "learnt_from": sorted({len(few) for few, _ in turns}),
        "tested_on": len(tested),
        "settings": asdict(settings) | {"data": settings.data.name},
        "scenes": {"digest": streets.digest, "counts": streets.counts},
        "machine": asdict(machine),
        "code": code_digest(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "results": {
            arm: _told(
                _effect([one], streets.names["test"] if arm == "streets" else names), class_iou(one.sum(1))
            )
            for arm, one in confusions.items()
        }
        | {
            "gain": _told(
                _effect([confusions["tuned"], confusions["scratch"]], names),
                class_iou(confusions["tuned"].sum(1)) - class_iou(confusions["scratch"].sum(1)),
            )
        },
    }


def _effect(sides: list[np.ndarray], names: list[str]) -> Effect:
    """mIoU of one side, or of the first less the second; sides: counts (seeds, N, C, C)."""
    weights = weights_of(names)
    values = np.array([mean_iou(side.sum(1)) for side in sides])
    draws = np.array([[resample({"confusion": one}, mean_iou, weights) for one in side] for side in sides])
    return effect(values, draws, np.array([1.0, -1.0][: len(sides)]), images=count_blocks(names))


def _told(effect: Effect, classes: np.ndarray) -> dict:
    """classes: (seeds, 13), NaN where the frames do not show one."""
    return {
        "miou": effect.estimate,
        "interval": effect.interval(),
        "by_seed": effect.by_seed.tolist(),
        "classes": {
            name: float(value)
            for name, value in zip(STREET.names, classes.mean(0), strict=True)
            if not np.isnan(value)
        },
    }
