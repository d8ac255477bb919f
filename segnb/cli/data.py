"""`segnb data`, `arrays`, `weights` and `cache`: data sets, backbone weights and cached features."""

import argparse
import shutil
import sys
from pathlib import Path

from segnb.cli import add_command, add_options
from segnb.data import shifts
from segnb.data.folders import SPLITS
from segnb.data.splits import WAYS
from segnb.data.tools import check, download, prepare
from segnb.errors import SegnbError
from segnb.models.pretrained import SOURCES, fetch
from segnb.params import ReportParams
from segnb.storage import feature_folder
from segnb.study.study import open_study
from segnb.training import feature_cache

PATH = "data folder; lyft:PATH also names its layout (default: detected)"


def add_commands(commands) -> None:
    actions = add_command(commands, data).add_subparsers(required=True, metavar="get|check|prepare")
    parser = add_command(actions, data_get, "get")
    parser.add_argument("name", nargs="?", help="camvid or lyft-udacity (default: list the data sets)")
    parser.add_argument("destination", nargs="?", type=Path, help="new folder (default: data/NAME)")
    parser = add_command(actions, data_check, "check")
    parser.add_argument("path", help=PATH)
    parser.add_argument("--json", action="store_true", help="print all findings and counts as JSON")
    parser.add_argument("--fix", type=Path, metavar="DEST", help="write a copy without faulty files to DEST")
    parser = add_command(actions, data_prepare, "prepare")
    parser.add_argument("path", help=PATH)
    parser.add_argument("dest", type=Path, help="new folder for the copy")
    parser.add_argument("--size", type=int, required=True, help="pixels per side, such as 224")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split (default: 0)")
    parser.add_argument(
        "--by",
        choices=[*WAYS],
        help="new split by whole drives, blocks of time or file names (default: the data's own, if any)",
    )
    for split in SPLITS:
        what = {"train": "training", "val": "validation"}.get(split, split)
        parser.add_argument(
            f"--{split}", type=int, metavar="N", help=f"keep N {what} frames, evenly spaced (default: all)"
        )

    parser = add_command(commands, arrays)
    add_options(parser, ReportParams, "study")
    parser.add_argument("--size", type=int, required=True, help="pixels per side")
    parser.add_argument(
        "--evaluation",
        action="store_true",
        help="cache what only evaluation reads (visible shares, shifted scenes) instead of the splits",
    )
    parser = add_command(commands, weights)
    parser.add_argument(
        "action",
        nargs="?",
        choices=["list", "fetch", "verify"],
        default="list",
        help="what to do (default: list)",
    )
    parser.add_argument(
        "name", nargs="?", help="imagenet or hed (default: all; for fetch: the first that can be downloaded)"
    )
    parser = add_command(commands, cache)
    parser.add_argument("--clear", action="store_true", help="remove the cached features")


def data(options: argparse.Namespace) -> None:
    """Download, check or prepare a data set.

    Examples:
      segnb data get                             list public data sets
      segnb data get camvid                      download CamVid to data/camvid
      segnb data check path/to/data              check every file
      segnb data prepare path/to/data path/to/copy --size 224
      segnb report --data path/to/copy           train on the copy
    """  # for its help alone, because one of the commands below it is required


def data_check(options: argparse.Namespace) -> int:
    """Check every file of a data folder.

    The output has the number of pairs, the share of each class, and up to three errors or warnings of each
    kind; with --json, all. The exit code is 1 if there are errors; warnings do not count. The folder is never
    changed.

    Examples:
      segnb data check path/to/data
      segnb data check lyft:path/to/data         name the layout
      segnb data check path/to/data --json       print all findings and counts
      segnb data check path/to/data --fix path/to/copy
    """
    report = check.look(options.path)
    print(report.json() if options.json else report.table(shutil.get_terminal_size().columns))
    if options.fix:
        print(prepare.fix(report, options.fix), file=sys.stderr)
    return int(not report.sound)  # of the folder itself, even if --fix wrote a copy without errors


def data_prepare(options: argparse.Namespace) -> None:
    """Write a data folder again, split and at one size.

    The copy has the study's layout: train, val and test, each with images and labels. Names, drives and seed
    determine the split. If you interrupt the command, run it again to resume.

    Examples:
      segnb data prepare path/to/data path/to/copy --size 224
      segnb data prepare path/to/data path/to/copy --size 224 --by drives
    """
    counts = {split: n for split in SPLITS if (n := getattr(options, split)) is not None}
    print(prepare.prepare(options.path, options.dest, options.size, options.seed, options.by, counts))


def data_get(options: argparse.Namespace) -> None:
    """Download a public data set, or list the available ones.

    The SHA-256 of the download is checked. A set without a published SHA-256 has to be downloaded by hand;
    the command prints how.

    Examples:
      segnb data get                             list public data sets
      segnb data get camvid path/to/camvid       download CamVid
    """
    if options.name:
        download.get(options.name, options.destination)
    else:
        print(download.listing())


def arrays(options: argparse.Namespace) -> None:
    """Cache the images and masks of a study at one size."""
    study = open_study(options.study)
    if options.size not in (sizes := study.sizes()):
        raise SegnbError(f"invalid size {options.size} (expected {' or '.join(map(str, sizes))})")
    if options.evaluation:
        visible = study.visibility(options.size)
        counts = {"visibility": len(visible[0]) if visible else 0}
        # Claim U14 tests U-Nets under these conditions.
        for kind in shifts.KINDS if options.size == study.recipe("unet").size else ():
            scenes = study.shifted(kind, options.size)
            counts[kind] = len(scenes) if scenes else 0
    else:
        counts = {name: len(study.split(name, options.size)) for name in ("train", "val", "test")}
    print(f"{study.settings['data']['name']} at {options.size} px: {counts}")


def weights(options: argparse.Namespace) -> int:
    """List, download or verify backbone weights.

    The exit code is 1 if a file is damaged, or if verify names weights that have not been downloaded.

    Examples:
      segnb weights                              list the available weights
      segnb weights fetch hed                    download the HED weights (55 MB)
      segnb weights verify                       check the SHA-256 of downloaded files
    """
    if options.name not in (None, *SOURCES):
        raise SegnbError(f"unknown weights {options.name!r} (expected {' or '.join(SOURCES)})")
    names = [options.name] if options.name else list(SOURCES)
    if options.action == "fetch":
        names = [fetch(options.name).source]
    states = {name: SOURCES[name].state() for name in names}
    for name, state in states.items():
        source = SOURCES[name]
        print(f"{name:<9} {state:<12} {source.megabytes:>4} MB  {source.what}; {source.licence}")
        print(f"{'':<9} {source.file}  SHA-256 {source.sha256[:12]}…")
    bad = {"damaged"} if options.action != "verify" or not options.name else {"damaged", "not fetched"}
    for name in [name for name, state in states.items() if state in bad]:
        print(f"segnb: {name} is {states[name]}. Run 'segnb weights fetch {name}'.", file=sys.stderr)
    return int(any(state in bad for state in states.values()))


def cache(options: argparse.Namespace) -> None:
    """Show the size of cached features, or remove them.

    Features of frozen backbones are cached, because they are the same in every epoch.
    """
    folder = feature_folder()
    if options.clear:
        feature_cache.clear(folder)
    sizes = feature_cache.entries(folder).values()
    print(
        f"{folder}: {len(sizes)} sets of features, {sum(sizes) / 1e6:.1f} MB of at most"
        f" {feature_cache.LIMIT / 1e9:.0f} GB (remove them with 'segnb cache --clear')"
    )
