"""Sentences of the report that contain numbers, computed from the files of runs.

Verdicts on claims are in `segnb.claims`, the audit of the reported scores is in `segnb.audit`.
"""

import html

import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from segnb.claims.related_studies import origin
from segnb.claims.verdicts import StudyVerdicts
from segnb.claims.wording import counted, sentence
from segnb.labels import STREET, ClassMap
from segnb.models.registry import FAMILIES, VARIANTS, label, parse_variants
from segnb.presets import preset
from segnb.storage.files import in_markdown
from segnb.study.study import Run, Study, by_variant, of_family


def say(sentence: str) -> None:
    """Display a computed sentence as running text; display nothing if it is empty.

    Markdown is rendered, HTML is not. Names of classes and files, which are data, pass through `in_markdown`.
    """
    if sentence:
        display(Markdown(html.escape(sentence, quote=False)))


def network_count(runs: list[Run]) -> str:
    """Count networks, as in "10 networks of the study and 3 additional networks"; "" without runs."""
    names = by_variant(runs)
    additional = sum(VARIANTS[name].extension for name in names)
    own = len(names) - additional
    counts = [f"{counted(own, 'network')} of the study"] if own else []
    counts += [counted(additional, "additional network")] if additional else []
    return " and ".join(counts)


def scope_sentence(study: Study, runs: list[Run]) -> str:
    """Say which networks, seeds, preset and machine the report covers."""
    if not runs:
        return "No run is trained and evaluated yet: this report covers only numbers that the study reports."

    seeds = sorted({run.seed for run in runs})
    additional = "; ".join(VARIANTS[name].label for name in by_variant(runs) if VARIANTS[name].extension)
    return (
        f"This report covers {network_count(runs)}: {counted(len(runs), 'run')} with"
        f" {counted(len(seeds), 'seed')} ({', '.join(map(str, seeds))}) and preset {study.preset.name}, on"
        f" {study.machine.device_name} in {study.machine.precision}."
        + (f" The study reports no scores for the additional networks ({additional})." if additional else "")
    )


def missing(runs: list[Run], name: str, wanted: str = "all") -> str:
    """Name the requested networks of a family that have no run; "" if all have one.

    Args:
        runs: Evaluated runs.
        name: Family, "fcn" or "unet".
        wanted: Requested networks, as the parameter `variants` of a notebook.
    """
    variants = {run.variant for run in runs}
    requested = [v for v in parse_variants(wanted) if VARIANTS[v].family == name]
    absent = [label(v) for v in requested if v not in variants]
    if not requested:
        return "No network of this family was requested, so this chapter is empty."
    if not absent:
        return ""
    if len(absent) == len(requested):
        return f"No network of this family has been trained and evaluated yet: {'; '.join(absent)}."
    return f"These networks are left out because they have no finished run: {'; '.join(absent)}."


# --- scores ---


def with_interval(row) -> str:
    """Print the mIoU of a row of `segnb.evaluation.scores.scores`, with its interval if it has one."""
    return f"{row.miou:.3f}" + ("" if np.isnan(row.low) else f" ({row.low:.3f} to {row.high:.3f})")


def seeds_caveat(scores: pd.DataFrame) -> str:
    """Say that one seed does not compare architectures; "" with several seeds or without runs."""
    if scores.empty or scores.seeds.min() > 1:  # captions say that scores are means
        return ""
    if scores.seeds.max() > 1:
        return "If a network has only one seed, it is inconclusive whether it beats another."
    return "With one seed per network, it is inconclusive whether one architecture beats another."


def spread_sentence(spreads: pd.DataFrame) -> str:
    """Compare the spread between networks and between seeds per family; "" with one seed.

    Args:
        spreads: From `segnb.evaluation.scores.spreads`.
    """
    return " ".join(
        f"Among the {FAMILIES[name]}, the standard deviation of mIoU is"
        f" {100 * row.networks:.2f} points between networks and {100 * row.seeds:.2f} points between the"
        f" seeds of one network, a ratio of {row.ratio:.{int(row.ratio < 9.95)}f}."
        for name, row in spreads.iterrows()
    )


