"""Label sets: the id, name and colour of each class.

STREET is the study's. Order and names follow the CARLA 0.8 / Lyft-Udacity label set. All thirteen classes
count in every score, including `Unlabeled` (mostly sky). CAMVID is the label set of the photographs. Other
data have their own (`segnb.data.masks`).
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

IGNORE_INDEX = 255  # the label of void pixels, which count in no loss and no score


@dataclass(frozen=True)
class ClassMap:
    """Names and colours of a label set, in which a class's id is its position.

    Attributes:
        names: one name per class, as printed in tables and legends
        colours: one "#rrggbb" per class
        thin: names of the classes that cover few pixels each (poles, people …)
        things: names of the classes whose objects can be counted, unlike road or sky
        void: whether label maps may have void pixels (IGNORE_INDEX)
        key: one word for the whole set
    """

    names: tuple[str, ...]
    colours: tuple[str, ...]
    thin: tuple[str, ...] = ()
    things: tuple[str, ...] = ()
    void: bool = False
    key: str = "own"

    @classmethod
    def of(cls, colours: dict[str, str], **marks: Any) -> Self:
        """Make a label set of {name: colour}, in the order of the ids."""
        return cls(tuple(colours), tuple(colours.values()), **marks)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the label set that `as_dict` gave; JSON has turned its tuples into lists."""
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __len__(self) -> int:
        return len(self.names)

    def id(self, name: str) -> int:
        """Return the id of a class, or raise KeyError with the names of all classes."""
        if name not in self.names:
            raise KeyError(f"unknown class {name!r} (expected one of {', '.join(self.names)})")
        return self.names.index(name)

    @property
    def palette(self) -> np.ndarray:
        """RGB by id: (classes, 3), uint8."""
        return np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in self.colours], np.uint8)

    def paint(self, labels: np.ndarray) -> np.ndarray:
        """Return label maps (..., H, W), uint8, as RGB (..., H, W, 3), uint8; void has a grey of its own."""
        palette = self.palette
        taken = {*map(tuple, palette.tolist())}
        greys = ((128 + 37 * i) % 256 for i in range(256))  # all, in steps that the eye can tell apart
        colours = np.full((256, 3), next(grey for grey in greys if (grey,) * 3 not in taken), np.uint8)
        colours[: len(self)] = palette
        return colours[labels]

    def seen(self, *maps: np.ndarray) -> list[int]:
        """Return the ids that occur in label maps, sorted, without IGNORE_INDEX."""
        return np.setdiff1d(np.concatenate([labels.ravel() for labels in maps]), IGNORE_INDEX).tolist()


# Lightness varies as well as hue, so that colour-blind readers, and readers of a grey print, can distinguish
# classes that are next to each other on a street.
STREET = ClassMap.of(
    {
        "Unlabeled": "#101820",
        "Building": "#9c7a5b",
        "Fence": "#e8871e",
        "Other": "#0b6e66",
        "Pedestrian": "#e3202b",
        "Pole": "#8fd3ea",
        "Roadline": "#ffffff",
        "Road": "#75608a",
        "Sidewalk": "#f2a7d3",
        "Vegetation": "#4f9a3a",
        "Car": "#2346c4",
        "Wall": "#c9c3a5",
        "Traffic sign": "#ffe03a",
    },
    thin=("Fence", "Pedestrian", "Pole", "Roadline", "Traffic sign"),
    things=("Pedestrian", "Pole", "Car", "Traffic sign"),
    key="street",
)

# Brostow, Fauqueur and Cipolla, "Semantic object classes in video", Pattern Recognition Letters 2009, with
# the eleven classes of Badrinarayanan et al., "SegNet", PAMI 2017, which have been usual since. A class of
# STREET has the same colour here.
_SHARED = ("Building", "Pole", "Road", "Sidewalk", "Vegetation", "Traffic sign", "Fence", "Car", "Pedestrian")
CAMVID = ClassMap.of(
    {
        "Sky": "#cfe8ff",
        **{name: STREET.colours[STREET.id(name)] for name in _SHARED},
        "Bicyclist": "#0b6e66",
    },
    thin=("Pole", "Traffic sign", "Fence", "Pedestrian", "Bicyclist"),
    things=("Pole", "Traffic sign", "Car", "Pedestrian", "Bicyclist"),
    void=True,
    key="camvid",
)

# Cars against all other classes of STREET, for claim U15: do many classes spread attention thin?
CAR = ClassMap.of({"Rest": "#101820", "Car": "#2346c4"}, things=("Car",), key="car")

LABEL_SETS = {classes.key: classes for classes in (STREET, CAMVID, CAR)}
