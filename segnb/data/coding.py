"""What the pixels of mask files mean: ids in one channel, ids in the red channel, or colours, to class ids.

A folder's own label set is its `classes.csv`, a row a value of the masks:

    id,colour,name,thin,thing        id:     the value in a one-channel mask, or in the red channel, 0 to 255
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
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from segnb.classes import CAMVID, STREET, VOID, ClassMap
from segnb.errors import SegnbError

FILE = "classes.csv"
COLUMNS = ("id", "colour", "name", "thin", "thing")
UNKNOWN = -1  # a value that stands for no class
LARGEST = 1_000_000  # bytes; a label set takes a few thousand
LONGEST = 80  # characters of a cell, which an error can still show in one line


@dataclass(frozen=True)
class Coding:
    """How files write the classes.

    classes: the label set
    values:  {value of a one-channel mask: class id, or VOID}
    colours: {(r, g, b) of a colour mask: class id, or VOID}; empty where masks are never colour pictures
    """

    classes: ClassMap
    values: dict[int, int] = field(repr=False)
    colours: dict[tuple[int, int, int], int] = field(default_factory=dict, repr=False)

    def from_values(self, values: np.ndarray) -> np.ndarray:
        """uint8 (..., ) as stored to int16 ids, VOID, or UNKNOWN."""
        table = np.full(256, UNKNOWN, np.int16)
        table[list(self.values)] = list(self.values.values())
        return table[values]

    def from_colours(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (..., 3) as stored to int16 ids, VOID, or UNKNOWN."""
        packed = _packed(pixels)
        known = sorted((int(_packed(np.array(colour))), one) for colour, one in self.colours.items())
        keys, ids = np.array(known, np.int64).T if known else np.zeros((2, 1), np.int64) + UNKNOWN
        place = np.searchsorted(keys, packed).clip(max=len(keys) - 1)
        return np.where(keys[place] == packed, ids[place], UNKNOWN).astype(np.int16)


def _packed(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.int64) @ np.array([65536, 256, 1])


# The thirteen by colour: CARLA 0.8 (its image converter), then CityScapesPalette.h of 0.9.0 and of 0.9.10,
# which changed Fence, Other and Car. What 0.9.10 added to the thirteen, and 0.9.14 with new numbers, take a
# classes.csv, such as docs/classes-carla-*.csv.
_CARLA = (
    ((0, 0, 0),),
    ((70, 70, 70),),
    ((190, 153, 153), (100, 40, 40)),
    ((72, 0, 90), (250, 170, 160), (55, 90, 80)),
    ((220, 20, 60),),
    ((153, 153, 153),),
    ((157, 234, 50),),
    ((128, 64, 128),),
    ((244, 35, 232),),
    ((107, 142, 35),),
    ((0, 0, 255), (0, 0, 142)),
    ((102, 102, 156),),
    ((220, 220, 0),),
)
STREET_CODING = Coding(
    STREET,
    {i: i for i in range(len(STREET))},
    {colour: i for i, colours in enumerate(_CARLA) for colour in colours},
)
CAMVID_CODING = Coding(CAMVID, {i: i for i in range(len(CAMVID))} | {11: VOID})


def read_coding(path: Path) -> Coding:
    """The coding that a classes.csv describes. Raises SegnbError, one line that names file and row."""
    rows = _rows(path)
    spelt: dict[str, str] = {}  # names as they first appear, by their lower case
    values: dict[int, str] = {}
    colours: dict[tuple[int, int, int], str] = {}
    painted: dict[str, str] = {}
    yes: dict[str, set[str]] = {"thin": set(), "thing": set()}
    for number, row in rows:
        where = f"{path}, line {number}"
        name = _name(row["name"], where)
        if not row["id"] and not row["colour"]:
            raise SegnbError(f"{where}: {name!r} has neither id nor colour; give the one that masks hold")
        if (above := spelt.setdefault(name.lower(), name)) != name:
            raise SegnbError(f"{where}: {name!r} is written {above!r} above; write both alike")
        if row["id"]:
            value = _id(row["id"], where)
            if value in values:
                raise SegnbError(f"{where}: id {value} is {values[value]!r} already; give each id one row")
            values[value] = name
        if row["colour"]:
            colour = _colour(row["colour"], where)
            if colours.setdefault(colour, name) != name:
                raise SegnbError(
                    f"{where}: {row['colour']} is {colours[colour]!r} already; change one of them"
                )
            painted.setdefault(name, "#{:02x}{:02x}{:02x}".format(*colour))
        for column, names in yes.items():
            if row[column].lower() in ("yes", "true", "1"):
                names.add(name)
            elif row[column].lower() not in ("", "no", "false", "0"):
                raise SegnbError(f"{where}: {column} is {row[column]!r}; write yes or leave it empty")
    order = [name for name in spelt.values() if name != "void"]
    if not 2 <= len(order) <= VOID:
        raise SegnbError(f"{path}: names {len(order)} classes; give it 2 to {VOID} (and 'void', if need be)")
    given = {column for column in yes if any(row[column] for _, row in rows)}
    classes = _label_set(order, painted, yes, given, "void" in {*values.values(), *colours.values()})
    number = {name: i for i, name in enumerate(classes.names)} | {"void": VOID}
    return Coding(
        classes,
        {value: number[name] for value, name in values.items()},
        {colour: number[name] for colour, name in colours.items()},
    )


