"""Codings of masks: the class that each id and colour stands for, from the layout or from a classes.csv.

A `classes.csv` has one row per id or colour of the masks:

    id,colour,name,thin,thing        id:     0 to 255, the value of the class in masks of ids
    0,#464646,Building,,             colour: the colour of the class in colour masks and in our figures
    1,#dc143c,Pedestrian,yes,yes     name:   rows with the same name become one class; `void` counts nowhere
    2,#ff0000,Pedestrian,yes,yes     thin:   yes for a class of thin objects (poles, people …)
    255,,void,,                      thing:  yes for a class whose objects can be counted

The column `name` is required, and so is `id` or `colour`. Classes are numbered in the order of their first
rows. If the names are the thirteen of the study, classes have the study's order instead, so that masks of a
newer CARLA with other ids get comparable scores.
"""

import colorsys
import csv
import io
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segnb.errors import SegnbError
from segnb.labels import CAMVID, IGNORE_INDEX, STREET, ClassMap

FILE = "classes.csv"
UNKNOWN = -1  # marks a value that stands for no class
LONGEST = 80  # characters of a cell; an error shows them in one line


@dataclass(frozen=True)
class Coding:
    """A mapping from the ids and colours in masks to classes.

    Args:
        classes: the label set
        values: {value of a one-channel mask: class id, or IGNORE_INDEX}
        colours: {(r, g, b) of a colour mask: class id, or IGNORE_INDEX}; empty without colour masks
    """

    classes: ClassMap
    values: dict[int, int] = field(repr=False)
    colours: dict[tuple[int, int, int], int] = field(default_factory=dict, repr=False)

    def from_values(self, values: np.ndarray) -> np.ndarray:
        """Return the class ids of stored values.

        Args:
            values: uint8 (...)

        Returns:
            int16 (...): a class id, IGNORE_INDEX or UNKNOWN for each value.
        """
        table = np.full(256, UNKNOWN, np.int16)
        table[list(self.values)] = list(self.values.values())
        return table[values]

    def from_colours(self, pixels: np.ndarray) -> np.ndarray:
        """Return the class ids of stored colours.

        Args:
            pixels: uint8 (..., 3), RGB

        Returns:
            int16 (...): a class id, IGNORE_INDEX or UNKNOWN for each colour.
        """
        packed = _packed(pixels)
        known = {int(_packed(np.array(colour))): class_id for colour, class_id in self.colours.items()}
        keys, ids = np.array(sorted(({-1: UNKNOWN} | known).items())).T
        place = np.searchsorted(keys, packed).clip(max=len(keys) - 1)
        return np.where(keys[place] == packed, ids[place], UNKNOWN).astype(np.int16)


def _packed(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.int64) @ np.array([65536, 256, 1])


# The colours of the thirteen classes. docs/classes-carla-*.csv cover the classes that CARLA 0.9.10 added, and
# the ids that 0.9.14 changed.
_CARLA = (
    # 0.8, image_converter.py
    "000000 464646 be9999 48005a dc143c 999999 9dea32 804080 f423e8 6b8e23 0000ff 66669c dcdc00",
    # 0.9.0, CityScapesPalette.h
    "000000 464646 be9999 faaaa0 dc143c 999999 9dea32 804080 f423e8 6b8e23 00008e 66669c dcdc00",
    # 0.9.10, CityScapesPalette.h
    "000000 464646 642828 375a50 dc143c 999999 9dea32 804080 f423e8 6b8e23 00008e 66669c dcdc00",
)
STREET_CODING = Coding(
    STREET,
    {i: i for i in range(len(STREET))},
    {tuple(bytes.fromhex(colour)): i for palette in _CARLA for i, colour in enumerate(palette.split())},
)
CAMVID_CODING = Coding(CAMVID, {i: i for i in range(len(CAMVID))} | {11: IGNORE_INDEX})


