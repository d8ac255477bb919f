"""The four presets: how much data, how large, how long. One frozen dataclass each.

`paper` is the published recipe; the others shrink it so that the same report can be had on a laptop.
"""

from dataclasses import asdict, dataclass, replace

from segnb.errors import SegnbError

FULL_WIDTH = 64  # of the published networks


@dataclass(frozen=True)
class Recipe:
    """How one family of networks is trained."""

    size: int  # side of the square input in pixels
    width: int  # channels of the U-Net's first level, a 64th of those of the FCN's head; see FULL_WIDTH
    epochs: int  # at most, where there is early stopping
    batch_size: int
    learning_rate: float  # Adam's; the peak of it where the schedule is one-cycle
    trunk_learning_rate: float  # the same for a pretrained trunk that is fine-tuned
    schedule: str  # "constant" or "one-cycle"
    mirror: bool  # mirror half of the training images, drawn anew each epoch
    patience: int | None  # early stopping: epochs without progress in either loss or mIoU
    min_delta: float = 1e-3  # what counts as progress for early stopping


@dataclass(frozen=True)
class Preset:
    """A size of the whole study. Counts are images; `train` does not include `val`."""

    name: str
    train: int
    val: int
    test: int
    seeds: int  # seeds 0..seeds-1 are trained when none are named
    weights: str  # where the VGG16 trunk comes from when nobody says
    precision: str  # "auto" tries out what the machine trains fastest with
    fcn: Recipe
    unet: Recipe

    def recipe(self, family: str) -> Recipe:
        """The recipe of "fcn" or "unet"."""
        return {"fcn": self.fcn, "unet": self.unet}[family]

    def override(self, epochs: int | None, learning_rate: float | None) -> "Preset":
        """The same preset with other epochs or learning rates for both families."""
        changes: dict = {}
        if epochs is not None:
            changes["epochs"] = epochs
        if learning_rate is not None:
            changes |= {"learning_rate": learning_rate, "trunk_learning_rate": learning_rate}
        return replace(self, fcn=replace(self.fcn, **changes), unet=replace(self.unet, **changes))

    def as_dict(self) -> dict:
        return asdict(self)


_SMOKE = Recipe(
    size=64,
    width=8,
    epochs=1,
    batch_size=4,
    learning_rate=2e-3,
    trunk_learning_rate=1e-4,
    schedule="one-cycle",
    mirror=True,
    patience=None,
)
_QUICK = replace(_SMOKE, size=128, width=16, batch_size=8, epochs=15)
_STANDARD = replace(_QUICK, width=32, epochs=30, learning_rate=1e-3)
_PAPER = Recipe(
    size=256,
    width=FULL_WIDTH,
    epochs=50,
    batch_size=8,
    learning_rate=1e-4,
    trunk_learning_rate=1e-4,
    schedule="constant",
    mirror=False,
    patience=5,
)

PRESETS = {
    preset.name: preset
    for preset in (
        # Tests only: every part runs, no score means anything. Nothing is fetched and nothing tried out.
        Preset("smoke", 8, 4, 6, 1, "random", "fp32", fcn=_SMOKE, unet=_SMOKE),
        # FCNs at the study's size, so that a stride of 32 leaves its 7×7 cells; a head of 256 channels
        # learnt as much from 256 scenes as one of 1024 (validation mIoU 0.370 and 0.364, FCN-8s frozen).
        Preset(
            "quick",
            240,
            60,
            120,
            1,
            "auto",
            "auto",
            fcn=replace(_QUICK, size=224, width=4, epochs=3),
            unet=_QUICK,
        ),
        Preset(
            "standard",
            800,
            200,
            300,
            3,
            "auto",
            "auto",
            fcn=replace(_STANDARD, size=224, epochs=15),
            unet=replace(_STANDARD, size=256),
        ),
        # The published recipe: 2,000 training images, a fifth of them for validation, and 500 for test.
        Preset(
            "paper",
            1600,
            400,
            500,
            3,
            "auto",
            "auto",
            fcn=replace(_PAPER, size=224, epochs=15, patience=None),
            unet=_PAPER,
        ),
    )
}


def preset(name: str) -> Preset:
    """The preset of that name. Raises SegnbError that lists the choices."""
    if name not in PRESETS:
        raise SegnbError(f"preset {name!r} is unknown; choose from {', '.join(PRESETS)}")
    return PRESETS[name]
