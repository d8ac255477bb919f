"""The matrix of test images by networks: exact colours, right numbers, safe names, sane without a script."""

import base64
import io
import json

import numpy as np
import pytest
from bs4 import BeautifulSoup, Tag
from PIL import Image

from segnb.labels import CAMVID, IGNORE_INDEX, STREET
from segnb.metrics.confusion import class_iou
from segnb.report.figures.images import evenly
from segnb.report.image_matrix import SHOWN, matrix


def predictions(names: list[str], size: int = 32, seed: int = 0) -> dict[str, np.ndarray]:
    """Predictions as `RunDir.predictions()` gives them, of blocks of classes."""
    chance = np.random.default_rng(seed)
    blocks = chance.integers(0, len(STREET), (2, len(names), 4, 4), dtype=np.uint8)
    labels, guesses = blocks.repeat(size // 4, 2).repeat(size // 4, 3)
    labels = labels.copy()
    labels[:, :2] = guesses[:, :2]  # something is right
    images = chance.integers(0, 256, (len(names), size, size, 3), dtype=np.uint8)
    return {"names": np.array(names), "images": images, "labels": labels, "predictions": guesses}


def drawn(networks: dict[str, dict], **how) -> BeautifulSoup:
    return BeautifulSoup(matrix(networks, how.pop("classes", STREET), **how)._repr_html_(), "html5lib")


def pixels(image: Tag) -> np.ndarray:
    data = base64.b64decode(image["src"].partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.fixture(scope="module")
def networks() -> dict[str, dict]:
    names = [f"street {i}" for i in range(20)]
    return {
        "FCN-8s": predictions(names, 64, 1),
        "U-Net": predictions(names, 32, 2),
        "Residual U-Net": predictions(names, 32, 3),
    }


@pytest.fixture(scope="module")
def page(networks: dict[str, dict]) -> BeautifulSoup:
    return drawn(networks)


def test_a_row_per_image_and_a_column_per_network(page: BeautifulSoup, networks) -> None:
    caption = " ".join(page.caption.get_text().split())
    assert caption.startswith(f"Predictions of 3 networks on {SHOWN} test images.")
    heads = [head.get_text() for head in page.select("thead th")]
    assert heads == ["Image", "Ground truth", *networks]
    rows = page.select("tbody tr")
    assert [row.th.span.get_text() for row in rows] == [f"street {i}" for i in evenly(20, SHOWN)]
    assert len(rows) == SHOWN
    assert all(len(row.find_all(["th", "td"])) == len(heads) for row in rows)


def test_colours_are_exact(page: BeautifulSoup, networks) -> None:
    for row, i in zip(page.select("tbody tr"), evenly(20, SHOWN), strict=True):
        for image, one in zip(row.select("img.guess"), networks.values(), strict=True):
            assert (pixels(image) == STREET.paint(one["predictions"][i])).all()
            assert image["src"].startswith("data:image/png;")
        shown, other = row.select("img.truth")  # one for each size that networks predict at
        assert (pixels(shown) == STREET.paint(networks["FCN-8s"]["labels"][i])).all()
        assert (pixels(other) == STREET.paint(networks["U-Net"]["labels"][i])).all()
        assert not shown.has_attr("hidden") and other.has_attr("hidden")


def test_the_numbers_are_those_of_the_pixels(page: BeautifulSoup, networks) -> None:
    one, i = networks["U-Net"], evenly(20, SHOWN)[1]
    truth, guess = one["labels"][i], one["predictions"][i]
    wrong = f"{100 * (truth != guess).mean():.1f}% wrong"
    counts = np.zeros((13, 13))
    np.add.at(counts, (truth, guess), 1)
    cell = page.select("tbody tr")[1].find_all("td")[2]
    assert cell.img["alt"] == f"Prediction of U-Net on street {i}: {wrong}"
    assert [span.get_text() for span in cell.find_all("span")] == [
        wrong,
        f"mIoU {np.nanmean(class_iou(counts)):.3f}",
    ]


def test_the_script_is_told_the_colours(page: BeautifulSoup) -> None:
    key = json.loads(page.select_one(".matrix")["data-key"])
    assert {one["name"]: one["colour"] for one in key["classes"]} == dict(
        zip(STREET.names, STREET.colours, strict=True)
    )
    assert [one["id"] for one in key["classes"]] == list(range(13))
    assert set(key["marks"]) == {"wrong", "missed", "found"}
    assert [entry.get_text() for entry in page.select(".key li")] == list(STREET.names)


def test_it_is_whole_without_a_script(page: BeautifulSoup) -> None:
    assert not page.find("script") and not page.find(id=True) and not page.find("button")
    assert all(image["alt"].strip() and image["width"] == image["height"] for image in page.find_all("img"))
    assert page.style.has_attr("scoped")
    box = page.select_one(".scroll")
    assert box["tabindex"] == "0" and box["aria-label"]


def test_unlabelled_pixels_are_grey_and_never_wrong() -> None:
    one = predictions(["a"])
    one["labels"], one["predictions"] = np.full((1, 32, 32), IGNORE_INDEX, np.uint8), one["predictions"] % 11
    row = drawn({"U-Net": one}, classes=CAMVID).select_one("tbody tr")
    assert (pixels(row.select_one(".truth")) == 128).all()
    assert "0.0% wrong" in row.get_text()


def test_images_are_matched_by_name_and_may_be_missing() -> None:
    first, second = predictions(["a", "b"]), predictions(["c", "b"], seed=5)
    page = drawn({"U-Net": first, "FCN-8s": second}, images=[1, 0])
    b, a = page.select("tbody tr")
    assert (pixels(b.select(".guess")[1]) == STREET.paint(second["predictions"][1])).all()
    assert a.th.span.get_text() == "a" and a.find_all("td")[-1].get_text() == "not stored"


def test_names_stay_text() -> None:
    evil = '<script>alert("x")</script>'
    page = drawn({evil: predictions([evil])})
    assert not page.find("script")
    assert page.select("thead th")[-1].get_text() == evil
    assert page.select_one("tbody th span").get_text() == evil
    assert page.select_one(".guess")["alt"].startswith(f"Prediction of {evil} on {evil}: ")


def test_nothing_without_networks() -> None:
    assert matrix({}, STREET) is None
