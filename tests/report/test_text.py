"""Scores, ranking and sentences, on cases worked out by hand."""

import ast
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html

from segnb.audit.scores import published, published_shares, study_scores
from segnb.evaluation import scores
from segnb.labels import LABEL_SETS, STREET, ClassMap
from segnb.models.registry import VARIANTS, label
from segnb.presets import preset
from segnb.report import tables, text
from segnb.report.figures.evidence import stride_bounds
from segnb.report.figures.scores import score_bars
from segnb.storage.files import write_json
from segnb.study.study import Study, of_family
from tests.claims.examples import claim, verdicts
from tests.conftest import CHECKOUT
from tests.synthetic_study import make_study


def fake(variant: str, seed: int, confusion, as_published: float = 0.5, loss: float = 1.0):
    """As much of a RunDir as the scores need; confusion (N, C, C)."""
    test = {"confusion": np.array(confusion), "as_published": np.array(as_published), "loss": np.array(loss)}
    test["names"] = np.array([f"test {i}" for i in range(len(confusion))])
    summary = {"epochs": 3, "best_epoch": 2, "best_val_miou": 0.5, "seconds": 60.0}
    study = SimpleNamespace(classes=STREET)
    family = VARIANTS[variant].family
    return SimpleNamespace(
        variant=variant, family=family, seed=seed, test=lambda: test, summary=summary, study=study
    )


PERFECT = [[[4, 0], [0, 4]], [[8, 0], [0, 0]]]  # two images, two classes: mIoU 1
# Summed [[9, 3], [1, 3]]: IoU 9/13 and 3/7.
MIDDLING = [[[5, 1], [1, 1]], [[4, 2], [0, 2]]]
MIDDLING_MIOU = (9 / 13 + 3 / 7) / 2


@pytest.mark.filterwarnings("error")
def test_a_network_that_is_never_right_on_one_image_can_be_drawn():
    """Without an interval, and with a score of zero, which makes no end of an axis."""
    table = scores.scores(
        [fake(name, 0, [[[0, 4], [0, 0]]]) for name in ("UNet_Standard_256", "FCN8s_vgg16_freeze")]
    )
    assert table["low"].dtype == table["high"].dtype == float and table["miou"].tolist() == [0, 0]
    assert score_bars(table.rename(index=label), study_scores()).axes[0].get_xlim() == (0, 1)
    assert stride_bounds(table.assign(bound=0.0).rename(index=label)).axes[0].get_xlim() == (0, 1)


def test_ranking_is_sorted_and_right():
    runs = [
        fake("FCN8s_vgg16_freeze", 0, MIDDLING, as_published=0.8),
        fake("UNet_Standard_256", 0, MIDDLING, as_published=0.6),
        fake("UNet_Standard_256", 1, PERFECT, as_published=0.9),
    ]
    table = scores.ranking(runs)
    assert list(table.index) == ["UNet_Standard_256", "FCN8s_vgg16_freeze"]
    assert table.miou.tolist() == pytest.approx([(1 + MIDDLING_MIOU) / 2, MIDDLING_MIOU])
    assert table.seeds.tolist() == [2, 1]
    assert table.as_published.tolist() == pytest.approx([0.75, 0.8])
    assert (table.low < table.high).all()
    assert list(scores.scores(runs).index) == ["FCN8s_vgg16_freeze", "UNet_Standard_256"]  # as they come


def test_nothing_to_rank():
    assert scores.ranking([]).empty and list(scores.ranking([]).columns)[:2] == ["miou", "seeds"]
    assert text.seeds_caveat(scores.ranking([])) == ""
    assert tables.scores(scores.ranking([])) is None and tables.networks([]) is None
    assert tables.class_ious(scores.class_ious([])) is None


def test_spread_between_networks_is_compared_with_that_between_seeds():
    fcns = ("FCN32s_vgg16_freeze", "FCN8s_vgg16_freeze")
    runs = [
        fake(fcns[0], 0, PERFECT),
        fake(fcns[0], 1, MIDDLING),
        fake(fcns[1], 0, MIDDLING),
        fake(fcns[1], 1, MIDDLING),
    ]
    table = scores.spreads(
        [*runs, fake("UNet_Standard_256", 0, PERFECT)]
    )  # of which there is one, with one seed
    low, high = (9 / 13 + 3 / 7) / 2, 1.0
    networks, seeds = (high - low) / 2 / 2**0.5, ((high - low) ** 2 / 2 / 2) ** 0.5
    assert table.index.tolist() == ["fcn"]
    assert table.loc["fcn"].tolist() == pytest.approx([networks, seeds, networks / seeds])
    assert text.spread_sentence(table).endswith(f"a ratio of {networks / seeds:.1f}.")
    assert text.spread_sentence(scores.spreads(runs[:1])) == ""


