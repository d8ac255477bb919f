"""`segnb data`, `arrays`, `weights` and `cache`: what runs are trained on and start from."""

import argparse
import shutil
import sys
from pathlib import Path

from segnb.cli.options import add_command, add_report_options
from segnb.data import shifts
from segnb.data.splits import WAYS
from segnb.data.tools import check, download, prepare
from segnb.errors import SegnbError
from segnb.models.pretrained import SOURCES, fetch
from segnb.storage.files import write_json
from segnb.storage.project import feature_folder
from segnb.study.study import open_study
from segnb.training import feature_cache


def add_commands(commands) -> None:
    about = "Data sets: fetch public ones, check a folder, make one of the study's layout from it."
    folders = commands.add_parser("data", help=about, description=about)
    ways = folders.add_subparsers(required=True, metavar="get|check|prepare")
    checked = add_command(ways, data_check, "check")
    checked.add_argument("path", help="a folder, as PATH or as lyft:PATH, which names its layout")
    checked.add_argument("--json", action="store_true", help="print all that is known, as JSON")
    checked.add_argument("--fix", type=Path, metavar="DEST", help="write a copy there without what is wrong")
    prepared = add_command(ways, data_prepare, "prepare")
    prepared.add_argument("path", help="a folder, as PATH or as lyft:PATH, which names its layout")
    prepared.add_argument("dest", type=Path, help="a folder to be made")
    prepared.add_argument("--size", type=int, required=True, help="pixels per side")
    prepared.add_argument("--seed", type=int, default=0, help="of the split")
    prepared.add_argument("--by", choices=[*WAYS], help="split again, whatever split the data bring")
    fetched = add_command(ways, data_get, "get")
    fetched.add_argument("name", nargs="?", help="camvid or lyft-udacity (default: list them)")
    fetched.add_argument("destination", nargs="?", type=Path, help="a folder to be made (default: data/NAME)")

    cached = add_command(commands, arrays)
    add_report_options(cached, "study")
    cached.add_argument("--size", type=int, required=True, help="pixels per side")
    cached.add_argument("--done", help="a file to write when all splits exist")
    sources = add_command(commands, weights)
    sources.add_argument("action", nargs="?", choices=["list", "fetch", "verify"], default="list")
    sources.add_argument(
        "name", nargs="?", help="imagenet or hed (default: all, or the first that can be had)"
    )
    add_command(commands, cache).add_argument("--clear", action="store_true", help="remove them")


def data_check(options: argparse.Namespace) -> int:
    """Look at every file of a data folder: what is in it, and what is wrong with it; 1 if anything is."""
    report = check.look(options.path)
    print(report.json() if options.json else report.table(shutil.get_terminal_size().columns))
    if options.fix:
        print(prepare.fix(report, options.fix), file=sys.stderr)
    return int(not report.sound)  # of the folder itself, of which a cleaned copy says nothing


def data_prepare(options: argparse.Namespace) -> None:
    """Split a data folder and write it at one size in the study's layout; stopped, it goes on from there."""
    print(prepare.prepare(options.path, options.dest, options.size, options.seed, options.by))


def data_get(options: argparse.Namespace) -> None:
    """Fetch a public data set by name, checked by its SHA-256, or list those that there are."""
    if options.name:
        download.get(options.name, options.destination)
    else:
        print(download.listing())


def arrays(options: argparse.Namespace) -> None:
    """Make the cached arrays of one size, and all that tests of networks of that size need."""
    study = open_study(options.study)
    counts = {name: len(study.split(name, options.size)) for name in ("train", "val", "test")}
    study.visibility(options.size)
    if options.size == study.recipe("unet").size:  # what claim U14 asks of U-Nets
        for kind in shifts.KINDS:
            study.shifted(kind, options.size)
    if options.done:
        write_json(Path(options.done), counts)
    print(f"{study.settings['data']['name']} at {options.size} px: {counts}")


def weights(options: argparse.Namespace) -> int:
    """List the sources of trunk weights, fetch one, or verify what is there."""
    if options.name not in (None, *SOURCES):
        raise SegnbError(f"weights {options.name!r} cannot be fetched: choose from {', '.join(SOURCES)}")
    asked = [options.name] if options.name else list(SOURCES)
    if options.action == "fetch":
        asked = [fetch(options.name).source]
    states = {name: SOURCES[name].state() for name in asked}
    for name, state in states.items():
        source = SOURCES[name]
        print(f"{name:<9} {state:<12} {source.megabytes:>4} MB  {source.what}; {source.licence}")
        print(f"{'':<9} {source.file}  SHA-256 {source.sha256[:12]}…")
    bad = {"damaged"} if options.action != "verify" or not options.name else {"damaged", "not fetched"}
    for name in [name for name, state in states.items() if state in bad]:
        print(f"segnb: {name} is {states[name]}: run 'segnb weights fetch {name}'", file=sys.stderr)
    return int(any(state in bad for state in states.values()))


def cache(options: argparse.Namespace) -> None:
    """Say how large the cached features of frozen trunks are, or remove them."""
    folder = feature_folder()
    if options.clear:
        feature_cache.clear(folder)
    sizes = feature_cache.entries(folder).values()
    print(
        f"{folder}: {len(sizes)} sets of features, {sum(sizes) / 1e6:.1f} MB of at most"
        f" {feature_cache.LIMIT / 1e9:.0f} GB; 'segnb cache --clear' removes them"
    )
