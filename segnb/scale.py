"""`make scale`: what 65 and 1,001 runs cost to plan, to look at and to judge, and what disk a thousand take.

The runs are made up (segnb.made_up) and have every file that is read; three seeds are drawn, and the others
are hard links to them. Commands are timed as a user calls them, start-up included.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from segnb import boundaries, checkpoint, contrasts, features, machine, measures, objects
from segnb.classes import STREET
from segnb.data import streets
from segnb.data.tools import check, prepare
from segnb.files import markdown_table, root, share_code, write_json
from segnb.gates import LEVELS
from segnb.inference import shown
from segnb.machine import usable_cores
from segnb.made_up import make_study
from segnb.models.variants import VARIANTS, build
from segnb.models.vgg16 import CHANNELS, STRIDES
from segnb.presets import PRESETS, Preset
from segnb.rundir import RunDir, Study

SEEDS = (5, 77)  # of the 13 networks: 65 and 1,001 runs
DRAWN = 3
SCENES = 8  # rendered to measure what files of test images take
FRAMES = 32  # of 800×600 pixels, as Lyft-Udacity's are, for `segnb data check` and `prepare`
HASHES = 20_000  # compared with each other, as the check does
FCN, UNET = "FCN32s_vgg16_finetune", "UNet_Standard_256"
WEIGHED = (FCN, "FCN8s_vgg16_finetune", UNET, "ClassAttentionResidualUNet_256")  # the largest of each kind
RUNS, IMAGES, GPUS = 1_000, 100_000, 8  # what is extrapolated to
MARKS = ("<!-- scale -->", "<!-- /scale -->")  # between which README.md shows `table`, docs/scale.md `plan`


# ---- one command ------------------------------------------------------------------------------------

# A process of its own, and a small one: a command counts as its own what its parent had in memory.
_TIMED = """
import json, os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
told = child.stdout.read().decode()
_, status, used = os.wait4(child.pid, 0)
unit = 1 if sys.platform == "darwin" else 1024
print(json.dumps({"seconds": time.perf_counter() - start, "cpu_seconds": used.ru_utime + used.ru_stime,
                  "peak_bytes": used.ru_maxrss * unit, "status": status, "told": told[-2000:]}))
"""


def timed(project: Path, *command: str, tells: str = "") -> dict[str, float]:
    """seconds, cpu_seconds and peak_bytes of a Python command in a project folder.

    Raises RuntimeError with the end of what it printed if it fails, or does not tell what it should.
    """
    # Small matrix products: threads that wait for each other would count as work.
    env = os.environ | {"SEGNB_ROOT": str(project), "OPENBLAS_NUM_THREADS": "1"}
    call = [sys.executable, "-c", _TIMED, sys.executable, *command]
    found = json.loads(subprocess.run(call, cwd=project, env=env, capture_output=True, check=True).stdout)
    told = found.pop("told")
    if found.pop("status") or tells not in told:
        raise RuntimeError(f"{' '.join(command)[:100]} failed: {told}")
    return found


# ---- a grid of runs ---------------------------------------------------------------------------------


def project_in(folder: Path) -> Path:
    """A project folder with this checkout's code and runs of its own."""
    share_code(root(), folder)
    return folder


def grow(study: Study, variants: list[str], drawn: int, seeds: int) -> None:
    """Repeat the first `drawn` seeds of every network until there are `seeds`."""
    for variant in variants:
        for seed in range(drawn, seeds):
            source, run = study.run(variant, seed % drawn).path, study.run(variant, seed).path
            if not run.exists():
                run.mkdir()
                for file in source.iterdir():
                    os.link(file, run / file.name)


def finish(study: Study) -> None:
    """What else Snakemake looks for, and everything in the order in which it is made."""
    runs = [RunDir(path) for path in study.path.glob("*/seed*")]
    made = [study.path / f"data-{size}.json" for size in study.sizes()]
    made += [run.notebook_path for run in runs]
    for name in ("predicted", "predictions", "boundary", "objects", "test_confusion"):
        made += [run.path / f"{name}.npz" for run in runs]
    made += [study.cost_path, study.claims_path]
    made += [study.path / "chapters" / f"{name}.ipynb" for name in ("claims", "dataset", "fcn", "unet")]
    made.append(study.path.parents[1] / "report" / "index.html")
    for path in made:
        path.parent.mkdir(exist_ok=True)
        path.touch()


_RANKING = "from segnb import rundir, summary; print(summary.ranking(rundir.open_study('{}').measured()))"


