"""A synthetic study with known effects and every file that a report reads, made in a second without training.

The *skill* of a network is the share of an image's pixels that it predicts correctly, apart from variation by
seed and image. The wrong pixels are drawn once per image and seed for all networks, so that differences are
paired. All metrics follow from the predictions or rise and fall with skill.
"""

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch

from segnb import __version__
from segnb.data.dataset import open_data
from segnb.labels import LABEL_SETS, ClassMap
from segnb.metrics.boundaries import between
from segnb.metrics.objects import components, false_parts
from segnb.models.build import build
from segnb.models.registry import VARIANTS
from segnb.presets import PRESETS
from segnb.storage.checksums import sha256
from segnb.storage.files import read_json, write_json
from segnb.study.study import Run, Study
from segnb.training import checkpoint, evaluation_digest

SKILL = {  # of the networks that tests compare
    "FCN32s_vgg16_freeze": 0.40,
    "FCN32s_vgg16_finetune": 0.48,
    "FCN16s_vgg16_freeze": 0.50,
    "FCN16s_vgg16_finetune": 0.58,
    "FCN8s_vgg16_freeze": 0.58,
    "FCN8s_vgg16_finetune": 0.72,
    "UNet_Standard_256": 0.70,
    "UNet_NoSkip_256": 0.55,
    "ResidualUNet_256": 0.70,
    "AttentionUNet_256": 0.70,
    "AttentionResidualUNet_256": 0.70,
    "AttentionResidualUNet_StridedGate_256": 0.70,
    "ClassAttentionResidualUNet_256": 0.74,
}
DEFAULT_SKILL = 0.70  # of all other networks
SIZE, BLOCK, LEVELS = 64, 4, 4
EVALUATED_BY = evaluation_digest()
THINGS = ("Pedestrian", "Pole", "Car", "Traffic sign")
KINDS = ("fog", "night", "noise", "occlusion")
SHIFT = {"fog": 0.05, "night": 0.10, "noise": 0.08, "occlusion": 0.06}  # loss of skill of every U-Net
NEUTRAL = 0.001  # loss of skill with a gate at its image mean, per level; with all gates, five times
PARTS = {
    "pool3": 0.05,
    "pool4": 0.1,
    "skips": 0.3,
    "signal:shuffled": 0.1,
    "signal:mean": 0.05,
}  # loss of skill
DISTANCES = np.array([1, 2, 3])
TRIMAP_EDGES = np.array([0, 1, 2, 4, 8, np.inf])


