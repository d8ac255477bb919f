"""A user's own images are read, whatever their pixels are, or refused in one line."""

import io

import numpy as np
import pytest
from PIL import Image

from segnb.data import pictures
from segnb.data.pictures import read_photograph
from tests.data.broken_files import (
    BROKEN,
    NEITHER,
    NOISE,
    NOT_RGB,
    SIZE,
    SOUND,
    VALID,
    encoded,
    refusal,
    turned,
)

REFUSED = {f"image: {name}" for name in [*NEITHER, "half a JPEG", "16-bit grey"]}
ACCEPTED = {f"image: {name}" for name in NOT_RGB} - REFUSED


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_broken_file_is_one_line_that_names_it(tmp_path, case):
    file = tmp_path / "evil\n.png"
    file.write_bytes(encoded(NOISE))
    BROKEN[case].make(file)
    message = refusal(read_photograph, file)
    assert message.startswith(f"{tmp_path}/evil\\n.png: ")


@pytest.mark.parametrize("case", sorted(ACCEPTED))
def test_pixels_of_any_usual_kind_become_rgb(tmp_path, case):
    BROKEN[case].make(tmp_path / "image.png")
    picture = read_photograph(tmp_path / "image.png")
    assert (picture.mode, picture.size) == ("RGB", (SIZE, SIZE))


@pytest.mark.parametrize("content", [images[0] for images in SOUND.values()] + VALID[:1] + VALID[9:])
def test_a_sound_file_is_read(content):
    assert read_photograph(io.BytesIO(content)).size == (SIZE, SIZE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_camera_says(orientation):
    picture = NOISE.crop((0, 0, SIZE, 9))
    upright = read_photograph(io.BytesIO(encoded(picture, exif=turned(orientation))))
    assert upright.size == ((9, SIZE) if orientation > 4 else (SIZE, 9))
    turns = {6: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180, 2: Image.Transpose.FLIP_LEFT_RIGHT}
    if orientation in turns:
        assert (np.array(upright) == np.array(picture.transpose(turns[orientation]))).all()


def test_transparency_is_dropped():
    pixels = np.array(NOISE.convert("RGBA"))
    pixels[..., 3] = np.arange(SIZE)
    assert (np.array(read_photograph(io.BytesIO(encoded(Image.fromarray(pixels))))) == pixels[..., :3]).all()


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError

    (tmp_path / "image.png").write_bytes(encoded(NOISE))
    monkeypatch.setattr(pictures.Image, "open", denied)
    assert "permission denied. Run 'chmod u+r'" in refusal(read_photograph, tmp_path / "image.png")


def test_a_side_that_jpeg_does_not_have_is_refused():
    assert "a side of 65,501 pixels" in refusal(
        read_photograph, io.BytesIO(encoded(Image.new("1", (65501, 1)))), "a"
    )