def commands(project: Path, study: Study, variants: list[str], seeds: int) -> dict[str, dict[str, float]]:
    """What each costs with that many seeds of some networks, all of them there and tested."""
    empty, page = Study(study.path.with_name("nothing-done")), project / "report" / "index.html"
    write_json(empty.path / "study.json", study.settled)
    page.unlink(missing_ok=True)  # with a report there, Snakemake asks for nothing else

    def plan(of: Study, tells: str) -> dict[str, float]:
        return timed(
            project,
            *("-m", "snakemake", "--nolock", "--dry-run", "--directory", str(project)),
            *("--snakefile", str(project / "Snakefile"), "--profile", str(project / "profiles" / "local")),
            *("--cores", f"{usable_cores()}", "--config", f"study={of.name}"),
            *(f"variants={','.join(variants)}", f"seeds={','.join(map(str, range(seeds)))}"),
            tells=tells,
        )

    cli = ("-m", "segnb.cli")
    found = {"plan, all to do": plan(empty, "This was a dry-run")}
    finish(study)
    return found | {
        "plan, nothing to do": plan(study, "Nothing to be done"),
        "status": timed(project, *cli, "status", study.name),
        "ranking": timed(project, "-c", _RANKING.format(study.name)),
        "claims": timed(project, *cli, "claims", "--study", study.name),
    }