def _label_set(
    order: list[str], painted: dict[str, str], yes: dict[str, set[str]], given: set[str], void: bool
) -> ClassMap:
    """given: which of the columns thin and thing say anything; otherwise known names keep what they are."""
    if set(order) == set(STREET.names):
        return STREET if not void else ClassMap(**(STREET.as_dict() | {"void": True}))
    known = {
        name: c
        for classes in (CAMVID, STREET)
        for name, c in zip(classes.names, classes.colours, strict=True)
    }
    usual = {"thin": {*STREET.thin, *CAMVID.thin}, "thing": {*STREET.things, *CAMVID.things}}
    thin, things = (yes[column] if column in given else usual[column] for column in ("thin", "thing"))
    colours = {name: painted[name] for name in order if name in painted}
    taken = {*colours.values()}
    spare = (colour for colour in map(_spread, range(999)) if colour not in taken)
    for name in order:  # without colour: the one that is usual for the name, or, where that is taken, any
        if name not in colours:
            own = known.get(name)
            colours[name] = next(spare) if own in {None, *taken} else own
            taken.add(colours[name])
    own = ClassMap(
        names=tuple(order),
        colours=tuple(colours[name] for name in order),
        thin=tuple(name for name in order if name in thin),
        things=tuple(name for name in order if name in things),
        void=void,
    )
    return CAMVID if replace(own, key=CAMVID.key) == CAMVID else own


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of each row, stripped; columns that are not there are empty."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # opening a pipe would wait for ever
            raise SegnbError(f"{path}: is a folder, pipe or device, no file; remove or replace it")
        if state.st_size > LARGEST:
            raise SegnbError(f"{path}: is {state.st_size} bytes, no list of classes; replace it")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SegnbError(f"{path}: cannot be read ({error.strerror}); mend or remove it") from None
    except UnicodeDecodeError:
        raise SegnbError(f"{path}: is no UTF-8 text; save it as CSV in UTF-8") from None
    # Strict: a quote that is never closed would take the rest of the file for one name.
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True, strict=True)
    try:
        header = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = header
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        where = f"{path}, line {reader.reader.line_num}"
        raise SegnbError(
            f"{where}: is no CSV ({error}); mend the line, or save the table as CSV anew"
        ) from None
    wrong = [f"column {_short(name)} is unknown" for name in header if name not in COLUMNS]
    wrong += [f"column {name!r} is there twice" for name in COLUMNS if header.count(name) > 1]
    if "name" not in header or not {"id", "colour"} & set(header):
        wrong.append(f"columns are {', '.join(header) or 'missing'}")
    if wrong:
        raise SegnbError(
            f"{path}: {wrong[0]}; the first line names columns out of {', '.join(COLUMNS)}, commas between"
        )
    for number, row in rows:
        if None in row:  # where DictReader puts what is too many
            raise SegnbError(f"{path}, line {number}: has more cells than the first line; remove them")
        for cell in row.values():
            if len(cell or "") > LONGEST:
                raise SegnbError(f"{path}, line {number}: {_short(cell)} is too long for a cell; shorten it")
    return [(number, {c: (row.get(c) or "").strip() for c in COLUMNS}) for number, row in rows]


def _short(text: str) -> str:
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


def _name(text: str, where: str) -> str:
    if not text:
        raise SegnbError(f"{where}: has no name; give the class one, or 'void' for what nobody labelled")
    if any(unicodedata.category(c) == "Cc" for c in text):
        raise SegnbError(f"{where}: name {text!r} holds a line break or control character; remove it")
    return "void" if text.lower() == "void" else text


def _id(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) < 256):
        raise SegnbError(f"{where}: id {text!r} is no value of a pixel; write a whole number from 0 to 255")
    return int(text)


def _colour(text: str, where: str) -> tuple[int, int, int]:
    digits = text.removeprefix("#")
    if len(digits) != 6 or not set(digits.lower()) <= set("0123456789abcdef"):
        raise SegnbError(f"{where}: colour {text!r} is none; write it as #rrggbb")
    return tuple(bytes.fromhex(digits))


def _spread(i: int) -> str:
    """A colour for the i-th class that has none: hues far apart, and light and dark in turn."""
    red, green, blue = colorsys.hls_to_rgb(i * 0.618 % 1, (0.35, 0.65, 0.5)[i % 3], 0.55)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