def scenes(classes: ClassMap, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (count, S, S, 3) and labels (count, S, S), uint8: bands and boxes of each thing."""
    draw = np.random.default_rng(0)
    known = [i for i, name in enumerate(classes.names) if name not in THINGS]
    labels = np.zeros((count, SIZE, SIZE), np.uint8)
    for one in labels:
        edges = np.linspace(0, SIZE, len(known) + 1).astype(int) + draw.integers(-1, 2, len(known) + 1)
        for place, kind in enumerate(known):
            one[:, max(edges[place], 0) : edges[place + 1] if place + 1 < len(known) else SIZE] = kind
        for kind in (classes.names.index(name) for name in THINGS if name in classes.names):
            for _ in range(3):
                side = draw.integers(2, 12)
                top, left = draw.integers(0, SIZE - side, 2)
                one[top : top + side, left : left + side] = kind
    noise = draw.integers(-12, 13, (*labels.shape, 3))
    return (classes.palette[labels] + noise).clip(0, 255).astype(np.uint8), labels


@patch("os.fsync", new=lambda file: None)  # these files need not survive a power cut
def make_study(
    folder: Path,
    seeds: int = 3,
    effects: dict[str, float] | None = None,
    *,
    variants: list[str] | None = None,
    images: int = 40,
    preset: str = "quick",
    data: str = "streets",
    label_set: str = "street",
    epochs: int = 10,
    seed_sd: float = 0.004,
    name: str = "",
) -> Study:
    """Write runs/<name>/ into a project folder, and the test split's cache.

    Args:
        effects: {variant: skill} instead of SKILL
        data: "streets", another rendered set, or the name of a folder together with its label set
        seed_sd: standard deviation of skill between seeds
    """
    skills = SKILL | (effects or {})
    chosen = replace(
        PRESETS[preset],
        test=images,
        seeds=seeds,
        fcn=replace(PRESETS[preset].fcn, size=SIZE, epochs=epochs),
        unet=replace(PRESETS[preset].unet, size=SIZE, epochs=epochs),
    )
    study = Study(folder / "runs" / (name or f"{preset}-{data}-00000000"))
    try:
        source = open_data(data, chosen)
        digest, origin = source.digest, source.origin
    except Exception:  # a folder that does not exist
        digest, origin = f"{data:0>16}"[-16:], f"the folder {data}"
    classes = LABEL_SETS[label_set]
    machine = {"device": "cpu", "device_name": "a made-up machine", "threads": 1, "precision": "fp32"}
    write_json(
        study.path / "study.json",
        {
            "preset": chosen.as_dict(),
            "data": {
                "name": data,
                "origin": origin,
                "label_set": label_set,
                "classes": classes.as_dict(),
                "digest": digest,
                "counts": {"train": chosen.train, "val": chosen.val, "test": images},
            },
            "weights": {"source": "hed", "sha256": "0" * 64, "file": None},
            "machine": machine
            | {"channels_last": True, "fused": True, "compile": False, "system": "none", "torch": "0"},
            "code": "0" * 16,
            "versions": {"torch": "0", "torchvision": "0", "numpy": "0"},
            "request": {"preset": preset, "data": data if data.startswith("streets") else f"/data/{data}"},
            "warnings": [],
        },
    )
    pictures, labels = scenes(classes, images)
    names = [f"test {i:04d}" if data.startswith("streets") else f"{data} {i:04d}" for i in range(images)]
    cache = folder / "cache" / f"{data}-{digest}" / str(SIZE)
    cache.mkdir(parents=True, exist_ok=True)
    np.save(cache / "test_images.npy", pictures)
    np.save(cache / "test_labels.npy", labels)
    write_json(cache / "test.json", {"names": names, "size": SIZE})
    for variant in variants or list(VARIANTS):
        for seed in range(seeds):
            luck = np.random.default_rng([seed, *variant.encode()]).normal(0, seed_sd)
            run = study.run(variant, seed)
            skill = skills.get(variant, DEFAULT_SKILL) + luck
            _write_run(run, skill, classes, pictures, labels, names, epochs)
    _write_cost(study, variants or list(VARIANTS))
    return study


def _guess(labels: np.ndarray, skill: float, seed: int, classes: int) -> np.ndarray:
    """Return predictions (N, S, S); in wrong blocks, the class after the true one."""
    draw = np.random.default_rng([seed, 7])
    cells = draw.random((len(labels), SIZE // BLOCK, SIZE // BLOCK))
    hard = np.random.default_rng(3).normal(0, 0.05, (len(labels), 1, 1))  # some images are hard
    right = (cells < skill + hard).repeat(BLOCK, 1).repeat(BLOCK, 2)
    return np.where(right, labels, (labels + 1) % classes).astype(np.uint8)


def _confusion(labels: np.ndarray, guess: np.ndarray, classes: int) -> np.ndarray:
    cell = (np.arange(len(labels))[:, None, None] * classes + labels) * classes + guess
    return np.bincount(cell.ravel(), minlength=len(labels) * classes**2).reshape(-1, classes, classes)


def _write_run(run: Run, skill, classes: ClassMap, pictures, labels, names, epochs) -> None:
    count, kinds, seed = len(labels), len(classes), run.seed
    draw = np.random.default_rng([seed, 11])
    guess = _guess(labels, skill, seed, kinds)
    confusion = _confusion(labels, guess, kinds)
    run.write_arrays(
        run.confusion_path,
        confusion=confusion,
        names=np.array(names),
        loss=np.array(2 * (1 - skill)),
        as_published=np.array(min(skill + 0.2, 1)),
        code=np.array(EVALUATED_BY),
    )
    index = np.unique(np.linspace(0, count - 1, 24).round().astype(int))
    run.write_arrays(
        run.predictions_path,
        index=index,
        names=np.array(names)[index],
        images=pictures[index],
        labels=labels[index],
        predictions=guess[index],
    )
    run.write_arrays(run.path / "predicted.npz", classes=guess)
    things = [classes.names.index(name) for name in THINGS if name in classes.names]
    _write_boundary(
        run,
        skill,
        confusion,
        draw,
        **false_parts(labels, guess, kinds),
        **between(labels, guess, things),
    )
    _write_objects(run, labels, guess, classes)
    parts = [name for name in PARTS if name in _parts(run.variant)]
    off = [_confusion(labels, _guess(labels, skill - PARTS[name], seed, kinds), kinds) for name in parts]
    if parts:
        run.write_arrays(run.ablation_path, names=np.array(parts), confusion=np.stack(off))
    if VARIANTS[run.variant].family == "unet":
        losses = [SHIFT[kind] for kind in KINDS]
        shifted = [_confusion(labels, _guess(labels, skill - lost, seed, kinds), kinds) for lost in losses]
        run.write_arrays(
            run.path / "shift_confusion.npz",
            kinds=np.array(KINDS),
            confusion=np.stack(shifted),
            names=np.array(names),
        )
    if _gate(run.variant) != "none":
        _write_gates(run, skill, labels, kinds, index, draw)
    _write_training(run, skill, epochs, draw)


def _gate(variant: str) -> str:
    return getattr(VARIANTS[variant].config, "gate", "none")


def _parts(variant: str) -> tuple[str, ...]:
    """Return the parts of `PARTS` that a network has."""
    config = VARIANTS[variant].config
    if VARIANTS[variant].family == "fcn":
        return {32: (), 16: ("pool4",), 8: ("pool3", "pool4")}[config.stride]
    gated = ("signal:shuffled", "signal:mean") if config.gate != "none" else ()
    return ("skips",) * config.skip + gated


def _write_gates(run: Run, skill: float, labels: np.ndarray, kinds: int, index, draw) -> None:
    maps = kinds if _gate(run.variant) == "class" else 1
    neutral = [_guess(labels, skill - NEUTRAL * level, run.seed, kinds) for level in range(1, LEVELS + 2)]
    run.write_arrays(
        run.path / "gates.npz",
        levels=np.arange(1, LEVELS + 1),
        std=draw.uniform(0.02, 0.05, (len(labels), LEVELS, maps)),
        passed=draw.uniform(0.3, 0.4, len(labels)),
        neutral_confusion=np.stack([_confusion(labels, guess, kinds) for guess in neutral]),
        index=index,
        **{
            f"maps{k + 1}": draw.uniform(0, 1, (len(index), maps, SIZE >> k, SIZE >> k)).astype(np.float16)
            for k in range(LEVELS)
        },
    )


def _write_boundary(run: Run, skill: float, confusion: np.ndarray, draw, **sums: np.ndarray) -> None:
    pixels = confusion.sum(2)  # (N, C)
    contour = (4 * np.sqrt(pixels)).round()  # as for one square box
    band = contour[:, None] * DISTANCES[:, None]  # (N, D, C)
    reach = (skill * (0.4 + 0.15 * DISTANCES))[:, None].clip(max=1)  # (D, 1): grows with the distance
    noise = draw.normal(1, 0.02, (len(pixels), 1, 1))
    found = (reach * noise).clip(max=1)
    trimap = np.tile(pixels[:, None], (1, len(TRIMAP_EDGES) - 1, 1))
    near = (skill + 0.03 * np.arange(len(TRIMAP_EDGES) - 1))[:, None].clip(max=1)
    hundred, of_image = np.full(len(pixels), 100), 100 * noise[:, 0, 0]
    run.write_arrays(
        run.path / "boundary.npz",
        distances=DISTANCES,
        iou_hits=(band * found).astype(int),
        iou_truth=band.astype(int),
        iou_predicted=band.astype(int),
        f1_precision_hits=(contour[:, None] * found).astype(int),
        f1_recall_hits=(contour[:, None] * found).astype(int),
        f1_predicted=contour[:, None].astype(int),
        f1_truth=contour[:, None].astype(int),
        length_truth=contour.sum(1),
        length_predicted=contour.sum(1) * (0.5 + 0.6 * skill),
        edge_distance_sum=of_image * 5 * (1 - skill),
        edge_count=hundred,
        gradient_sum=of_image * (0.4 + 0.5 * skill),
        gradient_count=hundred,
        softness_sum=of_image * (8 - 6 * skill),
        softness_count=hundred,
        softness_edges=hundred + 10,
        trimap_edges=TRIMAP_EDGES,
        trimap_hits=(trimap * near).astype(int),
        trimap_truth=trimap,
        **sums,
    )


def _write_objects(run: Run, labels, guess, classes: ClassMap) -> None:
    things = [classes.names.index(name) for name in THINGS if name in classes.names]
    if "Car" not in classes.names or classes.void:  # photographs: the hidden part is unknown
        visible = None
    else:  # a property of the scene, not of the network, equal within a band of rows
        sight = np.random.default_rng(5).integers(1, 256, (len(labels), SIZE // 16, 1)).repeat(16, 1)
        visible = np.broadcast_to(sight, labels.shape).astype(np.uint8)
    table = components(labels, guess, things, visible)
    if VARIANTS[run.variant].family == "fcn":
        table["reachable"] = True
    run.write_arrays(run.path / "objects.npz", **{name: table[name].to_numpy() for name in table})


def _write_training(run: Run, skill: float, epochs: int, draw) -> None:
    epoch = np.arange(1, epochs + 1)
    speed = 0.3 + 0.6 * skill  # the better network is also faster
    val = 0.6 * skill * (1 - np.exp(-speed * epoch)) + draw.normal(0, 0.002, epochs)
    run.write_history(
        pd.DataFrame(
            {
                "epoch": epoch,
                "train_loss": 2 - val,
                "val_loss": 2.1 - val,
                "train_miou": val + 0.01,
                "val_miou": val,
                "learning_rate": 1e-3,
                "train_seconds": 1.0,
                "seconds": 1.2,
            }
        ).to_dict("records")
    )
    layers = ["down1.0", "down2.0", "down3.0", "down4.0", "bottom.0"]
    ratios = {layer: 10 ** (2 * skill - 3 - 0.1 * depth) for depth, layer in enumerate(layers)}
    ratios["up1.block.0"] = 0.1  # equal in all networks: more of the gradient arrives in the better one
    pd.DataFrame(
        [{"epoch": e, "layer": layer, "ratio": ratio / e} for e in epoch for layer, ratio in ratios.items()]
    ).to_csv(run.path / "gradients.csv", index=False)
    write_json(run.path / "params.json", {"variant": run.variant, "seed": run.seed})
    write_json(
        run.path / "provenance.json",
        dict.fromkeys(("commit", "changed_files", "diff_sha256", "unlocked"))
        | {"segnb": __version__, "python": "3", "platform": "none", "processor": "a chip", "packages": {}}
        | {"machine": run.study.settings["machine"], "started": "2000-01-01T00:00:00+0000"},
    )
    done = {"epochs": epochs, "best_epoch": epochs, "best_val_miou": val.max(), "seconds": 1.2 * epochs}
    done |= {"model_sha256": "0" * 64, "tables": {}}
    write_json(run.path / "done.json", json.loads(json.dumps(done)))


def _write_cost(study: Study, variants: list[str]) -> None:
    rounds, steps = 5, 2
    slow = np.random.default_rng(1).normal(1, 0.01, (rounds, 1))  # a slow minute affects every variant
    rows = {}
    for variant in variants:
        frozen = getattr(VARIANTS[variant].config, "freeze_trunk", False)
        gated = _gate(variant) != "none"
        train = 0.05 * (1 if frozen else 2) * (1.04 if gated else 1)
        jitter = np.random.default_rng([2, *variant.encode()]).normal(1, 0.01, (rounds, steps))
        rows[variant] = {
            "parameters": 1_000_000 + 20_000 * gated,
            "trained_parameters": 200_000 if frozen else 1_000_000 + 20_000 * gated,
            "gflops": 5 + 0.1 * gated,
            "train_gflops": (8 if frozen else 15) + 0.3 * gated,
            "memory_mib": 300 + 200 * (not frozen) + 10 * gated,
            "train_seconds": train,
            "predict_seconds": train / 4,
            "train_samples": (train * slow * jitter).tolist(),
            "predict_samples": (train / 4 * slow * jitter).tolist(),
        }
    write_json(study.cost_path, {"machine": study.settings["machine"], "variants": rows})


def add_networks(study: Study, width: int) -> Study:
    """Give each run an untrained network, and return the study with this width of U-Nets."""
    settings = read_json(study.path / "study.json")
    settings["preset"]["unet"]["width"] = width
    write_json(study.path / "study.json", settings)
    study = Study(study.path)
    for run in study.finished():
        torch.manual_seed(len(run.variant) + run.seed)
        model = build(run.variant, len(study.classes), width)
        torch.nn.init.normal_(model.score.weight, std=30)  # so that probabilities differ between classes
        checkpoint.save_model(run.model_path, model)
        write_json(run.path / "done.json", run.summary | {"model_sha256": sha256(run.model_path)})
    return study
