"""What was measured, as Markdown tables for docs/."""

from benchmarks.transfer import ARMS
from segnb.presets import FULL_WIDTH
from segnb.storage.files import markdown_table

# Between these docs/performance.md and docs/transfer.md show the tables.
SPEED_MARKS = ("<!-- speed -->", "<!-- /speed -->")
TRANSFER_MARKS = ("<!-- transfer -->", "<!-- /transfer -->")
AIMS = {"scenes": 0.30, "gain": 0.05}


def speed(found: dict) -> str:
    """The measurements as a Markdown table: what, numbers, ratio, and what was aimed at."""
    machine, one, rows = found["machine"], found["steps"], []

    def row(what: str, numbers: str, ratio: float, aim: str = "", reached: bool | None = None) -> None:
        mark = "" if reached is None else " (reached)" if reached else " (missed)"
        rows.append(f"| {what} | {numbers} | {ratio:.2f} | {aim}{mark} |")

    def ms(value: float) -> str:
        return f"{1e3 * value:.1f}"

    plain_ms, ours, smp = one["plain"]["ms_an_image"], one["segnb"]["ms_an_image"], one["smp"]["ms_an_image"]
    ratio = plain_ms / ours
    row(
        "U-Net step: plain fp32 loop / segnb",
        f"{plain_ms:.1f} / {ours:.1f} ms an image",
        ratio,
        "≥ 2",
        ratio >= 2,
    )
    speed = {name: side["gflops"] / side["ms_an_image"] * 1e3 for name, side in one.items()}
    for side, width in (("segnb", "the preset's width"), ("wide", f"width {FULL_WIDTH}")):
        row(
            f"operations a second: U-Net of {width} / smp.Unet(vgg16), same loop",
            f"{speed[side]:.0f} / {speed['smp']:.0f} GFLOP/s"
            f" ({one[side]['ms_an_image']:.1f} and {smp:.1f} ms an image)",
            speed[side] / speed["smp"],
        )
    for key, kind in (("frozen_epoch", machine["precision"]), ("frozen_epoch_fp32", "fp32")):
        if key == "frozen_epoch_fp32" and machine["precision"] == "fp32":
            continue
        part = found[key]
        ratio = part["without"] / part["with"]
        row(
            f"frozen FCN-8s epoch, {kind}: without / with kept features",
            f"{ms(part['without'])} / {ms(part['with'])} ms an image; making them once {ms(part['making'])}",
            ratio,
            "≥ 10",
            ratio >= 10,
        )
    part = found["whole_training"]
    ratio = part["training"] / part["its_steps"]
    row(
        "whole U-Net training / its bare steps",
        f"{part['training']:.1f} / {part['its_steps']:.1f} s",
        ratio,
        "≤ 1.05",
        ratio <= 1.05,
    )
    ratio = part["train_epochs"] / part["train_steps"]
    row(
        "its training epochs / forward, backward and optimiser",
        f"{part['train_epochs']:.1f} / {part['train_steps']:.1f} s",
        ratio,
        "≤ 1.05",
        ratio <= 1.05,
    )
    part = found["reading"]
    ratio = part["input"] / part["epoch"]
    row(
        "input from the cache on disk / U-Net epoch",
        f"{ms(part['input'])} / {ms(part['epoch'])} ms an image;"
        f" reading it from 800×600 files into the cache, once, {ms(part['making'])}",
        ratio,
        "≤ 0.05",
        ratio <= 0.05,
    )
    for name, size in found["memory"].items():
        base = found["memory"]["U-Net, plain loop"]
        row(f"peak memory of training: {name} / U-Net, plain loop", f"{size / 2**20:.0f} MiB", size / base)
    alone, beside = found["growth"]["1"], found["growth"]["2"]
    for times in ("2", "4"):
        ratio = alone[times] / alone["1"]
        linear = abs(ratio / int(times) - 1) <= 0.1
        seconds = f"{alone[times]:.2f} / {alone['1']:.2f} s"
        row(f"U-Net epoch over {times}× / 1× the images", seconds, ratio, f"{times}, ± 10 %", linear)
    row(
        "the same (4×): two jobs at once / one",
        f"{beside['4']:.2f} / {alone['4']:.2f} s each",
        beside["4"] / alone["4"],
    )
    settings = (
        f"{machine['device_name']}, {found['cores']} cores, {machine['threads']} thread(s) a run,"
        f" {machine['precision']}, {'channels_last' if machine['channels_last'] else 'NCHW'}"
        f"{', fused Adam' if machine['fused'] else ''}{', compiled' if machine['compile'] else ''};"
        f" torch {found['torch']}; preset {found['preset']}; {found['date']}"
    )
    return "\n".join([settings, "", "| what | measured | ratio | aim |", "|---|---|---|---|", *rows])


def transfer(found: dict) -> str:
    """Scores of the three ways and what the scenes add, by class, as a Markdown table under a sentence."""
    results, settings = found["results"], found["settings"]
    few = " or ".join(map(str, found["learnt_from"]))
    gain = results["gain"]

    def aim(reached: bool, text: str) -> str:
        return f"{text} ({'reached' if reached else 'missed'})"

    def score(one: dict) -> str:
        low, high = one["interval"]
        return f"{one['miou']:.3f} ({low:.3f} to {high:.3f})"

    def points(value: float) -> str:
        return f"{100 * value:+.1f}".replace("-", "−")

    between = " to ".join(points(end).removeprefix("+") for end in gain["interval"])
    head = ["", *(name.replace("few", few) for name in ARMS.values()), "gained, points"]
    rows = [
        ["**mIoU**", *(score(results[arm]) for arm in ARMS), f"{points(gain['miou'])} ({between})"],
        ["by seed", *(" ".join(f"{v:.3f}" for v in results[arm]["by_seed"]) for arm in ARMS)]
        + [" ".join(points(value) for value in gain["by_seed"])],
        ["aim", aim(results["scenes"]["miou"] >= AIMS["scenes"], f"≥ {AIMS['scenes']:.2f}"), "", ""]
        + [aim(gain["miou"] >= AIMS["gain"], f"≥ {100 * AIMS['gain']:.0f}")],
    ]
    for name, value in gain["classes"].items():
        rows.append([name, *(f"{results[arm]['classes'][name]:.3f}" for arm in ARMS), points(value)])
    scenes, machine = found["scenes"]["counts"]["train"], found["machine"]
    sentence = (
        f"`{found['data']['name']}`: U-Net of width {settings['scenes']['width']} at"
        f" {settings['scenes']['size']} px, {scenes} scenes; {found['scheme']}, tested on"
        f" {found['tested_on']} frames, {settings['seeds']} seeds; on scenes of the test split it has"
        f" {score(results['streets'])}. {machine['device_name']}, {machine['precision']},"
        f" torch {found['torch']}; {found['date']}"
    )
    return f"{sentence}\n\n{markdown_table(head, rows)}"
