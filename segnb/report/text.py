"""From runs to tables and sentences: what was trained on what, scores by network, the ranking.

The running text of the report that holds a number is made here, from the files of runs. Verdicts on claims
are in `segnb.claims`, the audit of the published metric in `segnb.audit.scores`.
"""

import html
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from segnb.labels import STREET, ClassMap
from segnb.models.registry import VARIANTS, label, parse_variants
from segnb.presets import preset
from segnb.study.study import Run, Study, by_variant, of_family

if TYPE_CHECKING:
    from segnb.claims.verdicts import StudyVerdicts


def say(sentence: str) -> None:
    """Display a computed sentence as running text; nothing for an empty one.

    Markdown, but no HTML: a sentence may name classes and files, which come from data.
    """
    if sentence:
        display(Markdown(html.escape(sentence, quote=False)))


def network_count(runs: list[Run]) -> str:
    """How many networks there are, as in "10 networks of the study and 3 extensions"; "" without runs."""
    names = by_variant(runs)
    extensions = sum(VARIANTS[name].extension for name in names)
    told = [f"{counted(len(names) - extensions, 'network')} of the study"] if len(names) > extensions else []
    told += [counted(extensions, "extension")] if extensions else []
    return " and ".join(told)


def scope_sentence(study: Study, runs: list[Run]) -> str:
    """What this report rests on: study, data, runs and machine."""
    if not runs:
        return f"Study {study.name} has no finished run yet, so only the published numbers are looked at."

    seeds = sorted({run.seed for run in runs})
    machine = study.machine
    extensions = "; ".join(VARIANTS[name].label for name in by_variant(runs) if VARIANTS[name].extension)
    return (
        f"Study `{study.name}`: {network_count(runs)} with"
        f" {counted(len(seeds), 'seed')} ({', '.join(map(str, seeds))}), {counted(len(runs), 'training')},"
        f" preset {study.preset.name}, on {machine.device_name} in {machine.precision}."
        + (f" Extensions, for which the study gives no scores: {extensions}." if extensions else "")
    )


