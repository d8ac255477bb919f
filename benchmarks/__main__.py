"""Run a benchmark, and write results/*.json and its table in docs/."""

import argparse
import os
import sys
from math import inf

from benchmarks import training_speed
from benchmarks import transfer as real_frames
from benchmarks.transfer import ARMS
from segnb.claims.wording import printed
from segnb.errors import SegnbError
from segnb.presets import FULL_WIDTH, PRESETS, preset
from segnb.runtime.machine import ALLOCATOR
from segnb.storage import cache_folder, root, runs_folder
from segnb.storage.files import between, markdown_table, read_json, write_json, write_text
from segnb.training.autotune import resolve_machine

# The tables are between these marks in docs/performance.md and docs/transfer.md.
SPEED_MARKS = ("<!-- speed -->", "<!-- /speed -->")
TRANSFER_MARKS = ("<!-- transfer -->", "<!-- /transfer -->")
AIMS = {"scenes": 0.30, "gain": 0.05}


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
    _into_page("performance.md", SPEED_MARKS, speed_table(measured))


def transfer(options: argparse.Namespace) -> None:
    """Measure how rendered scenes help a U-Net on real frames; write results/ and docs/transfer.md."""
    settings = real_frames.Settings()
    machine = resolve_machine(runs_folder(), preset(settings.data.name))  # tried out by an earlier report
    measured = real_frames.measure(options.path, settings, machine, cache_folder())
    results = root() / "results"
    write_json(results / f"transfer-{measured['data']['name']}.json", measured)
    every = [read_json(path) for path in sorted(results.glob("transfer-*.json"))]
    _into_page("transfer.md", TRANSFER_MARKS, "\n\n".join(map(transfer_table, every)))


def _into_page(name: str, marks: tuple[str, str], text: str) -> None:
    """Print generated text and put it between its marks in a page of docs/."""
    path = root() / "docs" / name
    write_text(path, between(path.read_text(), marks, text, f"docs/{name}"))
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="speed|transfer")
    of_speed, of_transfer = (
        commands.add_parser(function.__name__, help=function.__doc__, description=function.__doc__)
        for function in (speed, transfer)
    )
    of_speed.set_defaults(command=speed)
    of_speed.add_argument("--preset", default="quick", help=f"preset: {', '.join(PRESETS)} (default: quick)")
    of_transfer.set_defaults(command=transfer)
    of_transfer.add_argument("path", help="folder of real frames, such as PATH or lyft:PATH")
    return parser


# ---- tables for docs/ ---------------------------------------------------------------------------------