def grids(seeds: tuple[int, ...], drawn: int, images: int) -> dict[str, dict]:
    """By number of runs: `commands` over a made-up study with so many test images."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        project = project_in(Path(folder))
        epochs = PRESETS["paper"].unet.epochs
        study = make_study(project, drawn, preset="paper", images=images, epochs=epochs)
        for count in seeds:
            grow(study, list(VARIANTS), drawn, count)
            print(f"measuring {count * len(VARIANTS)} runs …", flush=True)
            found[f"{count * len(VARIANTS)}"] = commands(project, study, list(VARIANTS), count)
    return found


# ---- bytes ------------------------------------------------------------------------------------------


def run_bytes(name: str, preset: Preset, scenes: int) -> dict[str, int]:
    """Bytes of one run of a network.

    model:    model.safetensors, written
    rest:     what testing writes beside it. The predictions of a few rendered scenes are their own labels,
              moved by three pixels, and their files are written and taken times the number of test images;
              the images kept for the report are counted as they are in memory, which is the most
    training: at most, while it is trained: two states, each the weights and Adam's two moments of what is
              trained, and the best weights of each
    """
    recipe = preset.recipe(VARIANTS[name].family)
    model = build(name, len(STREET), recipe.width)
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder) / name / "seed0")
        checkpoint.save_model(run.model_path, model)
        saved = run.model_path.stat().st_size
        rest = _tested(run, recipe.size, scenes) * preset.test // scenes
    kept, pixels = len(shown(preset.test)), recipe.size**2
    rest += kept * pixels * (3 + 1 + 1 + 1)  # images, labels, predictions, confidence
    gate = getattr(VARIANTS[name].config, "gate", "none")
    if gate != "none":
        maps = len(STREET) if gate == "class" else 1
        rest += kept * maps * sum((recipe.size >> level - 1) ** 2 for level in LEVELS) * 2  # float16
    return {"model": saved, "rest": rest, "training": training_bytes(model)}


def _tested(run: RunDir, size: int, scenes: int) -> int:
    """Bytes of the files that have an entry a test image."""
    images, labels = map(
        np.stack, zip(*(streets.render_scene("test", i, size) for i in range(scenes)), strict=True)
    )
    guess = np.roll(labels, 3, (1, 2))
    confusion = measures.confusion(
        torch.from_numpy(labels).long(), torch.from_numpy(guess).long(), len(STREET)
    )
    things = [STREET.id(name) for name in STREET.things]
    table = objects.components(labels, guess, things, np.full(labels.shape, 255, np.uint8))
    run.write_arrays(run.predicted_path, classes=guess)
    run.write_arrays(run.boundary_path, **boundaries.statistics(images, labels, guess, len(STREET)))
    run.write_arrays(run.objects_path, **{name: table[name].to_numpy() for name in table})
    run.write_arrays(run.confusion_path, confusion=confusion.numpy())
    return sum(path.stat().st_size for path in run.path.glob("*.npz"))


def training_bytes(model: torch.nn.Module) -> int:
    """See `run_bytes`."""
    weights = sum(one.numel() * one.element_size() for one in model.state_dict().values())
    trained = sum(one.numel() * one.element_size() for one in model.parameters() if one.requires_grad)
    return 2 * (weights + 2 * trained) + 2 * weights


# ---- data -------------------------------------------------------------------------------------------


def data_rates(preset: Preset, scenes: int, frames: int, hashes: int) -> dict[str, float]:
    """Processor seconds an image, to render, check and prepare, and a pair of pictures, to compare them as
    the check does; bytes an image of the cache, and of what a frozen trunk makes of it.
    """

    def spent() -> float:
        return time.process_time() + sum(os.times()[2:4])  # and of processes that have been waited for

    def seconds(work: Callable) -> float:
        start = spent()
        work()
        return spent() - start

    found = {}
    render = partial(streets.render_scene, "train", size=preset.unet.size)
    found["render_seconds"] = seconds(lambda: [render(index=i) for i in range(scenes)]) / scenes
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        source, copy = Path(folder) / "frames", Path(folder) / "copy"
        for split, count in (("train", frames - frames // 4), ("test", frames // 4)):
            for kind in ("images", "labels"):
                (source / split / kind).mkdir(parents=True)
            for index in range(count):
                # Blocks of colour with noise: compressed about as far as a rendered frame.
                blocks = draw.integers(0, len(STREET), (15, 20)).repeat(40, 0).repeat(40, 1).astype(np.uint8)
                noisy = (STREET.palette[blocks] + draw.integers(-4, 5, (*blocks.shape, 3))).clip(0, 255)
                Image.fromarray(noisy.astype(np.uint8)).save(source / split / "images" / f"{index}.png")
                Image.fromarray(blocks).save(source / split / "labels" / f"{index}.png")
        found["check_seconds"] = seconds(lambda: check.look(str(source))) / frames
        fill = partial(prepare.prepare, str(source), copy, preset.unet.size)
        found["prepare_seconds"] = seconds(fill) / frames
    codes, splits = draw.integers(0, 2**63, (hashes, 2)).astype(np.uint64), np.arange(hashes) * 3 // hashes
    compared = seconds(lambda: check.nearest(codes, np.arange(hashes), splits))
    found["compare_seconds"] = compared / (hashes * (hashes - 1) / 2)
    for family in ("fcn", "unet"):
        found[f"cache_bytes_{family}"] = preset.recipe(family).size ** 2 * (3 + 1)  # RGB and labels
    cells = [(preset.fcn.size // stride) ** 2 for stride in STRIDES]
    found["feature_bytes"] = sum(2 * c * n for c, n in zip(CHANNELS, cells, strict=True))  # 16 bits each
    return found


# ---- all of it --------------------------------------------------------------------------------------


def measure(
    seeds: tuple[int, ...] = SEEDS,
    drawn: int = DRAWN,
    images: int | None = None,
    preset: Preset = PRESETS["paper"],
    scenes: int = SCENES,
    frames: int = FRAMES,
    hashes: int = HASHES,
) -> dict:
    """Every measurement on this machine; images: of a test split, else as many as the preset has."""
    found: dict = {
        "preset": preset.name,
        "machine": machine.cpu_name(),
        "cores": usable_cores(),
        "date": time.strftime("%Y-%m-%d"),
        "test_images": images or preset.test,
        "runs": grids(seeds, drawn, images or preset.test),
    }
    print("measuring bytes and data …", flush=True)
    found["bytes"] = {name: run_bytes(name, preset, scenes) for name in WEIGHED}
    found["data"] = data_rates(preset, scenes, frames, hashes)
    return found


def table(found: dict) -> str:
    """Two Markdown tables: commands by number of runs, and the disk that runs take."""
    head = (
        f"{found['machine']}, {found['cores']} cores; runs made up, with {found['test_images']} test images,"
        f" networks of preset {found['preset']}; {found['date']}"
    )
    names = {
        "plan, all to do": "Snakemake plans, everything to do",
        "plan, nothing to do": "Snakemake plans, nothing to do",
        "status": "`segnb status`",
        "ranking": "scores and ranking",
        "claims": "`segnb claims`, all verdicts",
    }
    runs = list(found["runs"])
    columns = ["seconds (on a processor), peak memory", *(f"{int(n):,} runs" for n in runs)]
    commands = []
    for key, name in names.items():
        cells = [found["runs"][n][key] for n in runs]
        told = [
            f"{c['seconds']:.1f} ({c['cpu_seconds']:.1f}) s, {c['peak_bytes'] / 2**20:.0f} MiB" for c in cells
        ]
        commands.append([name, *told])
    disk = [
        "network",
        "weights",
        "all else, at most",
        f"{RUNS:,} finished runs",
        "while it is trained, at most",
    ]
    networks = []
    for name, one in found["bytes"].items():
        whole = one["model"] + one["rest"]
        sizes = (one["model"], one["rest"], RUNS * whole, one["training"])
        networks.append([VARIANTS[name].label, *map(_size, sizes)])
    return "\n\n".join([head, markdown_table(columns, commands), markdown_table(disk, networks)])


def plan(found: dict, bench: dict) -> str:
    """What `IMAGES` images ask for, as a Markdown table; bench: results/bench.json."""
    data, steps, quick = found["data"], bench["steps"], PRESETS[bench["preset"]].unet
    paper = PRESETS[found["preset"]]
    pairs = IMAGES * (IMAGES - 1) / 2 * data["compare_seconds"]
    tested = 2 * paper.unet.size**2
    weights = contrasts.DRAWS * 8
    fitting, runs = features.LIMIT // data["feature_bytes"], SEEDS[0] * len(VARIANTS)
    rounds = -(-runs // GPUS)
    sent = {name: found["bytes"][name]["model"] for name in (UNET, FCN)}
    rows = [
        (
            "rendering, once, one core",
            f"{1e3 * data['render_seconds']:.0f} ms",
            _span(IMAGES * data["render_seconds"]),
        ),
        (
            "or `segnb data check` of 800×600 frames",
            f"{1e3 * data['check_seconds']:.1f} ms",
            _span(IMAGES * data["check_seconds"]),
        ),
        (
            "in it, each picture beside each other",
            f"{1e9 * data['compare_seconds']:.1f} ns a pair",
            _span(pairs),
        ),
        (
            "`segnb data prepare` of them",
            f"{1e3 * data['prepare_seconds']:.1f} ms",
            _span(IMAGES * data["prepare_seconds"]),
        ),
        *(
            (
                f"cache on disk, {paper.recipe(f).size} px",
                _size(data[f"cache_bytes_{f}"]),
                _size(IMAGES * data[f"cache_bytes_{f}"]),
            )
            for f in ("fcn", "unet")
        ),
        (
            f"features of a frozen trunk, {paper.fcn.size} px",
            _size(data["feature_bytes"]),
            _size(IMAGES * data["feature_bytes"]),
        ),
        (
            f"input from the cache, {quick.size} px, an epoch",
            f"{1e3 * bench['reading']['input']:.2f} ms",
            _span(IMAGES * bench["reading"]["input"]),
        ),
        *(
            (
                f"U-Net training, {quick.size} px, width {width}, an epoch",
                f"{steps[key]['ms_an_image']:.0f} ms",
                _span(IMAGES * steps[key]["ms_an_image"] / 1e3),
            )
            for key, width in (("segnb", quick.width), ("wide", 64))
        ),
        (
            f"predictions in memory, {paper.unet.size} px, were all of them tested",
            _size(tested),
            _size(IMAGES * tested),
        ),
        ("weights of the images in the bootstrap, likewise", _size(weights), _size(IMAGES * weights)),
    ]
    lines = [
        f"Training and input: {bench['machine']['device_name']}, {bench['machine']['threads']} thread,"
        f" {bench['machine']['precision']}, from `results/bench.json`; the rest: {found['machine']}, from"
        " `results/scale.json`.",
        "",
        markdown_table(["processor time, bytes", "one image", f"{IMAGES:,} images"], rows),
        "",
        f"The cache of features holds {_size(features.LIMIT)}, those of {fitting:,} images. Input comes at"
        f" {1 / bench['reading']['input']:,.0f} images of {quick.size} px a second. {runs} runs on {GPUS}"
        f" GPUs are {rounds} rounds, {runs / GPUS / rounds:.0%} of the GPUs' time if all runs take the same."
        f" Several GPUs at one run would exchange gradients of {_size(sent[UNET])} (U-Net) to"
        f" {_size(sent[FCN])} (FCN-32s) a step.",
    ]
    return "\n".join(lines)


def _size(number: float) -> str:
    """Bytes in words: "473 MB"."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= scale:
            return f"{number / scale:.{0 if number >= 100 * scale else 1}f} {unit}"
    return f"{number:.0f} bytes"


def _span(seconds: float) -> str:
    """Seconds in words: "18 s", "11 min", "9.7 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
