"""A finished run's network at work: load it, test it, predict with it."""

from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from segnb.data.batches import Split, normalise
from segnb.data.dataset import DRIVES
from segnb.data.shifts import KINDS
from segnb.errors import SegnbError
from segnb.evaluation import ablation, gates
from segnb.metrics import boundaries, confusion, objects
from segnb.metrics.published_score import as_published_score
from segnb.metrics.softness import Softness
from segnb.models.build import build
from segnb.models.registry import VARIANTS
from segnb.presets import Recipe
from segnb.runtime.machine import Machine, bits_environment, usable_cores
from segnb.storage.checksums import sha256
from segnb.study.study import Run, Study
from segnb.training import checkpoint
from segnb.training.loop import evaluate

SHOWN = 24  # test images whose predictions a run keeps for the report and the explorer


def load(run: Run, machine: Machine | None = None) -> torch.nn.Module:
    """The run's best network, in eval mode, on the study's device, or on that of `machine`."""
    if not run.model_path.exists() or sha256(run.model_path) != run.summary["model_sha256"]:
        raise SegnbError(
            f"{run.model_path} is damaged (its SHA-256 differs) or gone; delete {run.path} to train again"
        )
    study = run.study
    model = build(run.variant, len(study.classes), run.recipe.width)
    checkpoint.load_model(run.model_path, model)
    return (machine or study.machine).place(model).eval()


def shown(count: int) -> np.ndarray:
    """Indices of the images to keep: spread evenly over the split, the same for every run."""
    return np.unique(np.linspace(0, count - 1, SHOWN).round().astype(int))


def measure(run: Run) -> None:
    """Test a finished run and write all that reports and claims need to know of it: see `Run`.

    Each file is whole or not there, and a second call writes the same ones again. test_confusion.npz is
    written last: with it, the others are there too. Raises SegnbError if another process is at work on it.
    """
    with run.at_work("testing"):
        _measure(run)


def _measure(run: Run) -> None:
    study, machine = run.study, run.study.machine
    machine.apply()
    family, classes = VARIANTS[run.variant].family, study.classes
    recipe = run.recipe
    split = study.split("test", recipe.size)
    model, index = load(run), shown(len(split))

    parts: list[np.ndarray] = []
    softness = Softness(split.labels)
    openness = gates.Openness(recipe.size, index) if gates.has_gates(model) else None

    def see(logits: torch.Tensor) -> None:
        parts.append(confusion.most_likely(logits).byte().cpu().numpy())
        softness.see(logits)

    with gates.watched(model, openness.see, openness.weigh) if openness else nullcontext():
        found = evaluate(model, split, recipe.batch_size, machine, see)
    predictions = np.concatenate(parts)
    things = [classes.id(name) for name in classes.things]

    run.write_arrays(run.predicted_path, classes=predictions)
    run.write_arrays(
        run.boundary_path,
        distances=np.array(boundaries.DISTANCES),
        trimap_edges=np.array(boundaries.TRIMAP),
        **boundaries.statistics(split.images, split.labels, predictions, len(classes)),
        **softness.statistics(),
        **boundaries.between(split.labels, predictions, things),
        **objects.specks(split.labels, predictions, len(classes)),
    )
    sight = study.visibility(recipe.size)
    table = objects.components(split.labels, predictions, things, *sight)
    if family == "fcn":
        perfect = boundaries.at_stride(split.labels, VARIANTS[run.variant].config.stride, len(classes))
        table["reachable"] = objects.components(split.labels, perfect, things, *sight)["found"]
    run.write_arrays(run.objects_path, **{name: table[name].to_numpy() for name in table})
    if openness:
        without = gates.neutral_confusion(model, split, recipe.batch_size, machine)
        run.write_arrays(run.gates_path, index=index, neutral_confusion=without, **openness.statistics())
    if without := ablation.confusions(run.variant, model, split, recipe.batch_size, machine):
        run.write_arrays(run.ablation_path, **without)
    if family == "unet":
        _test_shifts(run, model, recipe)
    run.write_arrays(
        run.predictions_path,
        index=index,
        names=np.array(split.names)[index],
        images=split.images[index],
        labels=split.labels[index],
        predictions=predictions[index],
    )
    copied = {}
    if study.settings["data"]["name"] in DRIVES:  # what the claim on splits asks
        copies = torch.from_numpy(most_alike(study.split("train", recipe.size), split))
        copied["copied"] = confusion.confusion(
            torch.from_numpy(np.array(split.labels)), copies, len(classes)
        ).numpy()
    run.write_arrays(
        run.confusion_path,
        confusion=found.confusion.numpy(),
        names=np.array(split.names),
        loss=np.array(found.loss),
        as_published=np.array(as_published_score(split.labels, predictions, len(classes))),
        **copied,
    )


