"""The presets: how much data, how large, how long. One frozen dataclass each.

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
    backbone_learning_rate: float = 1e-4  # the same for a pretrained backbone that is fine-tuned
    schedule: str = "one-cycle"  # or "constant"
    mirror: bool = True  # mirror half of the training images, others in each epoch
    patience: int | None = None  # early stopping: epochs without progress in either loss or mIoU
    min_delta: float = 1e-3  # what counts as progress for early stopping

    @classmethod
    def from_dict(cls, values: dict) -> "Recipe":
        """Return the recipe of `asdict`, also of earlier versions of segnb, which had other fields."""
        renamed = {"trunk_learning_rate": "backbone_learning_rate"}
        values = {renamed.get(name, name): value for name, value in values.items()}
        return cls(**{name: value for name, value in values.items() if name in cls.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A size of the whole study. Counts are images; `train` does not include `val`."""

    name: str
    train: int
    val: int
    test: int
    seeds: int = 1  # seeds 0..seeds-1 are trained when none are named
    weights: str = "auto"  # where the VGG16 trunk comes from when nobody says
    precision: str = "auto"  # "auto" tries out what the machine trains fastest with
    fcn: Recipe
    unet: Recipe

    def recipe(self, family: str) -> Recipe:
        """The recipe of "fcn" or "unet"."""
        return {"fcn": self.fcn, "unet": self.unet}[family]

    def override(self, **changes: float | None) -> "Preset":
        """Return the preset with other epochs or learning rates in both recipes; None keeps the preset's."""
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self, fcn=replace(self.fcn, **given), unet=replace(self.unet, **given))

    def as_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "Preset":
        """Return the preset of `as_dict`, also of earlier versions of segnb."""
        recipes = {family: Recipe.from_dict(values[family]) for family in ("fcn", "unet")}
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
    # Tests only: every part runs, no score means anything. Nothing is fetched and nothing tried out.
    Preset(name="smoke", train=8, val=4, test=6, weights="random", precision="fp32", fcn=_SMOKE, unet=_SMOKE),
    # FCNs at the study's size, so that a stride of 32 leaves its 7×7 cells; a head of 256 channels
    # learnt as much from 256 scenes as one of 1024 (validation mIoU 0.370 and 0.364, FCN-8s frozen).
    # Steps are what they lack, so batches are small. With batches of 8, a rate of 2e-3 and 15 epochs four
    # seeds of the plain U-Net gave 0.396, 0.363, 0.334 and 0.339 (300 scenes held out), as each learned,
    # or not, what road lines are; now they give 0.478, 0.464, 0.484 and 0.470. FCN-8s fine-tuned went
    # from 0.413 to 0.476.
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
    # The published recipe: 2,000 training images, a fifth of them for validation, and 500 for test.
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
    """The preset of that name. Raises SegnbError that lists the choices."""
    if name not in PRESETS:
        raise SegnbError(f"preset {name!r} is unknown; choose from {', '.join(PRESETS)}")
    return PRESETS[name]