def test_class_ious_average_to_the_miou_of_the_ranking():
    draw = np.random.default_rng(1)
    confusions = draw.integers(0, 100, (2, 5, 13, 13))
    confusions[:, :, 4] = 0  # no pedestrian in the ground truth
    runs = [fake("UNet_Standard_256", seed, confusions[seed]) for seed in (0, 1)]
    table = scores.class_ious(runs)
    column = table["UNet_Standard_256"]
    assert list(table.index) == [*STREET.names, "mIoU"]
    assert np.isnan(column["Pedestrian"])
    assert column[:-1].mean() == pytest.approx(column["mIoU"], abs=1e-15)
    assert column["mIoU"] == pytest.approx(scores.ranking(runs).miou.iloc[0], abs=1e-15)
    caption = tables.class_ious(table).caption
    assert f"{column[:-1].idxmax()} has the highest mean IoU, {column[:-1].max():.3f}, and" in caption
    assert "A dash marks a class that no test image shows" in caption
    assert "dash" not in tables.class_ious(table.dropna()).caption


def test_class_ious_are_next_to_those_of_the_study():
    names = [*STREET.names, "mIoU"]
    ours = pd.DataFrame({"UNet_Standard_256": 0.5, "AttentionUNet_256": 0.4}, index=names)
    shown = tables.class_ious(ours)
    assert list(shown.data) == [("U-Net", "here"), ("U-Net", "study"), ("Attention U-Net", "here")]
    theirs = published().loc["UNet_Standard_256"]
    assert list(shown.data["U-Net", "study"]) == [*theirs[list(STREET.names)], theirs["mean_of_class_iou"]]
    assert "published none for additional networks" in shown.caption
    other = tables.class_ious(ours.rename({"Pole": "Post"}))
    assert (
        list(other.data) == [("U-Net", "here"), ("Attention U-Net", "here")] and "study" not in other.caption
    )


def test_sentences_follow_the_numbers():
    one_seed = scores.ranking(
        [fake("UNet_Standard_256", 0, PERFECT), fake("FCN8s_vgg16_freeze", 0, MIDDLING)]
    )
    assert "inconclusive" in text.seeds_caveat(one_seed)
    runs = [fake("UNet_Standard_256", seed, MIDDLING) for seed in (0, 1)]
    assert text.seeds_caveat(scores.ranking(runs)) == ""
    mixed = text.seeds_caveat(scores.ranking([*runs, fake("FCN8s_vgg16_freeze", 0, MIDDLING)]))
    assert mixed.startswith("If a network has only one seed, it is inconclusive")


def test_networks_of_the_study_are_counted_apart_from_additional_networks():
    def counted(*names):
        return text.network_count([fake(name, seed, PERFECT) for name in names for seed in (0, 1)])

    additional = sum(variant.extension for variant in VARIANTS.values())
    study = len(VARIANTS) - additional
    assert counted(*VARIANTS) == f"{study} networks of the study and {additional} additional networks"
    assert counted("UNet_Standard_256") == "1 network of the study"
    assert counted("AttentionUNet_256") == "1 additional network"
    assert counted() == ""


def test_the_scope_names_the_additional_networks_and_no_identifier():
    machine = SimpleNamespace(device_name="a CPU", precision="fp32")
    study = SimpleNamespace(name="quick-0", machine=machine, preset=SimpleNamespace(name="quick"))
    runs = [fake(name, 0, PERFECT) for name in ("UNet_Standard_256", "AttentionUNet_256")]
    scope = text.scope_sentence(study, runs)
    assert scope.endswith("reports no scores for the additional networks (Attention U-Net).")
    assert "quick-0" not in scope and "_256" not in scope
    assert "additional" not in text.scope_sentence(study, runs[:1])
    assert text.scope_sentence(study, []).startswith("No run is trained and evaluated yet")


def test_missing_networks_are_named():
    runs = [fake("UNet_Standard_256", 0, PERFECT)]
    assert "Residual U-Net" in text.missing(runs, "unet") and "; U-Net;" not in text.missing(runs, "unet")
    assert text.missing(runs, "unet", "UNet_Standard_256") == ""
    assert text.missing([], "fcn").startswith("No network of this family has been trained")
    assert text.missing([], "fcn", "unet").startswith("No network of this family was requested")
    assert of_family(runs, "fcn") == [] and of_family(runs, "unet") == runs


def test_stride_grid_warns_of_small_images():
    assert "4×4" in text.stride_grid(128) and "the study's 224 px give 7×7" in text.stride_grid(128)
    assert text.stride_grid(224).endswith("7×7 cells.")


