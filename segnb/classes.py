"""The classes of the study: id, name and colour, once for everything that draws or counts.

Order and names follow the CARLA 0.8 / Lyft-Udacity label set that the study uses.
All thirteen classes count in every score, `Unlabeled` (mostly sky) included.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassMap:
    """Names and colours of a label set; a class's id is its position.

    names:   one name an id, as printed in tables and legends
    colours: one "#rrggbb" an id
    thin:    names of the classes that cover few pixels each (poles, people …)
    """

    names: tuple[str, ...]
    colours: tuple[str, ...]
    thin: tuple[str, ...] = ()

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
        """Label map, uint8 (..., H, W) of ids, to an RGB picture, uint8 (..., H, W, 3)."""
        return self.palette[labels]


# Lightness varies as well as hue, so that neighbours on a street stay apart
# for colour-blind readers and on a grey print.
STREET = ClassMap(
    names=(
        "Unlabeled",
        "Building",
        "Fence",
        "Other",
        "Pedestrian",
        "Pole",
        "Roadline",
        "Road",
        "Sidewalk",
        "Vegetation",
        "Car",
        "Wall",
        "Traffic sign",
    ),
    colours=(
        "#101820",
        "#9c7a5b",
        "#e8871e",
        "#0b6e66",
        "#e3202b",
        "#8fd3ea",
        "#ffffff",
        "#75608a",
        "#f2a7d3",
        "#4f9a3a",
        "#2346c4",
        "#c9c3a5",
        "#ffe03a",
    ),
    thin=("Fence", "Pedestrian", "Pole", "Roadline", "Traffic sign"),
)
