"""Creation of a study from its parameters, and of the runs that belong to it."""

import hashlib
import os
import platform
from dataclasses import asdict
from importlib.metadata import version

import torch

from segnb.data.dataset import RENDERED, open_data
from segnb.data.layouts import parse
from segnb.errors import SegnbError
from segnb.models.fcn import load_trunk
from segnb.models.pretrained import Weights, resolve_weights
from segnb.params import RunParams, StudyParams
from segnb.presets import FULL_WIDTH, Preset, preset
from segnb.storage import cache_folder, runs_folder
from segnb.storage.files import read_json, to_json, write_json
from segnb.study.provenance import check, identity, network, provenance, resumed
from segnb.study.study import Run, Study, open_study
from segnb.training import code_digest
from segnb.training.autotune import resolve_machine


def create_study(params: StudyParams) -> Study:
    """Return the study of these parameters on this machine, created if it does not exist.

    Finds the backbone weights, downloads them if they are missing (unless SEGNB_OFFLINE=1), and measures the
    fastest precision if this machine has not done so yet. If the study exists, only the paths of its data and
    weights are updated, because a folder that was moved contains the same data, and a warning is added if it
    has none.
    """
    data = open_data(params.data, preset(params.preset), cache_folder())
    weights = _weights(params)
    resolved = _overridden(params, weights.source)
    machine = resolve_machine(runs_folder(), resolved, params.precision or resolved.precision)
    file = str(weights.file) if weights.file else None
    settings = {
        "request": _request(params, weights),
        "weights": {"source": weights.source, "sha256": weights.sha256, "file": file},
        "preset": resolved.as_dict(),
        "data": {
            "name": data.name,
            "origin": data.origin,
            "label_set": data.classes.key,
            "classes": data.classes.as_dict(),
            "digest": data.digest,
            "counts": data.counts,
            "notes": list(data.notes),
        },
        "machine": asdict(machine) | {"system": platform.platform(), "torch": torch.__version__},
        "code": code_digest(),
        "versions": _versions(),
        "warnings": [weights.warning] if weights.warning else [],
    }
    digest = hashlib.sha256(to_json(identity(settings), sort_keys=True).encode()).hexdigest()[:8]
    study = Study(runs_folder() / f"{params.preset}-{data.name}-{digest}")
    path = study.path / "study.json"
    if not path.exists():
        write_json(path, settings)
    else:
        old, new = study.settings["request"]["data"], settings["request"]["data"]
        request = dict(study.settings["request"])
        if parse(old)[0] != parse(new)[0]:  # another folder, not only with or without the name of its layout
            request["data"] = new
        if weights.is_users:
            request["weights"] = file
        now = study.settings | {"request": request, "weights": settings["weights"]}
        # The first warnings remain true of the runs that were trained then.
        now["warnings"] = study.settings["warnings"] or settings["warnings"]
        if now != study.settings:
            write_json(path, now)
    return Study(study.path)  # without the settings that `study` has cached


def _overridden(params: StudyParams, source: str) -> Preset:
    """Return the preset with the parameters that change it, for backbone weights of that source."""
    changeable = ("epochs", "learning_rate", "backbone_learning_rate")
    resolved = preset(params.preset).override(**{name: getattr(params, name) for name in changeable})
    if source == "random" and params.backbone_learning_rate is None:
        # A backbone with random weights has to learn as fast as the head on top of it.
        return resolved.override(backbone_learning_rate=resolved.fcn.learning_rate)
    return resolved


def _weights(params: StudyParams) -> Weights:
    chosen = preset(params.preset)
    source = params.weights or chosen.weights
    if source.endswith("+fc6") and chosen.fcn.width != FULL_WIDTH:
        raise SegnbError(
            f"weights {source!r}: they need an FCN head of full width, which preset {chosen.name} does not"
            " have. Use preset paper, or weights without +fc6."
        )
    weights = resolve_weights(source, os.environ.get("SEGNB_OFFLINE") == "1")
    if weights.is_users:
        load_trunk(weights)  # raises on an unreadable file before anything is trained
    return weights


def _request(params: StudyParams, weights: Weights) -> dict:
    """Return the parameters, with full paths of a data folder and of a file of weights."""
    request = params.model_dump()
    if params.data not in RENDERED:
        folder, layout = parse(params.data)
        request["data"] = f"{layout}:{folder.resolve()}" if layout else str(folder.resolve())
    if weights.is_users:
        request["weights"] = str(weights.file)
    return request


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "torchvision", "numpy")}


# ---- runs ----------------------------------------------------------------------------------------------


def open_run(params: RunParams) -> Run:
    """Return the run of these parameters, and create its study if they name none.

    Raises:
        SegnbError: the run would not belong to the named study, because code, versions, parameters or
            the machine have changed since it was created; or the network has changed since the run began.
    """
    study = open_study(params.study) if params.study else create_study(params.shared())
    if params.study:
        check_device(study)
        _check_belongs(study, params)
    run = Run(study.path / params.variant / f"seed{params.seed}")
    check(study, [run])  # passes a run that has not begun
    return run


def check_device(study: Study) -> None:
    """Raise SegnbError if torch does not find the study's GPU here."""
    if study.machine.device == "cuda" and not torch.cuda.is_available():
        raise SegnbError(
            f"study {study.name}: trains and evaluates on cuda, but torch finds only cpu here. Go on on a"
            " machine with cuda, or create a study for this machine with 'segnb study'."
        )


def _check_belongs(study: Study, params: RunParams) -> None:
    then = study.settings | study.settings["request"]  # preset, data and weights as they were requested
    now = {"code": code_digest(), "versions": _versions(), **params.shared().model_dump()}
    changed = [name for name, value in now.items() if then.get(name) != value]
    if not changed and _overridden(params.shared(), study.settings["weights"]["source"]) != study.preset:
        changed = ["its preset"]
    if changed:
        raise SegnbError(
            f"study {study.name}: this run no longer belongs to it, because {', '.join(changed)} changed"
            " since it was created. Run 'make report' for a new study."
        )
    _ = study.data  # raises if the data have changed


def begin_run(run: Run, params: RunParams) -> None:
    """Write parameters and provenance of a run that begins; a run that is resumed adds to its provenance."""
    path = run.provenance_path
    if not path.exists():
        write_json(run.path / "params.json", params.model_dump())
        write_json(path, provenance(run.study) | {"network": network(run.variant)})
    elif not run.done and not run.diverged and run.trainer() is None:  # otherwise the training is refused
        write_json(path, resumed(read_json(path)))
