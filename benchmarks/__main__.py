"""Run a benchmark, and write results/*.json and its table in docs/."""

import argparse
import os
import sys

from benchmarks import tables, training_speed
from benchmarks import transfer as real_frames
from segnb.errors import SegnbError
from segnb.presets import PRESETS, preset
from segnb.runtime.machine import ALLOCATOR
from segnb.storage.files import between, read_json, write_json, write_text
from segnb.storage.project import cache_folder, root, runs_folder
from segnb.training.autotune import resolve_machine


def main(arguments: list[str] | None = None) -> int:
    """Run one benchmark.

    Returns:
        Exit code: 0, 1 after an error (one line on stderr), or 130 if interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except SegnbError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: interrupted", file=sys.stderr)
        return 130
    return 0


def speed(options: argparse.Namespace) -> None:
    """Compare training speed with plain alternatives; write results/bench.json and docs/performance.md."""
    measured = training_speed.measure(preset(options.preset), runs_folder())
    write_json(root() / "results" / "bench.json", measured)
    _into_page("performance.md", tables.SPEED_MARKS, tables.speed(measured))


def transfer(options: argparse.Namespace) -> None:
    """Measure how rendered scenes help a U-Net on real frames; write results/ and docs/transfer.md."""
    settings = real_frames.Settings()
    machine = resolve_machine(runs_folder(), preset(settings.data.name))  # tried out by an earlier report
    measured = real_frames.measure(options.path, settings, machine, cache_folder())
    results = root() / "results"
    write_json(results / f"transfer-{measured['data']['name']}.json", measured)
    every = [read_json(path) for path in sorted(results.glob("transfer-*.json"))]
    _into_page("transfer.md", tables.TRANSFER_MARKS, "\n\n".join(map(tables.transfer, every)))


def _into_page(name: str, marks: tuple[str, str], text: str) -> None:
    """Print generated text and put it between its marks in a page of docs/."""
    path = root() / "docs" / name
    write_text(path, between(path.read_text(), marks, text, f"docs/{name}"))
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="speed|transfer")
    for function in (speed, transfer):
        command = commands.add_parser(function.__name__, help=function.__doc__, description=function.__doc__)
        command.set_defaults(command=function)
        if function is speed:
            command.add_argument(
                "--preset", default="quick", help=f"preset: {', '.join(PRESETS)} (default: quick)"
            )
        else:
            command.add_argument("path", help="folder of real frames, such as PATH or lyft:PATH")
    return parser


if __name__ == "__main__":
    if not ALLOCATOR.items() <= os.environ.items():  # they only work if set before the process starts
        command = [sys.executable, "-m", "benchmarks", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | ALLOCATOR)  # noqa: S606 - restarts itself
    sys.exit(main())
