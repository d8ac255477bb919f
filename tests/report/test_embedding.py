"""Images as WebP."""

import base64
import io

import numpy as np
from PIL import Image

from segnb.labels import STREET
from segnb.report.html import embedded, webp

labels = np.random.default_rng(0).integers(0, 13, (80, 80)).astype(np.uint8)


def pixels(source: str) -> np.ndarray:
    content = base64.b64decode(source.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)))


def test_photographs_are_small_and_label_maps_exact():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    photograph = np.kron(noise[::8, ::8], np.ones((8, 8, 1), np.uint8)) // 2 + noise // 8
    assert len(webp(Image.fromarray(photograph))) < 0.5 * photograph.size
    assert np.abs(pixels(embedded(Image.fromarray(photograph))).astype(int) - photograph).mean() < 10
    heat = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)  # of few pixels
    for exact in (heat, STREET.paint(labels), np.dstack([STREET.paint(labels), labels * 20])):
        assert (pixels(embedded(Image.fromarray(exact))) == exact).all()