def test_class_statistics():
    labels = np.array([[[0, 0], [0, 7]], [[7, 7], [7, 7]]], np.uint8)
    pixels, images = scores.class_shares(labels, 13)
    assert pixels[[0, 7, 10]].tolist() == [3 / 8, 5 / 8, 0]
    assert images[[0, 7, 10]].tolist() == [0.5, 1, 0]
    heat = scores.class_heat(labels, 13)
    assert heat[7].tolist() == [[0.5, 0.5], [0.5, 1]] and heat.sum(0).tolist() == [[1, 1], [1, 1]]


def test_published_shares_cover_all_pixels():
    shares = published_shares()
    assert list(shares.index) == list(STREET.names)
    assert shares.pixel_share.sum() == pytest.approx(1, abs=1e-3)
    assert (shares.image_share >= shares.pixel_share).all()


def test_tables_say_what_they_show():
    runs = [fake("UNet_Standard_256", 0, MIDDLING), fake("UNet_NoSkip_256", 0, PERFECT)]
    html = tables.scores(scores.ranking(runs)).to_html()
    caption, _, body = html.partition("</caption>")
    assert body.index("U-Net, no skips") < body.index(f"{MIDDLING_MIOU:.3f}")
    assert f"The test mIoU ranges from {MIDDLING_MIOU:.3f} to 1.000." in caption
    networks = tables.networks(runs).to_html()
    assert "U-Net, no skips" in networks and "1.0" in networks and "dditional network" not in networks
    assert "2 networks and 2 runs" in networks
    assert not any("_256" in page for page in (html, networks))  # identifiers are in the appendix alone


def test_tables_cope_with_networks_that_the_study_does_not_have():
    runs = [fake(name, 0, MIDDLING) for name in ("UNet_Standard_256", "AttentionUNet_256")]
    networks = tables.networks(runs).to_html()
    assert networks.count("Additional network. ") == 1
    assert "The study reports no scores for additional networks." in networks
    scored = tables.scores(scores.ranking(runs)).data["in the study"]
    assert list(scored.loc["Attention U-Net"]) == ["not published"] * 2
    assert list(scored.loc["U-Net"]) == ["0.855", "0.974"]


def test_cost_table_keeps_to_the_networks_of_the_chapter():
    row = {
        "parameters": 31_038_413, "trained_parameters": 31_038_413, "gflops": 54.321, "memory_mib": 1234.5,
        "train_seconds": 0.0456, "train_samples": [[0.0456]], "predict_seconds": 0.0123,
    }  # fmt: skip
    cost = pd.DataFrame.from_dict({"UNet_Standard_256": row, "FCN8s_vgg16_freeze": row}, orient="index")
    html = tables.costs(cost, ["UNet_Standard_256", "ResidualUNet_256"]).to_html()
    assert "31,038,413" in html and "12.3" in html and "45.6" in html and "FCN" not in html
    assert "U-Net takes the most time to train, 45.6 ms per image." in html
    assert tables.costs(pd.DataFrame(), ["UNet_Standard_256"]) is None


def test_the_sentence_on_classes_says_what_counts():
    street, camvid = (text.classes_sentence(LABEL_SETS[name]) for name in ("street", "camvid"))
    assert street == "All 13 classes count in every score, including *Unlabeled*, which is mostly sky."
    assert camvid.startswith("All 11 classes count") and camvid.endswith(
        "grey in the figures, count in no score."
    )
    own = ClassMap.of({"Unlabeled": "#000000", "cell": "#ffffff"})  # whose is no sky
    assert text.classes_sentence(own) == "All 2 classes count in every score."


@pytest.mark.parametrize(
    ("things", "sentence"),
    [
        (("cell", "crack"), "Objects of these classes are counted: cell, crack."),
        ((), "No class of these data has countable objects"),
    ],
)
def test_the_sentence_on_objects_is_about_the_classes_of_the_data(things, sentence):
    own = ClassMap(("rest", "cell", "crack"), ("#000000", "#ff0000", "#00ff00"), things=things)
    assert text.things_sentence(own).startswith(sentence)


def test_the_sentence_on_rare_classes():
    pixels = pd.Series({"a": 0.6, "b": 0.392, "c": 0.008, "d": 0.0})
    images = pd.Series({"a": 1.0, "b": 1.0, "c": 0.25, "d": 0.0})
    assert text.rare_sentence(pixels, images, 8) == (
        "a, b, c cover 100% of the training pixels. 1 class covers less than 1%; the rarest, c, covers 0.8%,"
        " in 2 of 8 images. No training image shows d."
    )
    assert "No class that occurs covers less than 1%." in text.rare_sentence(pixels[:2], images[:2], 8)
    assert text.rare_sentence(pixels[2:] * 125, images[2:], 8).startswith("c covers 100%")


