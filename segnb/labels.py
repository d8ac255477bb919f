"""Label sets: id, name and colour of each class, once for everything that draws or counts.

STREET is the study's. Order and names follow the CARLA 0.8 / Lyft-Udacity label set; all thirteen classes
count in every score, `Unlabeled` (mostly sky) included. CAMVID is that of the photographs. Other data bring
their own (`segnb.data.masks`).
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

IGNORE_INDEX = 255  # the label of a pixel that nobody labelled: in no loss and in no score


@dataclass(frozen=True)
class ClassMap:
    """Names and colours of a label set; a class's id is its position.

    names:   one name an id, as printed in tables and legends
    colours: one "#rrggbb" an id
    thin:    names of the classes that cover few pixels each (poles, people …)
    things:  names of the classes whose objects can be counted, unlike stuff such as road or sky
    void:    whether there may be pixels that nobody labelled, IGNORE_INDEX in label maps
    key:     one word for the whole set
    """

    names: tuple[str, ...]
    colours: tuple[str, ...]
    thin: tuple[str, ...] = ()
    things: tuple[str, ...] = ()
    void: bool = False
    key: str = "own"

    @classmethod
    def of(cls, colours: dict[str, str], **marks: Any) -> Self:
        """The label set of these names, each with its colour, in the order of their ids."""
        return cls(tuple(colours), tuple(colours.values()), **marks)

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> Self:
        """The label set that `as_dict` gave, as JSON hands it back: lists for tuples."""
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in kept.items()})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __len__(self) -> int:
        return len(self.names)

    def id(self, name: str) -> int:
        """The id of a class name. Raises KeyError that lists the choices."""
        if name not in self.names:
            raise KeyError(f"class {name!r} is unknown; choose from {', '.join(self.names)}")
        return self.names.index(name)

    @property
    def palette(self) -> np.ndarray:
        """uint8 (classes, 3): RGB by id."""
        return np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in self.colours], np.uint8)

    def paint(self, labels: np.ndarray) -> np.ndarray:
        """Label map, uint8 (..., H, W) of ids, to RGB, uint8 (..., H, W, 3); IGNORE_INDEX is grey."""
        colours = np.full((256, 3), 128, np.uint8)
        colours[: len(self)] = self.palette
        return colours[labels]

    def seen(self, *maps: np.ndarray) -> list[int]:
        """The ids that occur in label maps, in order, without IGNORE_INDEX."""
        return [int(i) for i in np.unique(np.concatenate([one.ravel() for one in maps])) if i != IGNORE_INDEX]


# Lightness varies as well as hue, so that neighbours on a street stay apart
# for colour-blind readers and on a grey print.
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

# Brostow, Fauqueur and Cipolla, "Semantic object classes in video", Pattern Recognition Letters 2009, in the
# eleven classes that are usual since Badrinarayanan et al., "SegNet", PAMI 2017.
CAMVID = ClassMap.of(
    {
        "Sky": "#cfe8ff",
        "Building": "#9c7a5b",
        "Pole": "#8fd3ea",
        "Road": "#75608a",
        "Sidewalk": "#f2a7d3",
        "Vegetation": "#4f9a3a",
        "Traffic sign": "#ffe03a",
        "Fence": "#e8871e",
        "Car": "#2346c4",
        "Pedestrian": "#e3202b",
        "Bicyclist": "#0b6e66",
    },
    thin=("Pole", "Traffic sign", "Fence", "Pedestrian", "Bicyclist"),
    things=("Pole", "Traffic sign", "Car", "Pedestrian", "Bicyclist"),
    void=True,
    key="camvid",
)

# One class of the street's against all others: whether many classes spread attention thin (claim U15).
CAR = ClassMap.of({"Rest": "#101820", "Car": "#2346c4"}, things=("Car",), key="car")

LABEL_SETS = {classes.key: classes for classes in (STREET, CAMVID, CAR)}
