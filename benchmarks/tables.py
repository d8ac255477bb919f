"""Markdown tables of the benchmarks, for docs/."""

from benchmarks.transfer import ARMS
from segnb.presets import FULL_WIDTH
from segnb.storage.files import markdown_table

# The tables are between these marks in docs/performance.md and docs/transfer.md.
SPEED_MARKS = ("<!-- speed -->", "<!-- /speed -->")
TRANSFER_MARKS = ("<!-- transfer -->", "<!-- /transfer -->")
AIMS = {"scenes": 0.30, "gain": 0.05}


def speed(results: dict) -> str:
    """Return the measurements of `training_speed.measure` as a Markdown table, with ratios and aims."""
    machine, steps, rows = results["machine"], results["steps"], []

    def row(what: str, numbers: str, ratio: float, aim: str = "", reached: bool | None = None) -> None:
        mark = "" if reached is None else " (reached)" if reached else " (missed)"
        rows.append(f"| {what} | {numbers} | {ratio:.2f} | {aim}{mark} |")

    def ms(value: float) -> str:
        return f"{1e3 * value:.1f}"

    plain_ms, ours, smp = (steps[side]["ms_an_image"] for side in ("plain", "segnb", "smp"))
    ratio = plain_ms / ours
    row(
        "U-Net step: plain fp32 loop / segnb",
        f"{plain_ms:.1f} / {ours:.1f} ms per image",
        ratio,
        "≥ 2",
        ratio >= 2,
    )
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
        part = results[key]
        ratio = part["without"] / part["with"]
        row(
            f"frozen FCN-8s epoch, {kind}: without / with cached features",
            f"{ms(part['without'])} / {ms(part['with'])} ms per image;"
            f" computing them once takes {ms(part['making'])}",
            ratio,
            "≥ 10",
            ratio >= 10,
        )
    part = results["whole_training"]
    ratio = part["training"] / part["its_steps"]
    row(
        "whole U-Net training / its steps alone",
        f"{part['training']:.1f} / {part['its_steps']:.1f} s",
        ratio,
        "≤ 1.05",
        ratio <= 1.05,
    )
    ratio = part["train_epochs"] / part["train_steps"]
    row(
        "its training epochs / forward, backward and optimiser steps alone",
        f"{part['train_epochs']:.1f} / {part['train_steps']:.1f} s",
        ratio,
        "≤ 1.05",
        ratio <= 1.05,
    )
    part = results["reading"]
    ratio = part["input"] / part["epoch"]
    row(
        "reading from the cache on disk / U-Net epoch",
        f"{ms(part['input'])} / {ms(part['epoch'])} ms per image;"
        f" filling the cache once from 800×600 files takes {ms(part['making'])}",
        ratio,
        "≤ 0.05",
        ratio <= 0.05,
    )
    for name, size in results["memory"].items():
        base, name = results["memory"]["U-Net, plain loop"], name.replace("kept features", "cached features")
        row(f"peak memory of training: {name} / U-Net, plain loop", f"{size / 2**20:.0f} MiB", size / base)
    alone, parallel = results["growth"]["1"], results["growth"]["2"]
    for times in ("2", "4"):
        ratio = alone[times] / alone["1"]
        linear = abs(ratio / int(times) - 1) <= 0.1
        seconds = f"{alone[times]:.2f} / {alone['1']:.2f} s"
        row(f"U-Net epoch over {times}× / 1× the images", seconds, ratio, f"{times} ± 10%", linear)
    row(
        "U-Net epoch over 4× the images: two in parallel / one",
        f"{parallel['4']:.2f} / {alone['4']:.2f} s each",
        parallel["4"] / alone["4"],
    )
    settings = (
        f"{machine['device_name']}, {results['cores']} cores,"
        f" {machine['threads']} thread{'s' * (machine['threads'] > 1)} per run,"
        f" {machine['precision']}, {'channels_last' if machine['channels_last'] else 'NCHW'}"
        f"{', fused Adam' if machine['fused'] else ''}{', compiled' if machine['compile'] else ''};"
        f" torch {results['torch']}; preset {results['preset']}; {results['date']}"
    )
    return "\n".join([settings, "", "| what | measured | ratio | aim |", "|---|---|---|---|", *rows])


def transfer(measured: dict) -> str:
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
        return f"{100 * value:+.1f}".replace("-", "−")

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
