"""What ids and colours of masks stand for: the label sets of the layouts, or a folder's own.

A folder's own label set is its `classes.csv`, one row per value of the masks:

    id,colour,name,thin,thing        id:     the value that stands for it in masks of ids, 0 to 255
    0,#464646,Building,,             colour: the colour of the class in colour masks and in our pictures
    1,#dc143c,Pedestrian,yes,yes     name:   rows of one name become one class; `void` counts nowhere
    2,#ff0000,Pedestrian,yes,yes     thin:   yes for a class of few pixels each (poles, people …)
    255,,void,,                      thing:  yes for a class whose objects can be counted

`name` and one of `id` and `colour` have to be there. Classes are numbered as they first appear, except where
all are the study's thirteen: then they are those, in the study's order, so that a newer CARLA with its own
ids is scored like an old one.
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
UNKNOWN = -1  # a value that stands for no class
LONGEST = 80  # characters of a cell, which an error can still show in one line


@dataclass(frozen=True)
class Coding:
    """How files write the classes.

    classes: the label set
    values:  {value of a one-channel mask: class id, or IGNORE_INDEX}
    colours: {(r, g, b) of a colour mask: class id, or IGNORE_INDEX}; empty where no mask is a colour picture
    """

    classes: ClassMap
    values: dict[int, int] = field(repr=False)
    colours: dict[tuple[int, int, int], int] = field(default_factory=dict, repr=False)

    def from_values(self, values: np.ndarray) -> np.ndarray:
        """uint8 (..., ) as stored to int16 ids, IGNORE_INDEX, or UNKNOWN."""
        table = np.full(256, UNKNOWN, np.int16)
        table[list(self.values)] = list(self.values.values())
        return table[values]

    def from_colours(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (..., 3) as stored to int16 ids, IGNORE_INDEX, or UNKNOWN."""
        packed = _packed(pixels)
        known = {int(_packed(np.array(colour))): class_id for colour, class_id in self.colours.items()}
        keys, ids = np.array(sorted(({-1: UNKNOWN} | known).items())).T
        place = np.searchsorted(keys, packed).clip(max=len(keys) - 1)
        return np.where(keys[place] == packed, ids[place], UNKNOWN).astype(np.int16)


def _packed(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.int64) @ np.array([65536, 256, 1])


