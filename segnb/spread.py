"""`make spread`: how far the difference of two networks moves from seed to seed, and whether it moves less if
both start from the same weights.

At a seed, all networks of a study see the images in the same order, and layers that two of them have in
common, in place and shape, start from the same weights (`segnb.models.unet.draw_by_place`). That is meant to
make differences steadier. Here the same networks are trained again from weights of their own. In either case
the yardstick is the same scores with the seeds of one network shuffled against those of the other: pairs that
share nothing.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from zlib import crc32

import numpy as np
import torch

from segnb.aside import trained
from segnb.data.sources import Data
from segnb.files import markdown_table
from segnb.machine import Machine
from segnb.models.unet import draw_by_place
from segnb.models.variants import variant_named
from segnb.presets import Recipe
from segnb.rundir import code_digest
from segnb.training import evaluate

# A network and the one that it adds a single thing to.
PAIRS = (
    ("AttentionUNet_256", "UNet_Standard_256"),
    ("ResidualUNet_256", "UNet_Standard_256"),
    ("AttentionResidualUNet_256", "ResidualUNet_256"),
    ("AttentionResidualUNet_256", "AttentionUNet_256"),
)
NETWORKS = tuple(dict.fromkeys(itertools.chain(*PAIRS)))
ARMS = {"shared": "same initial weights", "own": "weights of its own"}
SEEDS = 6
SHUFFLES = 20000
MARKS = ("<!-- spread -->", "<!-- /spread -->")  # between which docs/spread.md shows the table


def measure(
    data: Data,
    recipe: Recipe,
    seeds: int,
    machine: Machine,
    cache: Path,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> dict:
    """Test mIoU of every network, arm and seed, with what they were trained on, ready for JSON.

    Networks are kept in `cache`/spread, so that what was stopped goes on.
    """
    machine.apply()
    train, val, test = (data.split(cache, name, recipe.size) for name in ("train", "val", "test"))
    miou: dict[str, dict[str, list[float]]] = {arm: {name: [] for name in NETWORKS} for arm in ARMS}
    for seed, arm, name in itertools.product(range(seeds), ARMS, NETWORKS):
        say(f"seed {seed}, {ARMS[arm]}: {variant_named(name).label} …")
        begin = of_its_own(name, seed) if arm == "own" else None
        what = [data.digest, arm]
        _, model = trained(name, seed, (train, val), recipe, machine, cache / "spread", what, begin)
        miou[arm][name].append(evaluate(model, test, recipe.batch_size, machine).miou)
    return {
        "data": {"name": data.name, "digest": data.digest, "counts": data.counts},
        "recipe": asdict(recipe),
        "machine": asdict(machine),
        "code": code_digest(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "miou": miou,
    }


def of_its_own(name: str, seed: int) -> Callable[[torch.nn.Module], None]:
    """Draws a network's initial weights anew, so that no other network has the same at this seed."""
    return lambda model: draw_by_place(model, crc32(f"{name} {seed}".encode()))


def differences(scores: dict[str, np.ndarray]) -> np.ndarray:
    """From scores (..., seeds) by network: what PAIRS differ by at each seed, (pairs, ..., seeds)."""
    return np.stack([scores[more] - scores[less] for more, less in PAIRS])


def moved(differences: np.ndarray) -> float:
    """Standard deviation over the seeds, all pairs together: the root of the pairs' mean variance."""
    return float(np.sqrt(differences.var(axis=1, ddof=1).mean()))


def shuffled(scores: dict[str, np.ndarray]) -> tuple[float, float]:
    """Between what `moved` is, 95 times in 100, if every network's seeds are shuffled for itself.

    Outside it, what networks share at a seed makes their differences steadier (below) or less so (above).
    """
    draw = np.random.default_rng(0)
    many = {name: draw.permuted(np.tile(one, (SHUFFLES, 1)), axis=1) for name, one in scores.items()}
    found = np.sqrt(differences(many).var(axis=2, ddof=1).mean(axis=0))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


# ---- what is shown ----------------------------------------------------------------------------------


def table(found: dict) -> str:
    """Differences by pair and arm, how far they moved, and what that means, as Markdown."""
    points = {
        arm: {name: 100 * np.array(one) for name, one in scores.items()}
        for arm, scores in found["miou"].items()
    }
    apart = {arm: differences(scores) for arm, scores in points.items()}
    seeds = apart["shared"].shape[1]
    head = ["points of mIoU, mean over the seeds ± standard deviation", *ARMS.values()]
    rows = [
        [f"{variant_named(more).label} − {variant_named(less).label}"]
        + [f"{apart[arm][i].mean():+.1f} ± {apart[arm][i].std(ddof=1):.1f}".replace("-", "−") for arm in ARMS]
        for i, (more, less) in enumerate(PAIRS)
    ]
    ranges = {arm: shuffled(points[arm]) for arm in ARMS}
    rows += [
        ["**all pairs: ±**", *(f"**{moved(apart[arm]):.2f}**" for arm in ARMS)],
        ["with seeds shuffled, 95 of 100 times", *("{:.2f} to {:.2f}".format(*ranges[arm]) for arm in ARMS)],
    ]
    recipe, counts, machine = found["recipe"], found["data"]["counts"], found["machine"]
    sentence = (
        f"{len(NETWORKS)} U-Nets of width {recipe['width']} at {recipe['size']} px, {counts['train']} scenes,"
        f" {recipe['epochs']} epochs, tested on {counts['test']} scenes, {seeds} seeds."
        f" {machine['device_name']}, {machine['precision']}, torch {found['torch']}; {found['date']}"
    )
    told = verdict(moved(apart["shared"]), ranges["shared"])
    return "\n\n".join([sentence, markdown_table(head, rows), told])


def verdict(here: float, between: tuple[float, float]) -> str:
    """One sentence on `moved` of networks that share their weights, held against shuffled seeds."""
    low, high = between
    if low <= here <= high:
        return (
            "No gain shows: networks that start from the same weights and see the images in the same order"
            " differ no more steadily than networks that share nothing."
        )
    way = "more" if here < low else "less"
    return (
        f"Networks that start from the same weights differ {way} steadily than networks that share nothing."
    )
