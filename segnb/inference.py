"""A finished run's network at work: load it, test it, predict with it."""

from typing import NamedTuple

import numpy as np
import torch

from segnb import checkpoint, measures
from segnb.classes import VOID
from segnb.errors import SegnbError
from segnb.files import sha256
from segnb.models.variants import VARIANTS, build
from segnb.rundir import RunDir
from segnb.training import evaluate

SHOWN = 24  # test images whose predictions a run keeps for the report and the explorer


class Prediction(NamedTuple):
    classes: np.ndarray  # uint8 (N, S, S): the class of highest probability
    confidence: np.ndarray  # uint8 (N, S, S): that probability × 255


def load(run: RunDir) -> torch.nn.Module:
    """The run's best network, in eval mode, on the study's device."""
    study = run.study
    recipe = study.recipe(VARIANTS[run.variant].family)
    model = build(run.variant, len(study.classes), recipe.width)
    if sha256(run.model_path) != run.summary["model_sha256"]:
        raise SegnbError(
            f"{run.model_path} is damaged (its SHA-256 differs); delete {run.path} to train again"
        )
    checkpoint.load_model(run.model_path, model)
    return study.machine.place(model).eval()


def predicted(logits: torch.Tensor) -> Prediction:
    """Logits, (N, C, S, S) of any float type, to classes and confidence."""
    confidence, classes = logits.float().softmax(1).max(1)
    return Prediction(classes.byte().cpu().numpy(), (confidence * 255).round().byte().cpu().numpy())


def shown(count: int) -> np.ndarray:
    """Indices of the images to keep: spread evenly over the split, the same for every run."""
    return np.unique(np.linspace(0, count - 1, SHOWN).round().astype(int))


def measure(run: RunDir) -> None:
    """Test a finished run and write what every report needs: test_confusion.npz and predictions.npz."""
    study, machine = run.study, run.study.machine
    machine.apply()
    recipe = study.recipe(VARIANTS[run.variant].family)
    split = study.split("test", recipe.size)
    model = load(run)

    parts: list[Prediction] = []
    found = evaluate(model, split, recipe.batch_size, machine, lambda logits: parts.append(predicted(logits)))
    every = Prediction(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    void = np.asarray(split.labels) == VOID
    run.write_arrays(
        run.confusion_path,
        confusion=found.confusion.numpy(),
        names=np.array(split.names),
        loss=np.array(found.loss),
        as_published=np.array(
            measures.as_published_score(
                np.where(void, 0, split.labels), np.where(void, 0, every.classes), len(study.classes)
            )
        ),
    )
    index = shown(len(split))
    run.write_arrays(
        run.predictions_path,
        index=index,
        names=np.array(split.names)[index],
        images=split.images[index],
        labels=split.labels[index],
        predictions=every.classes[index],
        confidence=every.confidence[index],
    )