# The thirteen by colour. What CARLA 0.9.10 added to them, and what 0.9.14 numbered differently, take a
# classes.csv, such as docs/classes-carla-*.csv.
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
    """Return the path. Raise SegnbError if it is not a regular file: opening a pipe would wait for ever."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise SegnbError(f"{path}: cannot be read ({error.strerror}); fix or remove it") from None
    if not stat.S_ISREG(mode):
        raise SegnbError(f"{path}: is a directory, pipe or device, no file; remove or replace it")
    return path


class Row(BaseModel):
    """One row of a classes.csv. The descriptions say what an error asks for."""

    model_config = ConfigDict(str_strip_whitespace=True, str_max_length=LONGEST)
    id: str = Field(
        "",
        pattern="^([01]?[0-9]{1,2}|2[0-4][0-9]|25[0-5])?$",
        description="a whole number from 0 to 255",
    )
    colour: str = Field("", pattern="^(#?[0-9A-Fa-f]{6})?$", description="#rrggbb")
    name: str = Field(
        pattern=r"^[^\x00-\x1f\x7f-\x9f]+$",
        description="one line, or 'void' for what nobody labelled",
    )
    thin: str = Field("", pattern="(?i)^(yes|true|1|no|false|0)?$", description="yes, or leave it empty")
    thing: str = Field("", pattern="(?i)^(yes|true|1|no|false|0)?$", description="yes, or leave it empty")


COLUMNS = tuple(Row.model_fields)


def read_coding(path: Path) -> Coding:
    """Read the coding that a classes.csv describes.

    Raises:
        SegnbError: one line that names the file, the row and the remedy.
    """
    rows = _rows(path)
    spelt: dict[str, str] = {}  # names as they first appear, by their lower case
    values: dict[int, str] = {}
    colours: dict[tuple[int, int, int], str] = {}
    painted: dict[str, str] = {}  # the first colour of each name
    for where, row in rows:
        if not row.id and not row.colour:
            raise SegnbError(f"{where}: {row.name!r} has neither id nor colour; give the one that masks hold")
        if (above := spelt.setdefault(row.name.lower(), row.name)) != row.name:
            raise SegnbError(f"{where}: {row.name!r} is written {above!r} above; write both alike")
        if row.id and (above := values.setdefault(int(row.id), row.name)) != row.name:
            raise SegnbError(f"{where}: id {row.id} is {above!r} already; give each id one class")
        if row.colour:
            rgb = tuple(bytes.fromhex(row.colour.removeprefix("#")))
            if (above := colours.setdefault(rgb, row.name)) != row.name:
                raise SegnbError(f"{where}: {row.colour} is {above!r} already; change one of them")
            painted.setdefault(row.name, "#" + bytes(rgb).hex())
    order = [name for name in spelt.values() if name != "void"]
    if not 2 <= len(order) <= IGNORE_INDEX:
        raise SegnbError(
            f"{path}: names {len(order)} classes; give it 2 to {IGNORE_INDEX} (and 'void', if need be)"
        )
    classes = _label_set(order, painted, [row for _, row in rows], "void" in spelt)
    number = {name: i for i, name in enumerate(classes.names)} | {"void": IGNORE_INDEX}
    return Coding(
        classes,
        {value: number[name] for value, name in values.items()},
        {colour: number[name] for colour, name in colours.items()},
    )


def _label_set(order: list[str], painted: dict[str, str], rows: list[Row], void: bool) -> ClassMap:
    """Known names keep their usual colours where the file gives none, and their marks where it has none."""
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
    ours = {"thin": STREET.thin + CAMVID.thin, "thing": STREET.things + CAMVID.things}
    marked = {
        column: {name for name in order if name.lower() in map(str.lower, names)}  # `car` is our `Car`
        for column, names in ours.items()
    }
    for column in marked:
        if any(getattr(row, column) for row in rows):
            marked[column] = {
                row.name for row in rows if getattr(row, column).lower() in ("yes", "true", "1")
            }
    own = ClassMap(
        names=tuple(order),
        colours=tuple(colours[name] for name in order),
        thin=tuple(name for name in order if name in marked["thin"]),
        things=tuple(name for name in order if name in marked["thing"]),
        void=void,
    )
    return CAMVID if replace(own, key=CAMVID.key) == CAMVID else own


def _rows(path: Path) -> list[tuple[str, Row]]:
    """The rows of a classes.csv, each with its file and line."""
    require_file(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SegnbError(f"{path}: cannot be read ({error.strerror}); fix or remove it") from None
    except UnicodeDecodeError:
        raise SegnbError(f"{path}: is not UTF-8 text; save it as CSV in UTF-8") from None
    # Strict: a quote that is never closed would take the rest of the file for one name.
    reader = csv.DictReader(io.StringIO(text), restval="", skipinitialspace=True, strict=True)
    try:
        reader.fieldnames = header = [name.strip() for name in reader.fieldnames or []]
        lines = [(f"{path}, line {reader.line_num}", cells) for cells in reader]
    except csv.Error as error:
        where = f"{path}, line {reader.reader.line_num}"
        raise SegnbError(f"{where}: is not CSV ({error}); fix the line, or save the table again") from None
    sound = len({*header}) == len(header) and {*header} <= {*COLUMNS}
    if not (sound and "name" in header and {"id", "colour"} & {*header}):
        raise SegnbError(
            f"{path}: columns are {_short(', '.join(header))}; the first line names columns out of"
            f" {', '.join(COLUMNS)}, each once, among them name and one of id and colour"
        )
    return [(where, _row(where, cells)) for where, cells in lines]


def _row(where: str, cells: dict[str, str]) -> Row:
    if None in cells:  # where DictReader puts what is too many
        raise SegnbError(f"{where}: has more cells than the first line; remove them")
    try:
        row = Row(**cells)
    except ValidationError as error:
        column = error.errors()[0]["loc"][0]
        wanted = Row.model_fields[column].description
        raise SegnbError(f"{where}: {column} is {_short(cells[column])}; write {wanted}") from None
    return row.model_copy(update={"name": "void"}) if row.name.lower() == "void" else row


def _short(text: str) -> str:
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


def _spread(i: int) -> str:
    """A colour for the i-th class that has none: hues far apart, and light and dark in turn."""
    red, green, blue = colorsys.hls_to_rgb(i * 0.618 % 1, (0.35, 0.65, 0.5)[i % 3], 0.55)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