def stride_grid(size: int) -> str:
    """Say how many cells a stride of 32 leaves of an image with `size` pixels per side."""
    cells = size // 32
    sentence = f"At {size} px per side, a stride of 32 leaves a grid of {cells}×{cells} cells"
    if cells >= 7:
        return sentence + "."
    return sentence + (
        "; the study's 224 px give 7×7. Each cell covers a larger share of the image, so the gap between"
        " FCN-32s and the finer strides cannot be compared with the study's."
    )


def sizes_caveat(study: Study, runs: list[Run]) -> str:
    """Warn against comparing FCNs with U-Nets; "" if both are evaluated at the same image size."""
    fcn, unet = study.recipe("fcn").size, study.recipe("unet").size
    if fcn == unet or not (of_family(runs, "fcn") and of_family(runs, "unet")):
        return ""
    return (
        f"FCNs are trained and evaluated at {fcn}×{fcn} px, U-Nets at {unet}×{unet} px: do not compare scores"
        " across the two families."
    )


# --- limits ---


def limits(study: Study, runs: list[Run], ledger: StudyVerdicts) -> list[str]:
    """List the limits of this study, one sentence or two per item."""
    sentences = [in_markdown(warning) for warning in study.warnings]
    sentences += [_seeds(runs), _smaller(study), _other_images(study), backbone(study)]
    sentences.append(
        f"Times were measured on {study.machine.device_name} in {study.machine.precision}; the order of the"
        " networks may differ on other hardware."
    )
    unmeasured = [claim.id for claim in ledger.claims if claim.word == "not measured"]
    if unmeasured:
        sentences.append(
            f"These claims are not measured, for a reason given with each: {', '.join(unmeasured)}."
        )
    return [sentence for sentence in sentences if sentence]


def _seeds(runs: list[Run]) -> str:
    """Say what the intervals of scores cover; "" without runs."""
    seeds = [len(group) for group in by_variant(runs).values()]
    if not seeds:
        return ""
    covered = "The intervals of scores cover the choice of test images, not variation between runs"
    if max(seeds) == 1:
        return f"{covered}. With one seed per network, no claim about an architecture is decided."
    few = " If a network has only one seed, no claim about its scores is decided." if min(seeds) == 1 else ""
    return f"{covered}; the intervals of claims cover both, unless a claim says otherwise.{few}"


def _smaller(study: Study) -> str:
    """Point to the settings that differ from the study's; "" for its own preset."""
    if not _differs(study):
        return ""
    return (
        "The networks are not trained as in the study; [the table](#table-recipes) compares numbers and sizes"
        " of images, channels, epochs, learning rates, batches and flips. With the study's settings, results"
        " may differ, above all for classes that are slow to learn or small in the image."
    )


def _differs(study: Study) -> bool:
    here, paper = study.preset, preset("paper")
    images = study.settings["data"]["counts"]["train"]
    return (here.fcn, here.unet, images) != (paper.fcn, paper.unet, paper.train)


def trained_on(study: Study) -> str:
    """Say on what the networks of a report are trained, and on what those of the tested study."""
    here, data, paper = study.preset, study.settings["data"], preset("paper")
    sizes = " and ".join(
        f"{name} at {recipe.size}×{recipe.size} px for {counted(recipe.epochs, 'epoch')}"
        for name, recipe in (("FCNs", here.fcn), ("U-Nets", here.unet))
    )
    smaller = (
        f" The study took {paper.train:,} images, {paper.fcn.epochs} epochs for FCNs, up to"
        f" {paper.unet.epochs} for U-Nets, and larger networks;"
        " [the table](methods.ipynb#table-recipes) compares all settings."
    )
    return (
        f"In this report, networks learn from {data['counts']['train']:,} images"
        f" ({in_markdown(origin(data))}), {sizes}." + smaller * _differs(study)
    )


