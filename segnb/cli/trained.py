"""Commands for finished runs: `segnb measure`, `cost`, `verify`, `predict` and `export-model`."""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from segnb.cli import RUN, add_command, add_options
from segnb.errors import SegnbError, one_line
from segnb.evaluation.cost import measure as measure_cost
from segnb.evaluation.evaluate import measure as evaluate_run
from segnb.models.registry import label, parse_variants
from segnb.params import ReportParams
from segnb.pipeline.resources import claimed, timed_in_parallel
from segnb.prediction import export, files, load
from segnb.report.text import counted
from segnb.storage.files import write_json
from segnb.study.create import check_device
from segnb.study.reproduce import verify as repeat
from segnb.study.study import Run, open_run, open_study


def add_commands(commands) -> None:
    evaluation = add_command(commands, measure)
    evaluation.add_argument("run", metavar="RUN", help=RUN)
    evaluation.add_argument(
        "--log", type=Path, help="file with this command's output, which 'segnb status' names after a failure"
    )
    add_command(commands, verify, trouble=2).add_argument("run", metavar="RUN", help=RUN)
    add_options(add_command(commands, cost), ReportParams, "study", "variants")
    parser = add_command(commands, predict)
    parser.add_argument("run", metavar="RUN", help=RUN)
    parser.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        type=Path,
        help="PNG or JPEG file, or a folder; folders below it are included",
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="folder for the results")
    parser.add_argument("--colours", action="store_true", help="write masks in class colours as well")
    parser = add_command(commands, export_model, "export-model")
    parser.add_argument("run", metavar="RUN", help=RUN)
    parser.add_argument("file", metavar="FILE", type=Path, help="ONNX file, such as model.onnx")


def measure(options: argparse.Namespace) -> None:
    """Evaluate a finished run on the test images.

    Writes scores, boundaries, objects and, for networks that have them, gates and ablations into the run's
    folder.
    """
    run = open_run(options.run)
    with run.step("measure", options.log), claimed(run.study.machine):
        check_device(run.study)
        evaluate_run(run)


def cost(options: argparse.Namespace) -> None:
    """Measure the time and memory of networks.

    Networks are timed in alternation, so that they can be compared. On a CPU with several threads per run,
    and on a GPU, nothing else should run meanwhile.
    """
    study = open_study(options.study)
    clock = time.process_time if timed_in_parallel(study.machine) else time.perf_counter
    with claimed(study.machine):
        check_device(study)
        rows = measure_cost(study, parse_variants(options.variants), clock)
    write_json(study.cost_path, {"machine": study.settings["machine"], "variants": rows})


def verify(options: argparse.Namespace) -> int:
    """Repeat a finished run and compare it bit for bit.

    Trains and evaluates the run again in a temporary folder, which takes as long as the run did.

    Exit codes:
      0  all files are the same
      1  some files differ
      2  the run could not be repeated
    """
    same, remarks = repeat(open_run(options.run))
    for name, is_same in same.items():
        print(f"{name:<22} {'same' if is_same else 'differs'}")
    print(*remarks, sep="\n")
    differ = list(same.values()).count(False)
    print(f"{differ} of {len(same)} files differ" if differ else "all files are the same, bit for bit")
    return int(bool(differ))


def predict(options: argparse.Namespace) -> int:
    """Write a trained network's predictions for your own images.

    Images may have any size. FOLDER gets masks/NAME.png (class ids), confidence/NAME.png (the probability of
    that class × 255), overlays/NAME.jpg, and a classes.csv with the name and colour of each id. All have the
    size of the image. If an image cannot be read, the command prints why and continues. Images that an
    earlier call has predicted are skipped if the image, the network and the options are the same.

    Exit codes:
      0  all images are predicted
      1  some images could not be read, or nothing could be predicted

    Examples:
      segnb predict latest photo.jpg --out predicted
      segnb predict latest/UNet_Standard_256/seed0 photos --out predicted --colours
    """
    network = load(options.run)
    files.check_free(options.out, network)
    photographs, errors = files.listed(options.images, options.out)
    _report(errors)
    run = network.run
    print(_described(run))
    done, earlier, pixels = Counter(), Counter(), 0
    # disable=None: no bar unless stderr is a terminal
    bar = tqdm(photographs, desc="predicting", unit="image", disable=None, leave=False)
    results = files.predict(network, bar, options.out, options.colours)
    for photograph, result in zip(photographs, results, strict=True):
        if isinstance(result, SegnbError):
            _report([result])
            errors.append(result)
        else:
            done[photograph.file.parent] += 1
            earlier[photograph.file.parent] += result.earlier
            pixels = pixels + result.pixels
    for folder, count in sorted(done.items()):
        skipped = f" ({earlier[folder]} predicted earlier)" if earlier[folder] else ""
        print(f"{one_line(str(folder))}: {counted(count, 'image')}{skipped}")
    if done:
        for i in pixels.nonzero()[0]:
            names, colours = network.classes.names, network.classes.colours
            print(f"  {i:>3}  {colours[i]}  {pixels[i] / pixels.sum():>6.1%}  {names[i]}")
        print(f"{one_line(str(options.out))}: masks, confidence and overlays; classes.csv has all classes")
    return int(bool(errors))


def export_model(options: argparse.Namespace) -> None:
    """Write a trained network to an ONNX file.

    The file contains normalisation and softmax: images, bytes (N, S, S, 3) in RGB, become probabilities (N,
    classes, S, S), where S is the input size of the network. It is computed in fp32. The names of the
    classes are in its metadata. The packages of the extra "onnx" are required.
    """
    run = open_run(options.run)
    export(run, options.file)
    print(f"{one_line(str(options.file))}: {_described(run)}")


def _described(run: Run) -> str:
    size = run.recipe.size
    return f"{label(run.variant)}, seed {run.seed}, of study {run.study.name}; input {size}×{size} pixels"


def _report(errors: list[SegnbError]) -> None:
    for error in errors:
        tqdm.write(f"segnb: {error}", file=sys.stderr)
