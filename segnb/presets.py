"""The presets: number of images, image size, network width and length of training.

`paper` is the recipe of the study; the others are smaller, so that a laptop can make the same report.
"""

from dataclasses import asdict, dataclass, replace

from segnb.errors import SegnbError

FULL_WIDTH = 64  # channels of the first level of the study's U-Nets


@dataclass(frozen=True)
class Recipe:
    """The training settings of one family of networks."""

    size: int  # side of the square input in pixels
    width: int  # channels of a U-Net's first level; an FCN's head has 64 times as many
    epochs: int  # the most, if there is early stopping
    batch_size: int
    learning_rate: float  # of Adam; its peak, if the schedule is one-cycle
    backbone_learning_rate: float = 1e-4  # the same for a fine-tuned backbone with pretrained weights
    schedule: str = "one-cycle"  # or "constant"
    mirror: bool = True  # flip half of the training images horizontally, drawn again in each epoch
    patience: int | None = None  # early stopping: epochs in which neither loss nor mIoU improves
    min_delta: float = 1e-3  # the least improvement that early stopping counts


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The size of a whole study; `train`, `val` and `test` are numbers of images that do not overlap."""

    name: str
    train: int
    val: int
    test: int
    seeds: int = 1  # by default, seeds 0 to seeds - 1 are trained
    weights: str = "auto"  # backbone weights by default
    precision: str = "auto"  # "auto" measures which precision is fastest on the machine
    fcn: Recipe
    unet: Recipe

    def recipe(self, family: str) -> Recipe:
        """Return the recipe of "fcn" or "unet"."""
        return {"fcn": self.fcn, "unet": self.unet}[family]

    def override(self, **changes: float | None) -> "Preset":
        """Return the preset with these values in both recipes; None keeps the value of the preset."""
        overrides = {name: value for name, value in changes.items() if value is not None}
        return replace(self, fcn=replace(self.fcn, **overrides), unet=replace(self.unet, **overrides))

    def as_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "Preset":
        """Return the preset that `as_dict` gave."""
        recipes = {family: Recipe(**values[family]) for family in ("fcn", "unet")}
        return cls(**values | recipes)


_SMOKE = Recipe(size=64, width=8, epochs=1, batch_size=4, learning_rate=2e-3)
_QUICK = replace(_SMOKE, size=128, width=16, batch_size=8, epochs=15)
_STANDARD = replace(_QUICK, width=32, epochs=30, learning_rate=1e-3)
_PAPER = Recipe(
    size=256,
    width=FULL_WIDTH,
    epochs=50,
    batch_size=8,
    learning_rate=1e-4,
    schedule="constant",
    mirror=False,
    patience=5,
)

_ALL = (
    # For tests: every part runs, and no score means anything. Nothing is downloaded or timed.
    Preset(name="smoke", train=8, val=4, test=6, weights="random", precision="fp32", fcn=_SMOKE, unet=_SMOKE),
    # FCNs have the study's image size, so that a stride of 32 leaves its 7×7 cells. Batches are small,
    # because with so few images the number of steps limits the scores.
    Preset(
        name="quick",
        train=240,
        val=60,
        test=200,
        fcn=replace(_QUICK, size=224, width=4, batch_size=4, epochs=3),
        unet=replace(_QUICK, batch_size=4, learning_rate=4e-3, epochs=20),
    ),
    Preset(
        name="standard",
        train=800,
        val=200,
        test=300,
        seeds=3,
        fcn=replace(_STANDARD, size=224, epochs=15),
        unet=replace(_STANDARD, size=256),
    ),
    # The recipe of the study: 2,000 images, a fifth of them for validation, and 500 test images.
    Preset(
        name="paper",
        train=1600,
        val=400,
        test=500,
        seeds=3,
        fcn=replace(_PAPER, size=224, epochs=15, patience=None),
        unet=_PAPER,
    ),
)
PRESETS = {preset.name: preset for preset in _ALL}


def preset(name: str) -> Preset:
    """Return the preset of that name, or raise SegnbError with the names of all presets."""
    if name not in PRESETS:
        raise SegnbError(f"unknown preset {name!r} (expected one of {', '.join(PRESETS)})")
    return PRESETS[name]
