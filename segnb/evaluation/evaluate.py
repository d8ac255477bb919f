"""Evaluation of a finished run: load its network, compute its metrics, predict with it."""

from collections.abc import Collection
from contextlib import ExitStack
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
from segnb.evaluation import ablation
from segnb.metrics import boundaries, confusion, objects
from segnb.metrics.published_score import as_published_score
from segnb.metrics.softness import Softness
from segnb.models.build import build
from segnb.models.registry import VARIANTS
from segnb.presets import Recipe
from segnb.runtime.machine import Machine, bits_environment, usable_cores
from segnb.storage.checksums import sha256
from segnb.study.study import Run, Study
from segnb.training import checkpoint, evaluation_digest
from segnb.training.loop import evaluate

SHOWN = 24  # test images whose predictions are stored for the report and the explorer


def load(run: Run, machine: Machine | None = None) -> torch.nn.Module:
    """Load the best weights of a run, in eval mode.

    Args:
        run: a finished run
        machine: sets the device and the memory layout; None means the study's

    Raises:
        SegnbError: if the weights are missing or damaged.
    """
    if not run.model_path.exists() or sha256(run.model_path) != run.summary["model_sha256"]:
        raise SegnbError(
            f"{run.model_path}: missing or damaged file (SHA-256 differs). Delete {run.path} to train this"
            " run again."
        )
    study = run.study
    model = build(run.variant, len(study.classes), run.recipe.width)
    checkpoint.load_model(run.model_path, model)
    return (machine or study.machine).place(model).eval()


def shown(count: int) -> np.ndarray:
    """Return the indices of the stored images: spread evenly over a split of `count`, equal for all runs."""
    return np.unique(np.linspace(0, count - 1, SHOWN).round().astype(int))


def measure(run: Run) -> None:
    """Evaluate a finished run on the test images and write the files that report and claims read.

    `segnb.storage.run_folder` lists the files. Each file is complete or absent, and a second call writes
    equal files. test_confusion.npz is written last, so if it exists, all files exist.

    Raises:
        SegnbError: if another process trains or evaluates the run, or if its weights are missing or damaged.
    """
    with run.at_work("testing"):
        _measure(run)


def _measure(run: Run) -> None:
    """Evaluate as `measure` describes, in the process that holds the lock of the run."""
    study, machine = run.study, run.study.machine
    machine.apply()
    recipe, classes = run.recipe, study.classes
    split = study.split("test", recipe.size)
    model, index = load(run), shown(len(split))

    parts: list[np.ndarray] = []
    softness = Softness(split.labels)
    openness, gated = ablation.Openness(recipe.size, index), ablation.gate_levels(run.variant)

    def see(logits: torch.Tensor) -> None:
        parts.append(confusion.most_likely(logits).byte().cpu().numpy())
        softness.see(logits)

    with ExitStack() as hooks:
        hooks.enter_context(ablation.watched(model, gated, openness.see, openness.weigh))
        if run.family == "fcn":
            unfused = ablation.Unfused(ablation.skip_levels(run.variant), model, split, machine)
            hooks.enter_context(model.trunk.register_forward_hook(unfused.see))
        evaluation = evaluate(model, split, recipe.batch_size, machine, see)
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
        **objects.false_parts(split.labels, predictions, len(classes)),
    )
    sight = study.visibility(recipe.size)  # visible shares and numbers of things, or () if unknown
    table = objects.components(split.labels, predictions, things, *sight)
    if run.family == "fcn":
        # The objects that even perfect scores at this stride find.
        perfect = boundaries.at_stride(split.labels, VARIANTS[run.variant].config.stride, len(classes))
        table["reachable"] = objects.components(split.labels, perfect, things, *sight)["found"]
    run.write_arrays(run.objects_path, **{name: table[name].to_numpy() for name in table})
    if gated:
        without = ablation.neutral_confusion(model, split, recipe.batch_size, machine)
        run.write_arrays(run.gates_path, index=index, neutral_confusion=without, **openness.statistics())
    if run.family == "fcn":
        without = unfused.statistics()
    else:
        without = ablation.confusions(run.variant, model, split, recipe.batch_size, machine)
        _test_shifts(run, model, recipe)  # for claim U14, which compares U-Nets
    if without:
        run.write_arrays(run.ablation_path, **without)
    run.write_arrays(
        run.predictions_path,
        index=index,
        names=np.array(split.names)[index],
        images=split.images[index],
        labels=split.labels[index],
        predictions=predictions[index],
    )
    copied = {}
    if study.settings["data"]["name"] in DRIVES:  # for the claim on splits
        copies = torch.from_numpy(most_alike(study.split("train", recipe.size), split))
        copied["copied"] = confusion.confusion(
            torch.from_numpy(np.array(split.labels)), copies, len(classes)
        ).numpy()
    run.write_arrays(
        run.confusion_path,
        confusion=evaluation.confusion.numpy(),
        names=np.array(split.names),
        loss=np.array(evaluation.loss),
        as_published=np.array(as_published_score(split.labels, predictions, len(classes))),
        code=np.array(evaluation_digest()),
        **copied,
    )


