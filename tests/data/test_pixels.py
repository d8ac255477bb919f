"""segnb/data/pixels.py: the meaning of a mask's pixels, for each entry of the module's table."""

import numpy as np
import pytest
from PIL import Image

from segnb.data import reading
from segnb.data.masks import read_coding
from segnb.data.tools import check
from segnb.labels import IGNORE_INDEX as VOID
from tests.data.broken_files import refusal

OWN = "id,colour,name\n0,#000000,Road\n1,#804080,Car\n7,#00008e,Wall\n255,,void\n"
MANY = "id,name\n" + "".join(f"{i},class {i}\n" for i in range(150))
BINARY = "id,name\n0,sound\n1,crack\n255,void\n"
DAMAGE = "id,name\n0,sound\n255,crack\n"
COLOURS = "colour,name\n#804080,Road\n#00008e,Car\n#ffffff,Sky\n#000000,void\n"

IDS = np.uint8([[0, 1], [7, 7]])
OWN_IDS = [[0, 1], [2, 2]]


def channels(*parts) -> np.ndarray:
    return np.stack([np.broadcast_to(np.uint8(part), IDS.shape) for part in parts], -1)


def palette(numbers, colours, **save) -> tuple[Image.Image, dict]:
    picture = Image.fromarray(np.uint8(numbers))
    picture.putpalette([part for colour in colours for part in colour])
    return picture, save


GREYS = [(i, i, i) for i in range(256)]
VOC = [((i & 1) << 7 | (i & 8) << 3, (i & 2) << 6, (i & 4) << 5) for i in range(256)]  # the first 16 as VOC's
PAINTED = np.uint8([[[0, 0, 0], [128, 64, 128]], [[0, 0, 142], [0, 0, 142]]])