def most_alike(train: Split, test: Split) -> np.ndarray:
    """For each test image the label map (N, S, S) of the training image that looks most alike.

    Alike is a small distance of colours between the two, each shrunk to 16×16.
    """
    cells = test.images.shape[1] // 16

    def shrunk(split: Split) -> np.ndarray:
        cut = (image[: 16 * cells, : 16 * cells].reshape(16, cells, 16, cells, 3) for image in split.images)
        return np.stack([one.mean((1, 3), dtype=np.float32).ravel() for one in cut])

    known = shrunk(train)
    nearest = [((known - one) ** 2).sum(1).argmin() for one in shrunk(test)]
    return train.labels[nearest]


def _test_shifts(run: Run, model: torch.nn.Module, recipe: Recipe) -> None:
    """Count how the network does under other conditions, where there are scenes under such."""
    scenes = {kind: run.study.shifted(kind, recipe.size) for kind in KINDS}
    if None in scenes.values():
        return
    found = [evaluate(model, split, recipe.batch_size, run.study.machine) for split in scenes.values()]
    run.write_arrays(
        run.shifts_path,
        kinds=np.array(list(scenes)),
        confusion=np.stack([evaluation.confusion.numpy() for evaluation in found]),
    )


# ---- one image -------------------------------------------------------------------------------------------


def here(study: Study) -> Machine:
    """The settings to look with: the study's on all cores, or the CPU in full precision where its GPU is not.

    Whoever waits is glad of the cores; sums in another order may tip a pixel that two classes share.
    """
    machine = replace(study.machine, threads=usable_cores())
    if machine.device == "cuda" and not torch.cuda.is_available():
        machine = replace(machine, device="cpu", precision="fp32")
    return replace(machine, environment=bits_environment(machine.device))


@lru_cache(maxsize=16)  # all variants of a seed: half a gigabyte at quick size, four at the study's own
def network(run: Run) -> torch.nn.Module:
    """Return the run's network, kept in memory. Raises SegnbError as `evaluate.load` does."""
    machine = here(run.study)
    machine.apply()
    return load(run, machine)


class Prediction(NamedTuple):
    """What a network makes of one image.

    probabilities: float (C, S, S)
    maps:          {level: float (M, h, w)} of its gates, M one or one per class; empty without gates
    """

    probabilities: Tensor
    maps: dict[int, np.ndarray]

    @property
    def classes(self) -> np.ndarray:
        """uint8 (S, S): the class of highest probability."""
        return self.probabilities.max(0).indices.byte().numpy()

    @property
    def confidence(self) -> np.ndarray:
        """uint8 (S, S): that probability × 255."""
        return (self.probabilities.amax(0) * 255).round().byte().numpy()


def predict(
    run: Run, image: np.ndarray, skips: Collection[int] = (), gated: Collection[int] = ()
) -> Prediction:
    """Predict an image, uint8 (S, S, 3), with skips and gates of some levels switched off, see `without`."""
    model, machine, size = network(run), here(run.study), len(image)
    maps: dict[int, np.ndarray] = {}

    def see(level: int, found: Tensor) -> None:
        maps[level] = gates.on_image(found, level, size)[0].float().cpu().numpy()

    watching = gates.watched(model, see) if gates.has_gates(model) else nullcontext()
    batch = machine.arrange(normalise(torch.from_numpy(image[None]).to(machine.device)))
    # Watched last, to see what `without` makes of the maps.
    with ablation.without(model, size, skips, gated), watching, torch.inference_mode(), machine.autocast():
        logits = model(batch)
    return Prediction(logits[0].float().softmax(0).cpu(), dict(sorted(maps.items())))