def speed_table(results: dict) -> str:
    """Return the measurements of `training_speed.measure` as a Markdown table, with ratios and aims."""
    machine, steps, rows = results["machine"], results["steps"], []

    def row(what: str, numbers: str, ratio: float, least: float = 0.0, most: float = inf) -> None:
        aim = f"≥ {least:g}" if least else f"≤ {most:g}" if most < inf else ""
        mark = "" if not aim else " (reached)" if least <= ratio <= most else " (missed)"
        rows.append([what, numbers, f"{ratio:.2f}", f"{aim}{mark}"])

    plain_ms, ours, smp = (steps[side]["ms_an_image"] for side in ("plain", "segnb", "smp"))
    numbers = f"{plain_ms:.1f} / {ours:.1f} ms per image"
    row("U-Net step: plain fp32 loop / segnb", numbers, plain_ms / ours, least=2)
    speed = {name: side["gflops"] / side["ms_an_image"] * 1e3 for name, side in steps.items()}
    for side, width in (("segnb", "the preset's width"), ("wide", f"width {FULL_WIDTH}")):
        row(
            f"operations per second: U-Net of {width} / smp.Unet(vgg16), same loop",
            f"{speed[side]:.0f} / {speed['smp']:.0f} GFLOP/s"
            f" ({steps[side]['ms_an_image']:.1f} and {smp:.1f} ms per image)",
            speed[side] / speed["smp"],
        )
    for key, kind in (("frozen_epoch", machine["precision"]), ("frozen_epoch_fp32", "fp32")):
        if key == "frozen_epoch_fp32" and machine["precision"] == "fp32":
            continue
        without, cached, making = (1e3 * results[key][part] for part in ("without", "with", "making"))
        row(
            f"frozen FCN-8s epoch, {kind}: without / with cached features",
            f"{without:.1f} / {cached:.1f} ms per image; computing them once takes {making:.1f}",
            without / cached,
            least=10,
        )
    shares = {
        "whole U-Net training / its steps alone": ("training", "its_steps"),
        "its training epochs / forward, backward and optimiser steps alone": ("train_epochs", "train_steps"),
    }
    for what, parts in shares.items():
        whole, alone = (results["whole_training"][part] for part in parts)
        row(what, f"{whole:.1f} / {alone:.1f} s", whole / alone, most=1.05)
    for name, size in results["memory"].items():
        base, name = results["memory"]["U-Net, plain loop"], name.replace("kept features", "cached features")
        row(f"peak memory of training: {name} / U-Net, plain loop", f"{size / 2**20:.0f} MiB", size / base)
    settings = (
        f"{machine['device_name']}, {results['cores']} cores,"
        f" {machine['threads']} thread{'s' * (machine['threads'] > 1)} per run,"
        f" {machine['precision']}, {'channels_last' if machine['channels_last'] else 'NCHW'}"
        f"{', fused Adam' if machine['fused'] else ''}{', compiled' if machine['compile'] else ''};"
        f" torch {results['torch']}; preset {results['preset']}; {results['date']}"
    )
    return f"{settings}\n\n{markdown_table(['what', 'measured', 'ratio', 'aim'], rows)}"


def transfer_table(measured: dict) -> str:
    """Return the scores of the three ways and the gain from scenes, per class, as a Markdown table."""
    results, settings = measured["results"], measured["settings"]
    few = " or ".join(map(str, measured["learnt_from"]))
    gain = results["gain"]

    def aim(reached: bool, text: str) -> str:
        return f"{text} ({'reached' if reached else 'missed'})"

    def score(result: dict) -> str:
        low, high = result["interval"]
        return f"{result['miou']:.3f} ({low:.3f} to {high:.3f})"

    def points(value: float) -> str:
        return printed(100 * value, 1, sign=True)

    between = " to ".join(points(end).removeprefix("+") for end in gain["interval"])
    head = ["", *(name.replace("few", few) for name in ARMS.values()), "gain, points"]
    rows = [
        ["**mIoU**", *(score(results[arm]) for arm in ARMS), f"{points(gain['miou'])} ({between})"],
        ["per seed", *(" ".join(f"{v:.3f}" for v in results[arm]["by_seed"]) for arm in ARMS)]
        + [" ".join(points(value) for value in gain["by_seed"])],
        ["aim", aim(results["scenes"]["miou"] >= AIMS["scenes"], f"≥ {AIMS['scenes']:.2f}"), "", ""]
        + [aim(gain["miou"] >= AIMS["gain"], f"≥ {100 * AIMS['gain']:.0f}")],
    ]
    for name, value in gain["classes"].items():
        rows.append([name, *(f"{results[arm]['classes'][name]:.3f}" for arm in ARMS), points(value)])
    scenes, machine = measured["scenes"]["counts"]["train"], measured["machine"]
    sentence = (
        f"`{measured['data']['name']}`: U-Net of width {settings['scenes']['width']} at"
        f" {settings['scenes']['size']} px; {scenes:,} scenes; {measured['scheme']}, tested on"
        f" {measured['tested_on']} frames, {settings['seeds']} seeds. On test scenes, training on scenes"
        f" alone gives an mIoU of {score(results['streets'])}. Parentheses contain 95% confidence intervals."
        f" {machine['device_name']}, {machine['precision']}, torch {measured['torch']}; {measured['date']}"
    )
    return f"{sentence}\n\n{markdown_table(head, rows)}"


if __name__ == "__main__":
    if not ALLOCATOR.items() <= os.environ.items():  # they only work if set before the process starts
        command = [sys.executable, "-m", "benchmarks", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | ALLOCATOR)  # noqa: S606 - restarts itself
    sys.exit(main())