@pytest.mark.parametrize(
    "name",
    [
        "__background__",
        "1. Road",
        "12) Road",
        "# 1: Road",
        "_a_",
        "![i](http://x/y.png)",
        "a*b*c",
        "- a",
        "`a`",
        "$a$",
        "\\(a\\)",
        "~~a~~",
        "a\\_b",
        "<b>a</b> &amp; c",
        "www.x.org http://x.org a@x.org",
        "v0.9.10 (2)",
    ],
)
def test_names_of_data_are_no_markdown(name, monkeypatch):
    shown = []
    monkeypatch.setattr(text, "display", lambda markdown: shown.append(markdown2html(markdown.data)))
    share = pd.Series({name: 1.0, "b": 0.0})
    text.say(text.rare_sentence(share, share, 8))
    text.say(
        text.things_sentence(ClassMap((name, "b"), ("#000000", "#ff0000"), thin=(name,), things=(name,)))
    )
    data = {"name": "own", "origin": name, "counts": {"train": 1, "val": 1, "test": 1}}
    study = SimpleNamespace(settings={"data": data}, recipe=lambda family: SimpleNamespace(size=32))
    text.say(text.data_sentence(study))
    for html, start in zip(shown, ("", "Objects of these classes are counted: ", ""), strict=True):
        page = BeautifulSoup(html, "html5lib")
        assert page.get_text().strip().lower().startswith(f"{start}{name}".lower())
        assert [tag.name for tag in page.body.find_all()] == ["p"]


def test_no_word_of_ours_takes_the_data_for_streets():
    """Chapters and captions are about any data; names of classes come from the label set."""
    words = re.compile(r"\b(cars|people|poles?|signs|roads?|sky)\b", re.IGNORECASE)
    texts = {}
    for path in (CHECKOUT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts[path.name] = " ".join(
            "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"
        )
    for path in (CHECKOUT / "segnb" / "report" / "figures").glob("*.py"):
        strings = (
            node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
        )
        texts[path.name] = " ".join(value for value in strings if isinstance(value, str) and " " in value)
    matches = {name: words.findall(text) for name, text in texts.items() if name != "audit.ipynb"}
    assert {name: hits for name, hits in matches.items() if hits} == {}


@pytest.mark.parametrize(
    ("fcn", "unet", "variants", "words"),
    [
        (224, 128, ["FCN8s_vgg16_freeze", "UNet_Standard_256"], "at 224×224 px, U-Nets at 128×128 px"),
        (128, 128, ["FCN8s_vgg16_freeze", "UNet_Standard_256"], ""),
        (224, 128, ["UNet_NoSkip_256", "UNet_Standard_256"], ""),
    ],
)
def test_families_of_different_sizes_are_compared_with_a_caveat(fcn, unet, variants, words):
    sizes = {"fcn": fcn, "unet": unet}
    study = SimpleNamespace(recipe=lambda family: SimpleNamespace(size=sizes[family]))
    caveat = text.sizes_caveat(study, [fake(name, 0, PERFECT) for name in variants])
    assert words in caveat and bool(words) == bool(caveat)


@pytest.mark.parametrize(
    ("chosen", "smaller"),
    [
        (preset("quick"), True),
        (preset("paper"), False),
        (preset("paper").override(learning_rate=1e-3), True),
    ],
)
def test_limits_name_what_a_study_lacks(tmp_path, chosen, smaller):
    study = make_study(tmp_path, 1, variants=["UNet_Standard_256"], images=4)
    settings = study.settings
    counts = settings["data"]["counts"] | {"train": chosen.train}
    changed = {"preset": chosen.as_dict(), "data": settings["data"] | {"counts": counts}}
    write_json(study.path / "study.json", settings | changed | {"warnings": ["Beware."]})
    study = Study(study.path)
    ledger = verdicts(claim("F1", "not measured"), claim("U1"))
    sentences = text.limits(study, study.measured(), ledger)
    assert sentences[0] == "Beware." and "With one seed per network" in sentences[1]
    mixed = [fake("UNet_Standard_256", 0, PERFECT), *(fake("FCN8s_vgg16_freeze", s, PERFECT) for s in (0, 1))]
    assert (
        "cover both, unless a claim says otherwise. If a network has only one seed, no claim"
        in text.limits(study, mixed, ledger)[1]
    )
    assert any("as in the study; [the table](#table-recipes)" in one for one in sentences) == smaller
    assert ("compares all settings" in text.trained_on(study)) == smaller
    assert sentences[-1] == "These claims are not measured, for a reason given with each: F1."
