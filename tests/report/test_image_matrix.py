"""The matrix of test images by networks: exact colours, right numbers, safe names, whole without a script."""

import base64
import io
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup, Tag
from PIL import Image

from segnb.labels import CAMVID, IGNORE_INDEX, STREET, ClassMap
from segnb.metrics.confusion import class_iou
from segnb.report.figures import claims
from segnb.report.figures import images as figures
from segnb.report.figures.images import evenly
from segnb.report.image_matrix import SHOWN, examples, glance, matrix
from tests.claims.examples import part


def predictions(names: list[str], size: int = 32, seed: int = 0) -> dict[str, np.ndarray]:
    """Predictions as `RunDir.predictions()` gives them, of blocks of classes."""
    chance = np.random.default_rng(seed)
    blocks = chance.integers(0, len(STREET), (2, len(names), 4, 4), dtype=np.uint8)
    labels, guesses = blocks.repeat(size // 4, 2).repeat(size // 4, 3)
    labels = labels.copy()
    labels[:, :2] = guesses[:, :2]  # something is right
    images = chance.integers(0, 256, (len(names), size, size, 3), dtype=np.uint8)
    return {"names": np.array(names), "images": images, "labels": labels, "predictions": guesses}


def drawn(networks: dict[str, dict], classes=STREET) -> BeautifulSoup:
    return BeautifulSoup(matrix(networks, classes)._repr_html_(), "html5lib")


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


def words(tag: Tag) -> str:
    return " ".join(tag.get_text().split())


def test_a_group_per_image_with_a_picture_per_network(page: BeautifulSoup, networks) -> None:
    cases = page.select(".case")
    assert [case["aria-label"] for case in cases] == [f"street {i}" for i in evenly(20, SHOWN)]
    assert [words(case.p) for case in cases] == [f"street {i}" for i in evenly(20, SHOWN)]
    assert all(
        [head.get_text() for head in case.select(".pictures b")] == ["Image", "Ground truth", *networks]
        for case in cases
    )
    (folded,) = page.select("details")
    assert folded.select(".case") == cases[2:] and folded.summary.get_text() == f"{SHOWN - 2} more images"
    assert words(page.figcaption).startswith("The share of wrong pixels is ")
    assert "evenly spaced over the 20 stored test images" in words(page.figcaption)


def test_colours_are_exact(page: BeautifulSoup, networks) -> None:
    for row, i in zip(page.select(".case"), evenly(20, SHOWN), strict=True):
        for image, one in zip(row.select("img.guess"), networks.values(), strict=True):
            assert (pixels(image) == STREET.paint(one["predictions"][i])).all()
            assert image["src"].startswith("data:image/webp;")
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
    cell = page.select(".case")[1].select(".guess")[1].parent
    assert cell.img["alt"] == f"Prediction of U-Net on street {i}: {wrong}"
    assert words(cell) == f"U-Net {wrong}, mIoU {np.nanmean(class_iou(counts)):.3f}"


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


def test_unlabelled_pixels_are_grey_and_never_wrong() -> None:
    one = predictions(["a"])
    one["labels"], one["predictions"] = np.full((1, 32, 32), IGNORE_INDEX, np.uint8), one["predictions"] % 11
    row = drawn({"U-Net": one}, classes=CAMVID).select_one(".case")
    assert (pixels(row.select_one(".truth")) == 128).all()
    shown = row.get_text() + row.select_one(".guess")["alt"]
    assert shown.count("no label") == 2 and "0.0%" not in shown and "nan" not in shown


def test_a_grey_class_is_no_void() -> None:
    """The page's script reads classes from colours, so void needs one of its own."""
    greys = ClassMap.of({f"{i}": f"#{i:02x}{i:02x}{i:02x}" for i in range(255)}, void=True)
    sky = ClassMap.of({"Road": "#404080", "Sky": "#808080"}, void=True)
    for classes in (greys, sky):
        painted = classes.paint(np.array([*range(len(classes)), IGNORE_INDEX], np.uint8))
        assert len(np.unique(painted, axis=0)) == len(classes) + 1
        assert len({*painted[-1]}) == 1


def test_one_test_image_is_counted_as_one() -> None:
    text = words(drawn({"U-Net": predictions(["a"])}))
    assert "This is the only stored test image." in text and "This is the first image" in text
    assert "over the first 2 images of this figure" in words(drawn({"U-Net": predictions(["a", "b"])}))


def test_the_share_of_wrong_pixels_is_that_of_the_labelled_ones() -> None:
    """In the matrix, under predictions and in the images of a claim, as in the explorer."""
    truth, guess = np.zeros((2, 3, 32, 32), np.uint8)
    truth[:, :, 16:], guess[:, :16] = IGNORE_INDEX, 1  # half is void, and half of the rest is wrong
    one = predictions(["a", "b", "c"]) | {"labels": truth, "predictions": guess}
    assert "50.0% wrong" in drawn({"U-Net": one}, CAMVID).select_one(".case").get_text()
    assert "50.0% in a" in figures.predictions(one, "U-Net", CAMVID, "all images").alt
    rows = pd.DataFrame(
        {"name": list("abc"), "index": range(3), "difference": 0.0}, ["largest", "median", "smallest"]
    )
    guesses = {"U-Net": guess, "U-Net, no skips": guess}
    pair = claims.examples(rows, part(), one["images"], truth, guesses, CAMVID, 0)
    assert "50.0% and 50.0% wrong" in pair.alt


def test_two_typical_images_the_worst_and_the_worst_of_each_network() -> None:
    """Closest to the median of the mean mIoU, then the lowest, then those at which single networks fail."""
    truth = np.zeros((6, 10, 10), np.uint8)
    truth[:, 5:] = 1

    def run(name: str, wrong: list[int]):  # rows of the upper half that are taken for the lower
        guesses = truth[: len(wrong)].copy()
        for guess, rows in zip(guesses, wrong, strict=True):
            guess[:rows] = 1
        counts = np.zeros((len(wrong), 13, 13), int)
        for i in range(len(wrong)):
            np.add.at(counts[i], (truth[i], guesses[i]), 1)
        split = SimpleNamespace(
            names=[f"street {i}" for i in range(6)], images=truth[..., None].repeat(3, 3), labels=truth
        )
        recipe = SimpleNamespace(size=10)
        study = SimpleNamespace(split=lambda *which: split, recipe=lambda family: recipe)
        test = {"confusion": counts}
        return SimpleNamespace(
            variant=name, seed=0, study=study, recipe=recipe, test=lambda: test, predicted=lambda: guesses
        )

    runs = {
        "UNet_Standard_256": [run("UNet_Standard_256", [0, 2, 2, 4, 3, 1])],
        "ResidualUNet_256": [run("ResidualUNet_256", [0, 2, 1, 4, 2, 5])],
    }
    page = BeautifulSoup(examples(runs, STREET).data, "html5lib")
    titles = [words(case.p) for case in page.select(".case")]
    assert [title.split(",")[0] for title in titles] == [
        "street 1: typical",
        "street 4: typical",
        "street 3: the worst",
        "street 5: the worst of Residual U-Net",
    ]
    assert [case["aria-label"] for case in page.select("details .case")] == ["street 5"]
    assert "of 6 test images, the typical ones are closest to the median" in words(page.figcaption)
    first = page.select_one(".guess")
    assert (pixels(first) == STREET.paint(runs["UNet_Standard_256"][0].predicted()[1])).all()
    one, two = ({"UNet_Standard_256": [run("UNet_Standard_256", wrong)]} for wrong in ([1], [1, 2]))
    assert "This is the only test image with labels." in examples(one, STREET).data
    for shown, name in ((runs, "street 1"), (one, "street 0")):
        page = BeautifulSoup(glance(shown, STREET).data, "html5lib")
        assert [words(case.p) for case in page.select(".case")] == [name]
        assert [words(head) for head in page.select("b")[1:]] == ["Image", "Ground truth", "U-Net"]
        assert words(page.figcaption).startswith(
            "A typical test image, its ground truth and the predictions of 1"
        )
    assert "the typical one is closest" in examples(two, STREET).data


def test_names_stay_text() -> None:
    evil = '<script>alert("x")</script>'
    page = drawn({evil: predictions([evil])})
    assert not page.find("script")
    assert page.select(".pictures b")[-1].get_text() == evil
    assert page.select_one(".case")["aria-label"] == page.select_one(".case p").get_text() == evil
    assert page.select_one(".guess")["alt"].startswith(f"Prediction of {evil} on {evil}: ")


def test_nothing_without_networks() -> None:
    assert matrix({}, STREET) is None and examples({}, STREET) is None
    assert glance({"ResidualUNet_256": []}, STREET) is None