def require_file(path: Path) -> Path:
    """Return the path of a regular file.

    Raises:
        SegnbError: for anything else; opening a pipe, for example, would never return.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise SegnbError(f"{path}: cannot be read ({error.strerror}). Fix or remove it.") from None
    if not stat.S_ISREG(mode):
        raise SegnbError(f"{path}: a directory, pipe or device (expected a file). Remove or replace it.")
    return path


class Row(BaseModel):
    """One row of a classes.csv. Errors quote the descriptions as what is expected."""

    model_config = ConfigDict(str_strip_whitespace=True, str_max_length=LONGEST)
    id: str = Field(
        "",
        pattern="^([01]?[0-9]{1,2}|2[0-4][0-9]|25[0-5])?$",
        description="an integer from 0 to 255",
    )
    colour: str = Field("", pattern="^(#?[0-9A-Fa-f]{6})?$", description="#rrggbb")
    name: str = Field(
        pattern=r"^[^\x00-\x1f\x7f-\x9f]+$",
        description=f"one line of at most {LONGEST} characters, or 'void' for unlabelled pixels",
    )
    thin: str = Field("", pattern="(?i)^(yes|true|1|no|false|0)?$", description="yes or an empty cell")
    thing: str = Field("", pattern="(?i)^(yes|true|1|no|false|0)?$", description="yes or an empty cell")


COLUMNS = tuple(Row.model_fields)


def read_coding(path: Path) -> Coding:
    """Read the coding that a classes.csv describes.

    Raises:
        SegnbError: for the first thing that is wrong; the message names the file and the line.
    """
    rows = _rows(path)
    spelt: dict[str, str] = {}  # {name in lower case: name in its first row}
    values: dict[int, str] = {}
    colours: dict[tuple[int, int, int], str] = {}
    painted: dict[str, str] = {}  # {name: its first colour}
    for where, row in rows:
        if not row.id and not row.colour:
            raise SegnbError(
                f"{where}: {row.name!r} has neither id nor colour (expected one of them). Add the id or the"
                " colour of the class in the masks."
            )
        if (above := spelt.setdefault(row.name.lower(), row.name)) != row.name:
            raise SegnbError(
                f"{where}: the name {row.name!r} is spelled {above!r} above (expected one spelling). Use the"
                " same spelling in both lines."
            )
        if row.id and (above := values.setdefault(int(row.id), row.name)) != row.name:
            raise SegnbError(
                f"{where}: the id {row.id} stands for {above!r} above (expected one class per id). Change one"
                " of the two lines."
            )
        if row.colour:
            rgb = tuple(bytes.fromhex(row.colour.removeprefix("#")))
            if (above := colours.setdefault(rgb, row.name)) != row.name:
                raise SegnbError(
                    f"{where}: the colour {row.colour} stands for {above!r} above (expected one class per"
                    " colour). Change one of the two lines."
                )
            painted.setdefault(row.name, "#" + bytes(rgb).hex())
    order = [name for name in spelt.values() if name != "void"]
    if not 2 <= len(order) <= IGNORE_INDEX:
        raise SegnbError(
            f"{path}: the number of classes is {len(order)} (expected 2 to {IGNORE_INDEX}, not counting"
            " 'void'). Add or remove classes."
        )
    classes = _label_set(order, painted, [row for _, row in rows], "void" in spelt)
    number = {name: i for i, name in enumerate(classes.names)} | {"void": IGNORE_INDEX}
    return Coding(
        classes,
        {value: number[name] for value, name in values.items()},
        {colour: number[name] for colour, name in colours.items()},
    )


def _label_set(order: list[str], painted: dict[str, str], rows: list[Row], void: bool) -> ClassMap:
    """Make the label set of a classes.csv.

    A name of the study or of CamVid has its usual colour if the file gives it none. It has its usual mark
    (thin, thing) if the whole column is empty. With exactly the study's names, order, colours in figures and
    marks are the study's whatever the file says, so that scores can be compared.
    """
    if set(order) == set(STREET.names):
        return replace(STREET, void=True) if void else STREET
    known = dict(zip(CAMVID.names + STREET.names, CAMVID.colours + STREET.colours, strict=True))
    colours = {name: painted[name] for name in order if name in painted}
    taken = {*colours.values()}
    spare = (colour for colour in map(_spread, range(999)) if colour not in taken)
    for name in order:
        if name not in colours:
            usual = known.get(name)
            colours[name] = next(spare) if usual in {None, *taken} else usual
            taken.add(colours[name])

    def marked(column: str, usual: tuple[str, ...]) -> tuple[str, ...]:
        names = {name.lower() for name in usual}  # `car` is our `Car`
        if any(getattr(row, column) for row in rows):
            names = {row.name.lower() for row in rows if getattr(row, column).lower() in ("yes", "true", "1")}
        return tuple(name for name in order if name.lower() in names)

    own = ClassMap(
        names=tuple(order),
        colours=tuple(colours[name] for name in order),
        thin=marked("thin", STREET.thin + CAMVID.thin),
        things=marked("thing", STREET.things + CAMVID.things),
        void=void,
    )
    return CAMVID if replace(own, key=CAMVID.key) == CAMVID else own


def _rows(path: Path) -> list[tuple[str, Row]]:
    """Return the rows of a classes.csv, each with "PATH, line N" for error messages."""
    require_file(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SegnbError(f"{path}: cannot be read ({error.strerror}). Fix or remove it.") from None
    except UnicodeDecodeError:
        raise SegnbError(
            f"{path}: not UTF-8 text (expected CSV in UTF-8). Save the table in that encoding."
        ) from None
    # Strict: otherwise a quote without its end would make the rest of the file one name.
    reader = csv.DictReader(io.StringIO(text), restval="", skipinitialspace=True, strict=True)
    try:
        reader.fieldnames = header = [name.strip() for name in reader.fieldnames or []]
        lines = [(f"{path}, line {reader.line_num}", cells) for cells in reader]
    except csv.Error as error:
        where = f"{path}, line {reader.reader.line_num}"
        raise SegnbError(
            f"{where}: not valid CSV ({error}). Fix the line, or save the table again."
        ) from None
    sound = len({*header}) == len(header) and {*header} <= {*COLUMNS}
    if not (sound and "name" in header and {"id", "colour"} & {*header}):
        raise SegnbError(
            f"{path}: invalid columns {_short(', '.join(header))} (expected name, with id or colour or both,"
            " and optionally thin and thing, each once). Fix the first line."
        )
    return [(where, _row(where, cells)) for where, cells in lines]


def _row(where: str, cells: dict[str, str]) -> Row:
    if None in cells:  # the key of DictReader for additional cells
        raise SegnbError(
            f"{where}: too many cells (expected as many as in the first line). Remove the last cells, or put"
            " a name that contains a comma in quotes."
        )
    try:
        row = Row(**cells)
    except ValidationError as error:
        column = error.errors()[0]["loc"][0]
        expected = Row.model_fields[column].description
        raise SegnbError(
            f"{where}: invalid {column} {_short(cells[column])} (expected {expected}). Change the cell."
        ) from None
    return row.model_copy(update={"name": "void"}) if row.name.lower() == "void" else row


def _short(text: str) -> str:
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


def _spread(i: int) -> str:
    """Return a colour for the i-th class without one; neighbours differ in hue and in lightness."""
    red, green, blue = colorsys.hls_to_rgb(i * 0.618 % 1, (0.35, 0.65, 0.5)[i % 3], 0.55)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