# {form: (stored pixels, label set, class ids, or the words of an error)}.
FORMS = {
    "8-bit ids": (IDS, OWN, OWN_IDS),
    "255 named void": (np.uint8([[0, 255]]), OWN, [[0, VOID]]),
    "255 named a class": (np.uint8([[0, 255]]), DAMAGE, [[0, 1]]),
    "255 without a name": (
        np.uint8([[0, 255]]),
        MANY,
        "or renumber the mask. If 255 marks unlabelled pixels, name it 'void'.",
    ),
    "an id of no class": (np.uint8([[0, 9]]), OWN, "unknown class id 9 (expected 0, 1, 7, 255). Add"),
    "16-bit ids": (IDS.astype(np.uint16), OWN, OWN_IDS),
    "16-bit void": (np.uint16([[7, 255]]), OWN, [[2, VOID]]),
    "16-bit, too high": (np.uint16([[7, 26001]]), OWN, "unknown class id 26001 (expected 0, 1, 7, 255)"),
    "16-bit, 7 once the high byte is cut off": (np.uint16([[0, 1799]]), OWN, "unknown class id 1799"),
    "1-bit": (np.array([[True, False]]), OWN, "pixels are 1-bit 1 (expected 8-bit channels, 16-bit"),
    "RGB colours": (PAINTED, OWN, OWN_IDS),
    "RGB colours, one of no class": (
        PAINTED + np.uint8(1),
        OWN,
        "4 of 4 pixels have an unknown colour, the first #010101",
    ),
    "ids in the red channel": (channels(IDS, 0, 0), OWN, OWN_IDS),
    "ids in the red channel, void": (channels([[0, 255], [1, 1]], 0, 0), OWN, [[0, VOID], [1, 1]]),
    "ids in three equal channels": (channels(IDS, IDS, IDS), OWN, OWN_IDS),
    "ids in three equal channels, one of no class": (
        channels(9, 9, 9),
        OWN,
        "unknown class id 9 (expected 0, 1, 7, 255)",
    ),
    "0 and 255 in three equal channels": (channels(*[[[0, 255], [0, 0]]] * 3), DAMAGE, [[0, 1], [0, 0]]),
    "grey that is a colour, too": (
        channels(0, 0, 0),
        "id,colour,name\n0,,Road\n1,#000000,Car\n",
        "ids and colours contradict each other",
    ),
    "red that is a colour, too": (
        channels(255, 0, 0),
        "id,colour,name\n0,#000000,Road\n1,#ff0000,Car\n255,,void\n",
        "ids and colours contradict each other",
    ),
    "red that is a colour in places": (
        channels([[255, 1], [0, 1]], 0, 0),
        "id,colour,name\n0,#000000,Road\n1,#ff0000,Car\n255,,void\n",
        [[VOID, 1], [0, 1]],
    ),
    "RGBA, opaque": (channels(IDS, 0, 0, 255), OWN, OWN_IDS),
    "RGBA, transparent is void": (channels(IDS, IDS, IDS, [[0, 255], [255, 0]]), OWN, [[VOID, 1], [2, VOID]]),
    "RGBA, transparent whatever its colour": (
        channels(255, 255, 255, [[0, 255], [255, 255]]),
        COLOURS,
        [[VOID, 2], [2, 2]],
    ),
    "RGBA without a void": (
        channels(1, 1, 1, [[0, 255], [255, 255]]),
        MANY,
        "1 of 4 pixels are transparent, but the label set has no void. Add a row for void to classes.csv",
    ),
    "RGBA, half transparent": (
        channels(1, 1, 1, [[9, 255], [255, 255]]),
        OWN,
        "1 of 4 pixels are partly transparent (expected",
    ),
    "RGBA, all transparent": (
        channels(1, 1, 1, 0),
        OWN,
        "every pixel is transparent (expected",
    ),
    "grey and alpha": (channels(IDS, [[0, 255], [255, 255]]), OWN, [[VOID, 1], [2, 2]]),
    "palette, numbers": (palette(IDS, VOC), OWN, OWN_IDS),
    "palette, numbers and colours agree": (palette([[0, 1]], [(0, 0, 0), (128, 64, 128)]), OWN, [[0, 1]]),
    "palette, colours alone": (
        palette([[0, 1], [2, 3]], [(0, 0, 142), (0, 0, 0), (128, 64, 128), (255, 255, 255)]),
        COLOURS,
        [[1, VOID], [0, 2]],
    ),
    "palette, numbers and colours differ": (
        palette([[0, 1]], [(128, 64, 128), (0, 0, 142)]),
        OWN,
        "ids and colours contradict each other",
    ),
    "palette of all greys": (palette(IDS, GREYS), OWN, OWN_IDS),
    "palette, packed ids": (
        palette([[0, 1]], [(1, 1, 1), (7, 7, 7)]),
        OWN,
        "ids and colours contradict each other",
    ),
    "palette, packed red ids": (
        palette([[0, 1]], [(7, 0, 0), (1, 0, 0)]),
        OWN,
        "ids and colours contradict each other",
    ),
    "palette, packed ids whose indices are not ids": (
        palette([[0, 2], [1, 2]], [(0, 0, 0), (7, 7, 7), (255, 255, 255)]),
        OWN,
        [[0, VOID], [2, VOID]],
    ),
    "palette that looks like red ids": (palette([[0, 1]], VOC), MANY, [[0, 1]]),
    "palette of stretched greys": (palette([[0, 1]], [(i * 10,) * 3 for i in range(13)]), MANY, [[0, 1]]),
    "palette of black and white": (palette([[0, 1]], [(0, 0, 0), (255, 255, 255)]), BINARY, [[0, 1]]),
    "palette of black and white, 0 and 255": (
        palette([[0, 1]], [(0, 0, 0), (255, 255, 255)]),
        DAMAGE,
        [[0, 1]],
    ),
    "palette, transparent is void": (palette(IDS, VOC, transparency=0), OWN, [[VOID, 1], [2, 2]]),
}


def read(tmp_path, stored, classes: str):
    (tmp_path / "classes.csv").write_text(classes)
    picture, options = stored if isinstance(stored, tuple) else (Image.fromarray(stored), {})
    picture.save(tmp_path / "mask.png", **options)
    return tmp_path / "mask.png", read_coding(tmp_path / "classes.csv")


@pytest.mark.parametrize("form", FORMS)
def test_what_is_stored_and_what_it_means(tmp_path, form):
    stored, classes, meant = FORMS[form]
    path, coding = read(tmp_path, stored, classes)
    if isinstance(meant, str):
        message = refusal(reading.read_labels, path, coding)
        assert message.startswith(f"{path}: ") and meant in message
        return
    found = reading.read_labels(path, coding)
    assert found.dtype == np.uint8 and found.tolist() == meant


@pytest.mark.parametrize(
    "form", [name for name, (_, _, meant) in FORMS.items() if not isinstance(meant, str)]
)
def test_none_of_these_forms_is_taken_for_interpolated(tmp_path, form):
    stored, classes, _ = FORMS[form]
    path, _ = read(tmp_path, stored, classes)
    with Image.open(path) as picture:
        values = check.stored(picture)
    assert all(one.shape == picture.size[::-1] for one in values)
    assert max(map(check.soft_share, values)) < check.SOFT