def counted(number: int, thing: str) -> str:
    """A number and its thing, as in "1 epoch" and "2 epochs"."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def missing(runs: list[Run], name: str, wanted: str = "all") -> str:
    """One sentence on the networks of a family that were asked for and have no run; "" if all are there."""
    there = {run.variant for run in runs}
    asked = [v for v in parse_variants(wanted) if VARIANTS[v].family == name]
    gone = [label(v) for v in asked if v not in there]
    if not asked:
        return "No network of this family was asked for, so this chapter is empty."
    if not gone:
        return ""
    if len(gone) == len(asked):
        return f"No network of this family has been trained and tested in this study yet: {'; '.join(gone)}."
    return f"Left out, because no run of them is finished: {'; '.join(gone)}."


# --- scores ---


def best_and_worst(scores: pd.DataFrame) -> str:
    """One sentence that sums up a ranking or `scores`; "" for fewer than two networks."""
    if len(scores) < 2:
        return ""
    order = scores.sort_values("miou", ascending=False)
    best, second, worst = order.iloc[0], order.iloc[1], order.iloc[-1]
    sentence = (
        f"On the test images {label(best.name)} scores highest, {with_interval(best)}, and"
        f" {label(worst.name)} lowest, {with_interval(worst)}: {100 * (best.miou - worst.miou):.1f} points of"
        " mIoU apart."
    )
    if len(order) > 2 and second.high >= best.low:
        sentence += f" The intervals of the first two, {label(best.name)} and {label(second.name)}, overlap."
    return sentence


def with_interval(row) -> str:
    """The mIoU of a row of `segnb.evaluation.scores.scores`, with its interval where it has one."""
    return f"{row.miou:.3f}" + ("" if np.isnan(row.low) else f" ({row.low:.3f} to {row.high:.3f})")


def seeds_caveat(scores: pd.DataFrame) -> str:
    """What the number of seeds allows to be said; "" without runs."""
    if scores.empty:
        return ""
    if scores.seeds.min() == 1:
        return (
            "With one seed a network, whether one *kind* of network beats another is inconclusive: the"
            " intervals are about these very networks on new images, not about training them again."
        )
    low, high = scores.seeds.min(), scores.seeds.max()
    return (
        f"The means are over {low if low == high else f'{low} to {high}'} seeds a network; the intervals are"
        " about these very networks on new images, and the spread of the seeds shows what training adds."
    )


def spread_sentence(spreads: pd.DataFrame) -> str:
    """One sentence per family on `segnb.evaluation.scores.spreads`; "" with one seed."""
    return " ".join(
        f"Among the {'FCNs' if name == 'fcn' else 'U-Nets'}, the standard deviation of mIoU is"
        f" {100 * row.networks:.1f} points between networks and {100 * row.seeds:.1f} points between seeds of"
        f" one network: a ratio of {row.ratio:.1f}."
        for name, row in spreads.iterrows()
    )


def stride_grid(size: int) -> str:
    """One sentence on what a stride of 32 leaves of an image of `size` pixels a side."""
    cells = size // 32
    sentence = f"At {size} pixels a side, a stride of 32 leaves a grid of {cells}×{cells} cells"
    if cells >= 7:
        return sentence + "."
    return sentence + (
        ", where the study's 224 pixels give 7×7: every cell covers a larger part of the picture, so the"
        " gap between FCN-32s and the finer strides says more about this image size than about the study."
    )


def sizes_caveat(study: Study, runs: list[Run]) -> str:
    """What to mind when an FCN is held against a U-Net; "" where both see images of one size."""
    fcn, unet = study.recipe("fcn").size, study.recipe("unet").size
    if fcn == unet or not (of_family(runs, "fcn") and of_family(runs, "unet")):
        return ""
    return (
        f"FCNs see, and are tested on, images of {fcn} pixels a side and U-Nets of {unet}: scores of the two"
        " families are not of the same pixels."
    )


# --- limits ---


def limits(study: Study, runs: list[Run], ledger: "StudyVerdicts") -> list[str]:
    """What a reader has to keep in mind, a sentence each: all that this study can be told to lack."""
    seeds = pd.DataFrame({"seeds": [len(group) for group in by_variant(runs).values()]})
    told = [*study.warnings, seeds_caveat(seeds), _smaller(study), _other_pictures(study)]
    told += [_trunk(study), sizes_caveat(study, runs)]
    told.append(
        f"Times and memory are those of {study.machine.device_name} in {study.machine.precision}; on other"
        " machines the networks may stand otherwise to each other."
    )
    missing = [claim.id for claim in ledger.claims if claim.word == "not measured"]
    if missing:
        told.append(f"Not measured, for the reason that stands with each: {', '.join(missing)}.")
    return [sentence for sentence in told if sentence]


def _smaller(study: Study) -> str:
    """How a preset differs from the published recipe; "" for that recipe itself."""
    paper = preset("paper")
    here, images = study.preset, study.settings["data"]["counts"]["train"]
    if (here.fcn, here.unet, images) == (paper.fcn, paper.unet, paper.train):
        return ""
    return (
        f"Networks learnt from {images:,} images, FCNs for {counted(here.fcn.epochs, 'epoch')} at"
        f" {here.fcn.size} pixels and U-Nets of width {here.unet.width} for {here.unet.epochs} at"
        f" {here.unet.size}; the published recipe has {paper.train:,} images, {paper.fcn.epochs} epochs at"
        f" {paper.fcn.size} pixels, and width {paper.unet.width} for up to {paper.unet.epochs} at"
        f" {paper.unet.size}. What is slow to learn, or small in the picture, may come out otherwise there."
    )


def _other_pictures(study: Study) -> str:
    data = study.settings["data"]
    if not data["name"].startswith("streets"):
        return ""
    return (
        "The study's pictures are from the CARLA simulator. These were rendered by segnb, with the same"
        " classes, so verdicts are about streets like these; `DATA=` takes others."
    )


def _trunk(study: Study) -> str:
    source = study.settings["weights"]["source"]
    if source.startswith("imagenet"):
        return ""
    return (
        f"The FCNs' trunk started from {source}, not from ImageNet classification as the study's: that moves"
        " all six FCNs, and by how much fine-tuning helps."
    )


# --- data ---


def classes_sentence(classes: ClassMap) -> str:
    """How many classes there are and which pixels count."""
    sentence = f"All {len(classes)} classes count in every score"
    if classes.key == STREET.key:
        sentence += ", also *Unlabeled*, which is mostly sky"
    if classes.void:
        sentence += "; pixels that nobody labelled, grey in the pictures, count in none"
    return sentence + "."


def things_sentence(classes: ClassMap) -> str:
    """Whose objects are counted."""
    if classes.things:
        return f"Counted here: {', '.join(classes.things)}."
    return (
        "No class of these data is marked as one whose objects can be counted (column `thing` of its"
        " classes.csv), so none are."
    )


def image_counts(study: Study) -> str:
    """How many images there are of each split, as part of a sentence."""
    return "{train} training, {val} validation and {test} test images".format_map(
        study.settings["data"]["counts"]
    )


def data_sentence(study: Study) -> str:
    """Where the images come from, how many there are and how large they are."""
    data = study.settings["data"]
    origin = data["origin"]
    sides = [f"{study.recipe(name).size}×{study.recipe(name).size}" for name in ("fcn", "unet")]
    sizes = (
        f"{sides[0]} pixels" if sides[0] == sides[1] else f"{sides[0]} (FCN) and {sides[1]} (U-Net) pixels"
    )
    return (
        f"{origin[0].upper()}{origin[1:]}: {image_counts(study)}, of {sizes}. The set is identified by"
        f" `{data['digest']}`."
    )


def rare_sentence(pixels: pd.Series, images: pd.Series, count: int) -> str:
    """One sentence on the scarce classes of a split: shares of pixels and images by class, 0 to 1."""
    order = pixels.sort_values()
    below = [name for name in order.index if 0 < pixels[name] < 0.01]
    absent = [name for name in order.index if pixels[name] == 0]
    largest = order.index[::-1][:3]
    sentence = (
        f"{', '.join(largest)} make up {100 * pixels[largest].sum():.0f} % of the training pixels;"
        f" {len(below)} classes stay below 1 %"
    )
    if below:
        sentence += (
            f", the rarest, {below[0]}, at {100 * pixels[below[0]]:.2g} %"
            f" in {images[below[0]] * count:.0f} of {count} images"
        )
    return sentence + "." + (f" Not there at all: {', '.join(absent)}." if absent else "")
