"""From runs to verdicts: each claim is decided or explained, known effects are found, and none too early."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from segnb.audit import scores
from segnb.claims.claim import COSTS
from segnb.claims.decide import _truth, decide
from segnb.claims.ledger import LEDGER
from segnb.claims.related_studies import FALSE_COLOURS
from segnb.claims.verdicts import UNMEASURABLE, WORDS
from segnb.models.registry import VARIANTS
from segnb.storage.files import read_json, write_json
from tests.claims import examples
from tests.claims.examples import by_id
from tests.conftest import make_project
from tests.synthetic_study import SKILL, make_study

UNET, NO_SKIP, RESIDUAL = "UNet_Standard_256", "UNet_NoSkip_256", "ResidualUNet_256"
GATED_RESIDUAL = "AttentionResidualUNet_256"
pytestmark = pytest.mark.usefixtures("few_draws", "without_outlook")


@pytest.fixture
def make(tmp_path):
    """make(effects, ...) returns verdicts by id of a study with few networks and a small seed spread."""

    def make(effects: dict[str, float], **options) -> dict[str, dict]:
        folder = make_project(tmp_path / f"project{len(list(tmp_path.iterdir()))}")
        options = {"images": 8, "seed_sd": 0.001} | options
        return by_id(decide(make_study(folder, effects=effects, variants=list(effects), **options)))

    return make


def needs_another_study(name: str) -> bool:
    """Return whether a claim compares this study with another."""
    contrasts = [contrast for contrast in LEDGER[name].contrasts if contrast.decides]
    return any(":" in network for contrast in contrasts for network in contrast.networks)


def test_every_claim_is_decided_or_explained(claims):
    assert list(claims) == list(LEDGER)
    for name, claim in claims.items():
        assert claim["verdict"] in WORDS and claim["reason"].endswith(".") and claim["command"]
        untested = needs_another_study(name) or claim["kind"] == "none"
        assert (claim["verdict"] == "not measured") == untested, name
    assert claims["F23"]["reason"] == LEDGER["F23"].measured  # the entry gives the reason
    assert "DATA=streets-false-colours" in claims["F12"]["command"]
    assert "DATA=path/to/camvid" in claims["F12"]["command"]
    assert claims["U15"]["command"].startswith(
        "make report PRESET=quick DATA=streets-car SEEDS=0,1,2 VARIANTS="
    )
    networks = "FCN8s_vgg16_freeze,FCN8s_vgg16_finetune,UNet_Standard_256"
    assert claims["M4"]["command"] == " && ".join(
        f"make report PRESET=quick DATA={data} SEEDS=0,1,2 VARIANTS={networks} WEIGHTS=hed"
        for data in ("streets-drives", "streets-drives-interleaved")
    )


def test_known_effects_are_found(claims):
    verdicts = {name: claim["verdict"] for name, claim in claims.items()}
    fcn = "F1 F3 F7 F8 F9 F10 F11 F13 F19 F20 F21 F24 F25"
    unet = "U1 U2 U4 U5 U6 U8 U16 U18 U20 U22 U23 U24 U29"
    for name in f"{fcn} {unet}".split():
        assert verdicts[name] == "supported", name
    assert verdicts["F5"] == "refuted"  # coarser blocks cut more corners, so their contours are shorter
    assert verdicts["F22"] == verdicts["U17"] == verdicts["U32"] == "refuted"
    assert verdicts["F14"] == "refuted" and claims["F14"]["reason"].startswith("FCN-32s")  # by its own level
    assert verdicts["U10"] == verdicts["U14"] == verdicts["U30"] == "inconclusive"  # gates have no effect


def test_a_share_that_leaves_no_room_is_not_measurable_and_says_so(claims):
    """Blocks of 4 px are wrong, so nearly every true edge has a predicted edge next to it."""
    claim = claims["U19"]
    assert claim["verdict"] == UNMEASURABLE and claim["power"] == {} and claim["seeds_needed"] is None
    pattern = r"Recall of edges between objects is 99\.\d% \(95% CI 9[\d. to]+\) even for U-Net, no skips\."
    assert re.match(pattern, claim["reason"])
    (part,) = claim["parts"]
    assert part["floor"] in claim["reason"].replace("Recall", "recall", 1)
    assert not any(part["floor"] for part in claims["U16"]["parts"])


def test_a_comparison_that_passes_has_room():
    passes, is_open = (examples.part(floor="recall is 7%", low=low, high=0.06) for low in (0.04, -0.01))
    with_room = examples.part(low=-0.01, high=0.02)
    assert not examples.claim(contrasts=(passes, with_room)).floors
    for floored in (is_open, replace(passes, low=None, high=None)):
        assert examples.claim(contrasts=(floored, with_room)).floors == ["recall is 7%"]


def test_a_limit_from_above_is_printed_as_the_level_itself(claims):
    for part in claims["F2"]["parts"][:2]:
        assert part["estimate"] < 0 and part["scale"] == -100 and part["unit"] == "%"
        assert -1 <= part["low"] < part["estimate"] < part["high"] <= 0
    low, high = re.search(r"% \([\d.]+% CI ([\d.]+) to ([\d.]+)\)", claims["F2"]["reason"]).groups()
    assert float(low) < float(high) and "The interval lies above 10%." in claims["F2"]["reason"]


def test_a_part_holds_its_numbers(claims):
    part = claims["F1"]["parts"][0]
    assert part["low"] < part["estimate"] < part["high"] and 0.95 <= part["level"] < 1
    assert len(part["by_seed"]) == part["seeds"] == 3
    assert sum(part["by_seed"]) / 3 == pytest.approx(part["estimate"])
    assert part["p_for"] < 0.05 < part["p_against"]
    assert part["missing"] == "" and part["decides"] and part["scale"] == 100


def test_every_word_can_be_read_off_its_intervals(verdicts):
    words = set()
    for claim in verdicts.claims:
        if claim.p_for is None or claim.missing:
            continue
        bottom = -claim.margin if claim.kind == "≈" else None
        ends = [
            (one.low, one.high, one.threshold if bottom is None else bottom, claim.margin or 9)
            for one in claim.tested
        ]
        supported = all(bottom < low and high < top for low, high, bottom, top in ends)
        refuted = any(high < bottom or low > top for low, high, bottom, top in ends)
        open_word = UNMEASURABLE if claim.floors else "inconclusive"
        word = "supported" if supported else "refuted" if refuted else open_word
        assert claim.word == word, claim.id
        words.add(claim.word)
        assert {one.level for one in claim.tested} == {verdicts.levels[claim.corrected_with]}
        if claim.word != "refuted":  # the reason names the least certain comparison
            assert claim.decisive_contrast.p_for == max(one.p_for for one in claim.tested)
    assert words == {"supported", "refuted", "inconclusive", UNMEASURABLE}


def test_the_audit_is_that_of_the_published_table(claims):
    assert claims["M1"]["verdict"] == scores.verdict("M1").word == "refuted"
    assert claims["M2"]["verdict"] == scores.verdict("M2").word == "refuted"
    assert claims["M3"]["verdict"] == "refuted"
    assert "for 468 of 500 test frames the next frame" in claims["M3"]["reason"]
    assert claims["M1"]["p_for"] is None


def test_the_ground_truth_identifies_rendered_images_whatever_was_predicted(study, verdicts, tmp_path):
    few = {"variants": [UNET], "seeds": 1, "data": "camvid", "label_set": "camvid"}
    fcn, unet = (_truth([run for run in study.measured() if run.family == name]) for name in ("fcn", "unet"))
    assert fcn == unet == verdicts.data["truth"] and list(fcn) == ["64"]
    assert _truth(study.measured()[:1]) != _truth(make_study(tmp_path, images=8, **few).measured())
    assert "truth" not in decide(make_study(make_project(tmp_path / "project"), images=8, **few)).data


def test_one_seed_decides_nothing_that_was_trained(study):
    claims = by_id(decide(study, seeds="1"))
    for name, claim in claims.items():
        if claim["kind"] == "none":
            assert claim["verdict"] == "not measured"
        elif name == "U19":
            assert claim["verdict"] == UNMEASURABLE
        elif all(part["measure"] in COSTS for part in claim["parts"] if part["decides"]):
            assert claim["verdict"] in ("supported", "refuted"), name
        elif not needs_another_study(name):
            assert claim["verdict"] == "inconclusive", name
            assert claim["reason"].startswith("One seed") and "SEEDS=0,1,2" in claim["command"]
            assert claim["p_for"] is None and claim["seeds_needed"] is None and claim["power"] == {}
    assert claims["U1"]["reason"].endswith(", test images only).")
    assert "test images" not in claims["U5"]["reason"]
    assert claims["U1"]["parts"][0]["low"] < claims["U1"]["parts"][0]["high"]
    assert claims["U5"]["parts"][0]["low"] is None  # neither images nor seeds vary


def test_two_seeds_decide_what_can_borrow_variance(study, without_outlook):
    claims = by_id(decide(study, seeds="0,1"))
    assert claims["U1"]["verdict"] == "supported"
    alone = claims["U21"]  # a level of one network
    assert alone["verdict"] == "inconclusive" and alone["reason"].startswith("Two seeds cannot decide")
    assert alone["parts"][0]["low"] is None and "SEEDS=0,1,2" in alone["command"]


def test_a_reversed_effect_is_refuted(make):
    claims = make({UNET: 0.55, NO_SKIP: 0.70})
    assert claims["U1"]["verdict"] == claims["U6"]["verdict"] == "refuted"
    assert claims["U1"]["reason"].endswith("The interval lies below zero.")


def test_one_reversed_part_is_enough(make):
    skills = {name: SKILL[name] for name in SKILL if name.startswith("FCN")} | {"FCN16s_vgg16_finetune": 0.40}
    claim = make(skills)["F1"]
    assert claim["verdict"] == "refuted"
    assert claim["parts"][claim["decisive"]]["label"] == "FCN-16s − FCN-32s, fine-tuned"
    assert claim["reason"].endswith("lies below zero. The claim needs all 4 comparisons to hold.")


def test_no_difference_is_supported_where_seeds_show_it(make):
    claims = make({RESIDUAL: 0.70, UNET: 0.70}, seeds=5)
    assert (
        claims["U7"]["verdict"] == "supported"
        and "The interval lies within ±1 point." in claims["U7"]["reason"]
    )
    assert make({RESIDUAL: 0.80, UNET: 0.70}, seeds=5)["U7"]["verdict"] == "refuted"


def test_noticeable_is_two_points(make):
    skills = {
        f"FCN{s}s_vgg16_{t}": 0.5 + 0.01 * (t == "finetune")
        for s in (32, 16, 8)
        for t in ("freeze", "finetune")
    }
    claim = make(skills, seeds=4)["F9"]  # one point of skill is less than one point of mIoU
    assert claim["verdict"] == "refuted" and all(part["estimate"] > 0 for part in claim["parts"])
    assert "lies below 2 points" in claim["reason"]


def test_a_missing_network_is_not_measured_and_others_are(tmp_path):
    skills = {UNET: 0.70, NO_SKIP: 0.55}
    few = make_study(make_project(tmp_path / "project"), effects=skills, variants=list(skills), images=8)
    claims = by_id(decide(few))
    assert claims["U1"]["verdict"] == "supported"
    for name in ("F1", "U7", "U9", "U13"):
        assert claims[name]["verdict"] == "not measured"
        assert "has not been trained and evaluated" in claims[name]["reason"]
        assert claims[name]["command"] == "make report PRESET=quick SEEDS=0,1,2 WEIGHTS=hed"


def test_a_missing_file_is_told(study, tmp_path):
    copy = type(study)(tmp_path / "runs" / study.name)
    networks = UNET, NO_SKIP, GATED_RESIDUAL
    shutil.copytree(study.path, copy.path, ignore=shutil.ignore_patterns(*set(VARIANTS).difference(networks)))
    for run in copy.measured(f"{UNET},{GATED_RESIDUAL}"):
        run.boundary_path.unlink()
        run.gates_path.unlink(missing_ok=True)
    copy.cost_path.unlink()
    claims = by_id(decide(copy))
    assert claims["U2"]["reason"].startswith("U-Net, seed 0, has no boundary.npz")
    assert claims["U11"]["verdict"] == "not measured" and "gates.npz" in claims["U11"]["reason"]
    assert claims["F7"]["command"] == claims["U8"]["command"] == f"segnb cost --study {copy.name}"
    assert claims["U1"]["verdict"] == "supported"


def test_a_study_without_runs_explains_every_claim(study, tmp_path):
    empty = type(study)(tmp_path / "runs" / "empty")
    write_json(empty.path / "study.json", study.settings)
    verdicts = decide(empty)
    for claim in verdicts.claims:
        assert claim.word == ("refuted" if claim.kind == "audit" else "not measured")
        assert claim.reason and claim.command
    assert verdicts.decided == {} and verdicts.seeds == []


def test_photographs_have_other_classes(tmp_path):
    folder = make_project(tmp_path / "project")
    fcn = [name for name in VARIANTS if name.startswith("FCN")]
    study = make_study(folder, variants=fcn, images=8, data="camvid", label_set="camvid")
    claims = by_id(decide(study))
    assert claims["F1"]["verdict"] == "supported"
    assert "comparisons is FCN-32s, frozen, recall of large objects" in claims["F14"]["reason"]
    assert "Only studies of the rendered streets are compared" in claims["F12"]["reason"]
    assert "DATA=path/to/camvid" in claims["U1"]["command"]


def test_the_further_the_data_the_more_it_helps(tmp_path):
    """F12 with all related studies is at best consistent with the claim."""
    folder = make_project(tmp_path / "project")
    fcn = {name: 0.6 for name in VARIANTS if name.startswith("FCN")}
    options = {"variants": list(fcn), "images": 8, "seed_sd": 0.001}

    def gains(skill: float) -> dict[str, float]:
        return {name: skill if name.endswith("finetune") else 0.6 for name in fcn}

    study = make_study(folder, effects=gains(0.70), **options)
    make_study(folder, effects=gains(0.80), data=FALSE_COLOURS, **options)
    make_study(folder, effects=gains(0.62), data="camvid", label_set="camvid", **options)
    claim = by_id(decide(study))["F12"]
    assert claim["verdict"] == "supported" and claim["reason"].endswith(
        "more than their distance from ImageNet."
    )
    assert "consistent with" in claim["reason"]


def test_what_a_split_within_drives_is_worth(tmp_path):
    """M4 with both related studies: twelve points of skill are more than one point of mIoU."""
    folder = make_project(tmp_path / "project")
    skills = {UNET: 0.6, "FCN8s_vgg16_finetune": 0.6, "FCN8s_vgg16_freeze": 0.5}
    options = {"variants": list(skills), "images": 8, "seed_sd": 0.001}
    study = make_study(folder, effects=skills, **options)
    make_study(folder, effects=skills, data="streets-drives", **options)
    leaky = {name: skill + 0.12 for name, skill in skills.items()}
    between = make_study(folder, effects=leaky, data="streets-drives-interleaved", **options)
    for seed in range(3):  # copied masks are all correct
        run = between.run(UNET, seed)
        found = run.test()
        copied = found["confusion"].sum(-1)[..., None] * np.eye(13, dtype=np.int64)
        run.write_arrays(run.confusion_path, **found, copied=copied)
    claim = by_id(decide(study))["M4"]
    assert claim["verdict"] == "refuted" and "lies outside ±1 point" in claim["reason"]
    *networks, copies, missing = claim["parts"]
    assert [part["estimate"] > 0.05 for part in networks] == [True] * 3
    assert copies["estimate"] == 1 and not copies["decides"]
    assert missing["missing"] == "the score of copied masks was not computed"


def test_counted_costs_beyond_the_margin_refute(study, tmp_path):
    copy = type(study)(tmp_path / "runs" / study.name)
    shutil.copytree(study.path, copy.path, ignore=shutil.ignore_patterns(*VARIANTS))  # costs need no runs
    table = read_json(copy.cost_path)
    table["variants"][GATED_RESIDUAL]["parameters"] *= 1.2
    table["variants"]["FCN8s_vgg16_finetune"]["memory_mib"] = 100
    write_json(copy.cost_path, table)
    claims = by_id(decide(copy))
    assert claims["U8"]["verdict"] == claims["F8"]["verdict"] == "refuted"
    assert "parameters: +2" in claims["U8"]["reason"] and "counted, so exact" in claims["U8"]["reason"]
    assert claims["U8"]["parts"][claims["U8"]["decisive"]]["measure"] == "parameters"