def most_alike(train: Split, test: Split) -> np.ndarray:
    """Return for each test image the label map of the most similar training image, (N, S, S).

    The most similar image has the smallest Euclidean distance of colours, after both images are reduced to
    16×16.
    """
    side = test.images.shape[1] // 16  # px of a cell

    def thumbnails(split: Split) -> np.ndarray:
        blocks = (image[: 16 * side, : 16 * side].reshape(16, side, 16, side, 3) for image in split.images)
        return np.stack([block.mean((1, 3), dtype=np.float32).ravel() for block in blocks])

    candidates = thumbnails(train)
    nearest = [((candidates - image) ** 2).sum(1).argmin() for image in thumbnails(test)]
    return train.labels[nearest]


def _test_shifts(run: Run, model: torch.nn.Module, recipe: Recipe) -> None:
    """Write the confusion under other conditions (fog, night …), if the data set has such scenes."""
    scenes = {kind: run.study.shifted(kind, recipe.size) for kind in KINDS}
    if None in scenes.values():
        return
    evaluations = [evaluate(model, split, recipe.batch_size, run.study.machine) for split in scenes.values()]
    run.write_arrays(
        run.shifts_path,
        kinds=np.array(list(scenes)),
        confusion=np.stack([evaluation.confusion.numpy() for evaluation in evaluations]),
    )


# ---- one image -------------------------------------------------------------------------------------------


def here(study: Study) -> Machine:
    """Return the settings for interactive predictions: the study's, but on all cores.

    Without the study's GPU, the CPU computes in fp32. Sums in another order may change the class of a pixel
    at which two classes are almost equal.
    """
    machine = replace(study.machine, threads=usable_cores())
    if machine.device == "cuda" and not torch.cuda.is_available():
        machine = replace(machine, device="cpu", precision="fp32")
    return replace(machine, environment=bits_environment(machine.device))


@lru_cache(maxsize=16)  # all networks of a seed: 0.5 GB at the size of preset quick, 4 GB at that of paper
def network(run: Run) -> torch.nn.Module:
    """Return a run's network, which stays in memory; see `load`."""
    machine = here(run.study)
    machine.apply()
    return load(run, machine)


class Prediction(NamedTuple):
    """The prediction of a network for one image.

    Attributes:
        probabilities: float (C, S, S), 0 to 1
        maps: the gate maps by level, float (M, h, w) with M = 1 or one per class; empty without gates
    """

    probabilities: Tensor
    maps: dict[int, np.ndarray]

    @property
    def classes(self) -> np.ndarray:
        """The class with the highest probability, uint8 (S, S)."""
        return self.probabilities.max(0).indices.byte().numpy()

    @property
    def confidence(self) -> np.ndarray:
        """The highest probability × 255, uint8 (S, S)."""
        return (self.probabilities.amax(0) * 255).round().byte().numpy()


def predict(
    run: Run, image: np.ndarray, skips: Collection[int] = (), gated: Collection[int] = ()
) -> Prediction:
    """Predict one image, optionally without some skips and gates.

    Args:
        run: a finished run
        image: RGB, uint8 (S, S, 3)
        skips, gated: levels whose skips and gate maps are replaced by their means; see `ablation.without`
    """
    model, machine, size = network(run), here(run.study), len(image)
    maps: dict[int, np.ndarray] = {}

    def see(level: int, batch: Tensor) -> None:
        maps[level] = ablation.on_image(batch, level, size)[0].float().cpu().numpy()

    watching = ablation.watched(model, ablation.gate_levels(run.variant), see)
    batch = machine.arrange(normalise(torch.from_numpy(image[None]).to(machine.device)))
    # `watching` is entered after `without`, so that it sees the replaced maps.
    with ablation.without(model, size, skips, gated), watching, torch.inference_mode(), machine.autocast():
        logits = model(batch)
    return Prediction(logits[0].float().softmax(0).cpu(), dict(sorted(maps.items())))
