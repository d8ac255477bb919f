"""Transfer from rendered streets to real frames (`make transfer`).

How well does a U-Net trained on rendered streets work on real frames, and how much does it help as a start
if there are few of them? Three ways of training are compared on the same frames, with the same seeds:

    scenes   on rendered streets alone
    scratch  on few real frames, from random weights
    tuned    on the same few frames, from the network of "scenes"

Up to `MANY` frames are all tested by cross-validation. In larger sets, a few training frames are drawn and
the test split is tested. Each seed has its own network of scenes, initial weights, order and training frames.
The intervals (`segnb.stats.effect`) cover other seeds and other test images. They cover other *training*
frames only as far as the folds and draws of the seeds do. The training frames of folds overlap, so with a
handful of frames the intervals are too narrow rather than too wide.
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
from segnb.data.folders import SPLITS
from segnb.errors import SegnbError
from segnb.labels import IGNORE_INDEX, STREET, ClassMap
from segnb.metrics.confusion import class_iou, mean_iou
from segnb.models.build import build
from segnb.presets import PRESETS, Preset, Recipe
from segnb.runtime.machine import Machine
from segnb.stats.bootstrap import count_blocks, resample, weights_of
from segnb.stats.effect import Effect, effect
from segnb.study.study import Run
from segnb.training import checkpoint, code_digest
from segnb.training.loop import evaluate, fit

UNET = "UNet_Standard_256"
MANY = 100  # frames; up to here a test split of few drives says little, so every frame is tested
ARMS = {"scenes": "scenes alone", "scratch": "few frames alone", "tuned": "scenes, then few frames"}

_QUICK = PRESETS["quick"].unet


@dataclass(frozen=True)
class Settings:
    """Data and recipes, chosen on the training frames of CamVid, which nothing is tested on."""

    data: Preset = replace(PRESETS["quick"], train=1500)
    scenes: Recipe = replace(_QUICK, epochs=6)
    # Both keep the weights of the last epoch, because no frames are left to choose the best epoch by.
    scratch: Recipe = replace(_QUICK, epochs=160)
    tuned: Recipe = replace(_QUICK, epochs=80)
    seeds: int = 3
    folds: int = 4  # 22 or 23 of 30 frames are for training
    few: int = 22


# ---- common classes ----------------------------------------------------------------------------------


def to_street(classes: ClassMap) -> np.ndarray:
    """Return a look-up table (256,), uint8, from the ids of a label set to those of STREET, by name.

    Sky becomes Unlabeled, which is mostly sky in STREET. A class that STREET lacks (CamVid's Bicyclist)
    becomes IGNORE_INDEX. No scene shows it, so it would add the same zero to every network of scenes, and
    calling it Pedestrian or Other would replace the labels by a guess of ours.

    Raises:
        SegnbError: Fewer than two classes are common.
    """
    table = np.full(256, IGNORE_INDEX, np.uint8)
    for i, name in enumerate(classes.names):
        name = "Unlabeled" if name == "Sky" else name
        if name in STREET.names:
            table[i] = STREET.id(name)
    if (table != IGNORE_INDEX).sum() < 2:
        raise SegnbError(
            f"classes {', '.join(classes.names)}: fewer than two are among those of the rendered streets. Use"
            f" these names in classes.csv: {', '.join(STREET.names)}"
        )
    return table


def in_common(confusion: np.ndarray, classes: ClassMap) -> np.ndarray:
    """Return counts (..., 13, 13) in which a predicted Roadline is Road if `classes` have no Roadline.

    CamVid's Road includes its markings, so predicting a marking is not an error there.
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
    """Return all frames of a data set, first train, then val, then test, with classes of STREET."""
    parts = [data.split(cache, name, size) for name in SPLITS]
    return Split(
        np.concatenate([part.images for part in parts]),
        to_street(data.classes)[np.concatenate([part.labels for part in parts])],
        [name for part in parts for name in part.names],
    )


def chosen(split: Split, indices: np.ndarray) -> Split:
    """Return some images of a split."""
    return Split(split.images[indices], split.labels[indices], [split.names[i] for i in indices])


def rounds(
    names: list[str], learning: int, settings: Settings, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Choose frames for training and testing, by their names and the seed alone.

    Args:
        names: names of all frames.
        learning: how many of them, from the first, may be training frames if there are more than `MANY`.
        settings: number of folds and of training frames.
        seed: seed of the choice.

    Returns:
        Indices (training, test) of each round.
    """
    hashes = [hashlib.sha256(f"{seed}/{name}".encode()).digest() for name in names]
    order = np.array(sorted(range(len(names)), key=hashes.__getitem__))
    if len(names) <= MANY:
        tested = [np.sort(order[fold :: settings.folds]) for fold in range(settings.folds)]
        return [(np.setdiff1d(order, fold), fold) for fold in tested]
    return [(np.sort(order[order < learning][: settings.few]), np.arange(learning, len(names)))]


# Exposure, contrast, colour and focus depend on camera and weather, and rendered scenes vary them little.
VARIATIONS = v2.Compose(
    [
        v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.5, hue=0.1),
        v2.RandomApply([v2.GaussianBlur(5, sigma=(0.3, 1.5))], p=0.3),
    ]
)


@dataclass(frozen=True)
class Varied(Split):
    """Scenes as other cameras might show them, varied again in each batch.

    The variations depend on torch's seed.
    """

    def batch(
        self, chosen: np.ndarray, flips: np.ndarray, machine: Machine
    ) -> tuple[torch.Tensor, torch.Tensor]:
        pictures = torch.tensor(self.images[chosen]).permute(0, 3, 1, 2)
        images = np.stack([VARIATIONS(picture).permute(1, 2, 0).numpy() for picture in pictures])
        varied = Split(images, self.labels[chosen], [self.names[i] for i in chosen])
        return varied.batch(np.arange(len(varied)), flips[chosen], machine)


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
    """Train a U-Net for the classes of STREET, unless `folder` contains it.

    Args:
        seed: seed of weights, order and variations.
        splits: training and validation.
        recipe: size, width, epochs and so on.
        machine: device and settings.
        folder: where finished networks are.
        what: description of the splits and of `begin`, ready for JSON, which identifies the network.
        begin: function that changes the initial weights before training.
        last: whether to use the weights of the last epoch instead of the best.

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
        if last and not run.done:  # `fit` calls it for a finished run too, without loading its weights
            checkpoint.save_model(path, model)

    fit(model, *splits, recipe, seed, run, machine, keep_last)
    checkpoint.load_model(path, model)
    return path, machine.place(model)


def measure(path: str, settings: Settings, machine: Machine, cache: Path) -> dict:
    """Compare the three ways of training on one data set.

    Args:
        path: folder of real frames, as for `open_data`.
        settings: data and recipes.
        machine: device and settings of the machine.
        cache: folder whose subfolder transfer stores the networks, so that an interrupted benchmark resumes
            and other frames reuse the networks of scenes.

    Returns:
        The values for `benchmarks.__main__.transfer_table`, ready for JSON.

    Raises:
        SegnbError: See `open_data` and `to_street`; or `path` names the rendered streets.
    """
    machine.apply()
    streets = open_data("streets", settings.data)
    data = open_data(path, settings.data, cache)
    if path in RENDERED:
        raise SegnbError(f"data {path!r} are the rendered streets (expected a folder of real frames)")
    size, folder = settings.scenes.size, cache / "transfer"
    real = frames(data, cache, size)
    learning = len(real) - data.counts["test"]

    def counts(network: torch.nn.Module, split: Split) -> np.ndarray:
        return evaluate(network, split, settings.scenes.batch_size, machine).confusion.numpy()

    counted: dict[str, list[np.ndarray]] = {arm: [] for arm in ("streets", *ARMS)}
    for seed in range(settings.seeds):
        turns = rounds(real.names, learning, settings, seed)
        tested = np.sort(np.concatenate([test for _, test in turns]))
        print(f"seed {seed}: {ARMS['scenes']}, {streets.counts['train']:,} scenes …", flush=True)
        splits = Varied(**vars(streets.split(cache, "train", size))), streets.split(cache, "val", size)
        what = [streets.digest, repr(VARIATIONS)]
        start, model = trained(seed, splits, settings.scenes, machine, folder, what)
        counted["streets"].append(counts(model, streets.split(cache, "test", size)))
        counted["scenes"].append(counts(model, chosen(real, tested)))
        for arm, recipe in (("scratch", settings.scratch), ("tuned", settings.tuned)):
            parts = np.zeros_like(counted["scenes"][-1])
            for turn, (few, test) in enumerate(turns, start=1):
                where = f"round {turn} of {len(turns)}"
                print(f"seed {seed}: {ARMS[arm]}, {len(few)} frames, {where} …", flush=True)
                # `fit` needs a validation split. No frame can be spared, so it is a training frame; the
                # weights of the last epoch do not depend on it.
                splits = chosen(real, few), chosen(real, few[:1])
                what = [data.digest, few.tolist(), start.parents[2].name if arm == "tuned" else None]
                begin = partial(checkpoint.load_model, start) if arm == "tuned" else None
                _, model = trained(seed, splits, recipe, machine, folder, what, begin, last=True)
                parts[np.searchsorted(tested, test)] = counts(model, chosen(real, test))
            counted[arm].append(parts)

    crossed, names = len(real) <= MANY, [real.names[i] for i in tested]
    confusions = {arm: np.stack(parts) for arm, parts in counted.items()}  # (seeds, N, 13, 13)
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
            arm: _entry([one], streets.names["test"] if arm == "streets" else names)
            for arm, one in confusions.items()
        }
        | {"gain": _entry([confusions["tuned"], confusions["scratch"]], names)},
    }


def _effect(sides: list[np.ndarray], names: list[str]) -> Effect:
    """Return the mIoU of one side, or of the first minus the second; sides: counts (seeds, N, C, C)."""
    weights = weights_of(names)
    values = np.array([mean_iou(side.sum(1)) for side in sides])
    draws = np.array([[resample({"confusion": one}, mean_iou, weights) for one in side] for side in sides])
    return effect(values, draws, np.array([1.0, -1.0][: len(sides)]), images=count_blocks(names))


def _entry(sides: list[np.ndarray], names: list[str]) -> dict:
    """Return the effect and the IoUs of the classes that a frame shows, ready for JSON; see `_effect`."""
    miou = _effect(sides, names)
    ious = [class_iou(side.sum(1)) for side in sides]  # (seeds, 13)
    classes = ious[0] - sum(ious[1:])
    return {
        "miou": miou.estimate,
        "interval": miou.interval(),
        "by_seed": miou.by_seed.tolist(),
        "classes": {
            name: float(value)
            for name, value in zip(STREET.names, classes.mean(0), strict=True)
            if not np.isnan(value)
        },
    }