def _other_images(study: Study) -> str:
    if not study.is_rendered:
        return ""
    return (
        "The study's images come from the CARLA simulator. These come from segnb's own renderer, with the"
        " same classes, and the verdicts apply to such scenes; `DATA=` selects other images."
    )


def backbone(study: Study) -> str:
    """Say that the backbones start with other weights than the study's; "" if they do not."""
    source = study.settings["weights"]["source"]
    if source.startswith("imagenet"):
        return ""
    hed = source == "hed"
    edges = (
        " They were last trained to detect edges, which may favour finer strides: FCN-16s and FCN-8s add the"
        " outputs of layers that learned edges."
    )
    return (
        f"The FCN backbones start with other weights ({source}{'; Xie and Tu 2015' * hed}) than the study's"
        " (ImageNet classification). This changes the scores of all six FCNs and the gain from fine-tuning."
        f"{edges * hed}"
    )


# --- data ---


def classes_sentence(classes: ClassMap) -> str:
    """Say how many classes there are and which pixels count."""
    sentence = f"All {len(classes)} classes count in every score"
    if classes.key == STREET.key:
        sentence += ", including *Unlabeled*, which is mostly sky"
    return f"{sentence}." + (" Void pixels, grey in the figures, count in no score." if classes.void else "")


def things_sentence(classes: ClassMap) -> str:
    """Name the classes whose objects are counted, and the thin classes."""
    thin, things = (", ".join(map(in_markdown, names)) for names in (classes.thin, classes.things))
    thin = f" Thin classes, which cover few pixels each: {thin}." if thin else ""
    if things:
        return f"Objects of these classes are counted: {things}.{thin}"
    return f"No class of these data has countable objects (column `thing` of its classes.csv).{thin}"


def image_counts(study: Study) -> str:
    """Count the images of each split, as part of a sentence."""
    counts = study.settings["data"]["counts"]
    return "{train} training, {val} validation and {test} test images".format(**counts)


def data_sentence(study: Study) -> str:
    """Say where the images come from, how many there are and how large they are."""
    source = in_markdown(origin(study.settings["data"]))
    sides = [study.recipe(name).size for name in ("fcn", "unet")]
    sizes = [f"{side}×{side} px" for side in sides]
    size = sizes[0] if sides[0] == sides[1] else f"{sizes[0]} for FCNs and {sizes[1]} for U-Nets"
    return sentence(f"{source}: {image_counts(study)}, at {size}")


def rare_sentence(pixels: pd.Series, images: pd.Series, count: int) -> str:
    """Name the most frequent and the rarest classes of the training split.

    Args:
        pixels: Share of all pixels by class, 0 to 1.
        images: Share of the images that show the class, 0 to 1.
        count: Number of images.
    """
    pixels, images = (shares.rename(in_markdown) for shares in (pixels, images))
    order = pixels.sort_values()
    below = [name for name in order.index if 0 < pixels[name] < 0.01]
    absent = [name for name in order.index if pixels[name] == 0]
    largest = order.index[order > 0][::-1][:3]
    covers = "covers" if len(largest) == 1 else "cover"
    sentences = [f"{', '.join(largest)} {covers} {100 * pixels[largest].sum():.0f}% of the training pixels."]
    if below:
        sentences.append(
            f"{len(below)} {'class covers' if len(below) == 1 else 'classes cover'} less than 1%; the"
            f" rarest, {below[0]}, covers {100 * pixels[below[0]]:.2g}%, in"
            f" {images[below[0]] * count:.0f} of {count} images."
        )
    else:
        sentences.append("No class that occurs covers less than 1%.")
    if absent:
        sentences.append(f"No training image shows {', '.join(absent)}.")
    return " ".join(sentences)
