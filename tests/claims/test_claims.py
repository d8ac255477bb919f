"""The ledger and its verdicts: every claim decided or explained, known effects found, none too soon."""

import json
import shutil

import pytest

from segnb import cli
from segnb.audit import scores
from segnb.claims import saved
from segnb.claims.claim import NOTICEABLE, Claim, Contrast
from segnb.claims.decide import decide
from segnb.claims.effects import COSTS
from segnb.claims.ledger import LEDGER
from segnb.claims.metrics import METRICS
from segnb.claims.related_studies import FALSE_COLOURS
from segnb.claims.verdicts import StudyVerdicts
from segnb.claims.wording import command
from segnb.models.registry import VARIANTS
from segnb.stats.decisions import ALPHA, Outlook
from segnb.storage.files import read_json, write_json
from segnb.study.study import Study
from tests.conftest import CHECKOUT, make_project
from tests.synthetic_study import SKILL, make_study

UNET, NO_SKIP, RESIDUAL = "UNet_Standard_256", "UNet_NoSkip_256", "ResidualUNet_256"
GATED_RESIDUAL, CLASS_GATED = "AttentionResidualUNet_256", "ClassAttentionResidualUNet_256"
IDS = [*(f"F{i}" for i in range(1, 16)), *(f"U{i}" for i in range(1, 16)), "M1", "M2"]
WORDS = {"supported", "refuted", "inconclusive", "not measured"}
COMPANIONS = ("F12", "U15")  # claims that need another study
EXACT = ("F7", "F8", "U8", "M1", "M2")  # claims that no training decides
pytestmark = pytest.mark.usefixtures("few_draws")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three seeds of every network, with the effects of `synthetic_study.SKILL`."""
    return make_study(make_project(tmp_path_factory.mktemp("claims") / "project"), images=16)


@pytest.fixture(scope="module")
def found(study):
    return decide(study)


@pytest.fixture(autouse=True)
def without_outlook(monkeypatch):
    """How many seeds would do takes half of the time, and is looked at in `found`, which is made before."""
    monkeypatch.setattr("segnb.claims.decide.outlook", lambda *question, claims: Outlook())


@pytest.fixture
def make(tmp_path):
    """make(effects, ...) -> verdicts by id, of a study of few networks whose seeds hardly differ."""

    def make(effects: dict[str, float], **options) -> dict[str, dict]:
        folder = make_project(tmp_path / f"project{len(list(tmp_path.iterdir()))}")
        options = {"images": 8, "seed_sd": 0.001} | options
        return by_id(decide(make_study(folder, effects=effects, variants=list(effects), **options)))

    return make


def by_id(found: StudyVerdicts) -> dict[str, dict]:
    """The claims as claims.json has them."""
    return {claim["id"]: claim for claim in saved.as_dict(found)["claims"]}


# --- the ledger ---


def test_every_claim_has_its_entry():
    assert list(LEDGER) == IDS
    for claim in LEDGER.values():
        assert claim.sentence.endswith(".") and claim.measured.endswith(".") and claim.section
        assert (claim.kind == "audit") == (not claim.contrasts) == (claim.family == "M")
        assert (claim.kind == "≈") == (claim.margin is not None)
        assert claim.kind in (">", "≈", "exact", "audit")


@pytest.mark.parametrize("claim", [claim for claim in LEDGER.values() if claim.contrasts], ids=lambda c: c.id)
def test_parts_are_contrasts_of_known_networks(claim: Claim):
    assert any(part.decides for part in claim.contrasts)
    assert len({(part.label, part.metric) for part in claim.contrasts}) == len(claim.contrasts)
    for part in claim.contrasts:
        assert part.metric in METRICS or part.metric in COSTS
        sides = part.networks
        assert {side.rpartition(":")[2] for side in sides} <= set(VARIANTS)
        families = {VARIANTS[side.rpartition(":")[2]].family for side in sides}
        assert families == {"fcn" if claim.family == "F" else "unet"}
        assert not part.minus or len(part.plus) == len(part.minus)  # what all have in common cancels
        if claim.kind == "exact" and part.decides:
            assert part.metric in COSTS and not COSTS[part.metric][1]


def deciding(name: str) -> list[Contrast]:
    return [part for part in LEDGER[name].contrasts if part.decides]


def test_what_claims_md_asks_of_some_claims():
    assert [(part.plus[0], part.minus[0]) for part in deciding("F1")] == [
        ("FCN16s_vgg16_freeze", "FCN32s_vgg16_freeze"),
        ("FCN16s_vgg16_finetune", "FCN32s_vgg16_finetune"),
        ("FCN8s_vgg16_freeze", "FCN16s_vgg16_freeze"),
        ("FCN8s_vgg16_finetune", "FCN16s_vgg16_finetune"),
    ]
    distances = {f"{name}:{px}" for name in ("boundary_iou", "boundary_f1") for px in (1, 2, 3)}
    assert {part.metric for part in deciding("F3")} == distances
    assert [part.threshold for part in deciding("F9")] == [NOTICEABLE] * 3 == [0.02] * 3
    assert [part.metric for part in deciding("F14")][::2] == [
        *("recall:large", "iou:Road", "iou:Building", "iou:Car")
    ]
    assert LEDGER["F14"].margin == 0.01 and LEDGER["U8"].margin == 0.10
    assert {part.metric for part in deciding("U8")} == {
        *("parameters", "gflops", "memory_mib", "train_seconds", "predict_seconds")
    }
    assert [(part.plus, part.minus) for part in deciding("U9")] == [
        (("AttentionUNet_256",), (UNET,)),
        ((GATED_RESIDUAL,), (RESIDUAL,)),
    ]
    # Lower is better for these, so the network without skips comes first.
    worse = {part.metric: part.plus for part in (*deciding("U2"), *deciding("U4"), *deciding("U6"))}
    assert worse["softness"] == worse["edge_distance"] == worse["epochs"] == (NO_SKIP,)
    assert worse["boundary_f1"] == worse["edge_agreement"] == (UNET,)


# --- claims.json ---


def test_every_claim_is_decided_or_explained(found):
    claims = by_id(found)
    assert list(claims) == IDS
    for name, claim in claims.items():
        assert claim["verdict"] in WORDS and claim["reason"].endswith(".") and claim["command"]
        assert (claim["verdict"] == "not measured") == (name in COMPANIONS)
    assert "DATA=streets-false-colours" in claims["F12"]["command"]
    assert "DATA=path/to/camvid" in claims["F12"]["command"]
    assert claims["U15"]["command"].startswith(
        "make report PRESET=quick DATA=streets-car SEEDS=0,1,2 VARIANTS="
    )


def test_it_is_json_without_a_path_of_this_machine(found, study):
    text = json.dumps(saved.as_dict(found), allow_nan=False)  # NaN is no JSON
    assert str(study.path) not in text and "/tmp" not in text and "/home" not in text
    assert found.seeds == [0, 1, 2] and found.data["counts"]["test"] == 16
    assert found.decided.keys() == {"3", "5", "10"}
    assert 0 < found.decided["3"] <= found.decided["5"] <= found.decided["10"] <= len(IDS)


def test_known_effects_are_found(found):
    verdicts = {name: claim["verdict"] for name, claim in by_id(found).items()}
    for name in (
        "F1",
        "F2",
        "F3",
        "F5",
        "F7",
        "F8",
        "F9",
        "F10",
        "F11",
        "F13",
        "U1",
        "U2",
        "U4",
        "U5",
        "U6",
        "U8",
    ):
        assert verdicts[name] == "supported", name
    assert verdicts["F14"] == "refuted"  # 8s is far ahead on Road as well
    assert verdicts["U10"] == verdicts["U14"] == "inconclusive"  # there is no effect of gates


def test_a_part_holds_its_numbers(found):
    part = by_id(found)["F1"]["parts"][0]
    assert part["low95"] < part["low90"] < part["estimate"] < part["high90"] < part["high95"]
    assert len(part["by_seed"]) == part["seeds"] == 3 and part["repeats"] == "seeds"
    assert sum(part["by_seed"]) / 3 == pytest.approx(part["estimate"])
    assert part["p"] < 0.05 < part["p_reversed"]
    assert part["missing"] == "" and part["decides"] and part["scale"] == 100


def test_the_reason_tells_the_numbers_as_printed(found):
    claim = by_id(found)["U1"]
    part = claim["parts"][claim["decisive"]]
    low, high = (100 * part[end] for end in ("low95", "high95"))
    assert claim["reason"].startswith(
        f"U-Net − U-Net, no skips, mIoU: {100 * part['estimate']:+.1f} points of mIoU"
        f" ({low:.1f} to {high:.1f}), 95 % interval: above zero"
    )
    assert "after epoch 2 of 10" in by_id(found)["F11"]["reason"]
    for name in ("U10", "U14"):
        assert "may lie above zero or not" in by_id(found)[name]["reason"]


def test_a_claim_that_only_holm_s_correction_leaves_open_says_so(found):
    """Then its interval lies on one side, and "may lie above zero or not" would contradict it."""
    open_claims = [c for c in by_id(found).values() if c["verdict"] == "inconclusive" and c["p"] is not None]
    assert open_claims
    for claim in open_claims:
        alone = min(claim["p"], claim["p_against"]) < ALPHA
        assert ("if it were the only claim" in claim["reason"]) == alone, claim["id"]
        assert ("or not (p" in claim["reason"]) == (not alone), claim["id"]


def test_the_audit_is_that_of_the_published_table(found):
    claims = by_id(found)
    published = scores.published_scores()
    assert claims["M1"]["verdict"] == scores.verdict_m1(published).word == "refuted"
    assert claims["M2"]["verdict"] == scores.verdict_m2(published).word == "refuted"
    assert claims["M1"]["p"] is None


# --- verdicts ---


def test_one_seed_decides_nothing_that_was_trained(study):
    claims = by_id(decide(study, seeds="1"))
    for name, claim in claims.items():
        if name in EXACT:
            assert claim["verdict"] in ("supported", "refuted"), name
        elif name not in COMPANIONS:
            assert claim["verdict"] == "inconclusive", name
            assert claim["reason"].startswith("One seed") and "SEEDS=0,1,2" in claim["command"]
            assert claim["p"] is None and claim["seeds_needed"] is None and claim["power"] == {}
    assert "These two networks on new images" in claims["U1"]["reason"]
    assert claims["U1"]["parts"][0]["low95"] < claims["U1"]["parts"][0]["high95"]
    assert claims["U5"]["parts"][0]["low95"] is None  # neither images nor seeds to vary


def test_a_reversed_effect_is_refuted(make):
    claims = make({UNET: 0.55, NO_SKIP: 0.70})
    assert claims["U1"]["verdict"] == claims["U6"]["verdict"] == "refuted"
    assert "not above zero" in claims["U1"]["reason"]


def test_one_reversed_part_is_enough(make):
    skills = {name: SKILL[name] for name in SKILL if name.startswith("FCN")} | {"FCN16s_vgg16_finetune": 0.40}
    claim = make(skills)["F1"]
    assert claim["verdict"] == "refuted"
    assert claim["parts"][claim["decisive"]]["label"] == "FCN-16s − FCN-32s, fine-tuned"
    assert "one of 4 contrasts that have to hold" in claim["reason"]


def test_no_difference_is_supported_where_seeds_show_it(make):
    claims = make({RESIDUAL: 0.70, UNET: 0.70}, seeds=5)
    assert claims["U7"]["verdict"] == "supported" and "90 % interval" in claims["U7"]["reason"]
    assert make({RESIDUAL: 0.80, UNET: 0.70}, seeds=5)["U7"]["verdict"] == "refuted"


def test_noticeable_is_two_points(make):
    skills = {
        f"FCN{s}s_vgg16_{t}": 0.5 + 0.01 * (t == "finetune")
        for s in (32, 16, 8)
        for t in ("freeze", "finetune")
    }
    claim = make(skills, seeds=4)["F9"]  # a point of skill is less than a point of mIoU
    assert claim["verdict"] == "refuted" and all(part["estimate"] > 0 for part in claim["parts"])
    assert "not above 2 points" in claim["reason"]


def test_a_missing_network_is_not_measured_and_others_are(study, tmp_path):
    skills = {UNET: 0.70, NO_SKIP: 0.55}
    few = make_study(make_project(tmp_path / "project"), effects=skills, variants=list(skills), images=8)
    claims = by_id(decide(few))
    assert claims["U1"]["verdict"] == "supported"
    for name in ("F1", "U7", "U9", "U13"):
        assert claims[name]["verdict"] == "not measured"
        assert "has not been trained and tested" in claims[name]["reason"]
        assert claims[name]["command"] == "make report PRESET=quick SEEDS=0,1,2"


def test_what_would_decide_a_smoke_study_is_a_preset_whose_scores_mean_something(tmp_path):
    effects = {UNET: 0.70, NO_SKIP: 0.55}
    place = make_project(tmp_path / "project")
    few = make_study(place, 1, effects, variants=list(effects), images=8, preset="smoke")
    found = decide(few)
    claims = by_id(found)
    assert claims["U1"]["command"] == "make report PRESET=quick SEEDS=0,1,2"
    assert claims["F1"]["command"].startswith("make report PRESET=quick ")
    assert found.command == "make report PRESET=smoke SEEDS=0"  # what computes this one again


def test_the_command_that_repeats_a_study_has_all_that_it_was_asked_for(study):
    asked = {"epochs": 2, "learning_rate": 0.002, "weights": "/some/where", "precision": None}
    other = Study(study.path)
    other.settings["request"].update(asked)  # as read, not in the file
    assert command(other, [0]) == "make report PRESET=quick SEEDS=0 EPOCHS=2 LEARNING_RATE=0.002"
    assert command(study, [0]) == "make report PRESET=quick SEEDS=0"


def test_a_missing_file_is_told(study, tmp_path):
    copy = type(study)(tmp_path / "runs" / study.name)
    shutil.copytree(study.path, copy.path)
    for run in copy.measured(f"{UNET},{GATED_RESIDUAL}"):
        run.boundary_path.unlink()
        run.gates_path.unlink(missing_ok=True)
    copy.cost_path.unlink()
    claims = by_id(decide(copy))
    assert claims["U2"]["reason"].startswith("Missing: U-Net, seed 0, has no boundary.npz")
    assert claims["U11"]["verdict"] == "not measured" and "gates.npz" in claims["U11"]["reason"]
    assert claims["F7"]["command"] == claims["U8"]["command"] == f"segnb cost --study {copy.name}"
    assert claims["U1"]["verdict"] == "supported"


def test_a_study_without_runs_explains_every_claim(study, tmp_path):
    empty = type(study)(tmp_path / "runs" / "empty")
    write_json(empty.path / "study.json", study.settings)
    found = decide(empty)
    for claim in found.claims:
        assert claim.word == ("refuted" if claim.family == "M" else "not measured")
        assert claim.reason and claim.command
    assert found.decided == {} and found.seeds == []


def test_photographs_have_other_classes(tmp_path):
    folder = make_project(tmp_path / "project")
    fcn = [name for name in VARIANTS if name.startswith("FCN")]
    study = make_study(folder, variants=fcn, images=8, data="camvid", label_set="camvid")
    claims = by_id(decide(study))
    assert claims["F14"]["verdict"] == "refuted" and claims["F1"]["verdict"] == "supported"
    assert "only a study of the rendered streets" in claims["F12"]["reason"]
    assert "DATA=path/to/camvid" in claims["F2"]["command"] or claims["F2"]["verdict"] == "supported"


def test_the_further_the_data_the_more_it_helps(tmp_path):
    """F12 with all of its companions: at best consistent with."""
    folder = make_project(tmp_path / "project")
    fcn = {name: 0.6 for name in VARIANTS if name.startswith("FCN")}
    options = {"variants": list(fcn), "images": 8, "seed_sd": 0.001}

    def gains(skill: float) -> dict[str, float]:
        return {name: skill if name.endswith("finetune") else 0.6 for name in fcn}

    study = make_study(folder, effects=gains(0.70), **options)
    make_study(folder, effects=gains(0.80), data=FALSE_COLOURS, **options)
    make_study(folder, effects=gains(0.62), data="camvid", label_set="camvid", **options)
    claim = by_id(decide(study))["F12"]
    assert claim["verdict"] == "supported" and claim["reason"].endswith("more than their distance.")
    assert "consistent with" in claim["reason"]


def test_more_seeds_of_a_claim_on_other_data_are_seeds_of_those_data_too(tmp_path):
    folder = make_project(tmp_path / "project")
    names = [name for name in VARIANTS if name.startswith("FCN")]
    options = {"seeds": 1, "variants": names, "images": 8}
    study = make_study(folder, **options)
    make_study(folder, data=FALSE_COLOURS, **options)
    make_study(folder, data="camvid", label_set="camvid", **options)
    claim = by_id(decide(study))["F12"]
    assert claim["verdict"] == "inconclusive"
    first, second, own = claim["command"].split(" && ")
    of = f"SEEDS=0,1,2 VARIANTS={','.join(names)}"
    assert first == f"make report PRESET=quick DATA={FALSE_COLOURS} {of}"
    assert second == f"make report PRESET=quick DATA=path/to/camvid {of}"
    assert own == "make report PRESET=quick SEEDS=0,1,2"


def test_counted_costs_beyond_the_margin_refute(study, tmp_path):
    copy = type(study)(tmp_path / "runs" / study.name)
    shutil.copytree(study.path, copy.path)
    table = read_json(copy.cost_path)
    table["variants"][GATED_RESIDUAL]["parameters"] *= 1.2
    table["variants"]["FCN8s_vgg16_finetune"]["memory_mib"] = 100
    write_json(copy.cost_path, table)
    claims = by_id(decide(copy))
    assert claims["U8"]["verdict"] == claims["F8"]["verdict"] == "refuted"
    assert "parameters: +2" in claims["U8"]["reason"] and "counted, so exact" in claims["U8"]["reason"]
    assert claims["U8"]["parts"][claims["U8"]["decisive"]]["measure"] == "parameters"


# --- what is kept, shown and compared ---


def test_what_is_kept_is_small_and_says_the_same(found, tmp_path):
    saved.write(found, tmp_path / "kept.json")
    kept = saved.read(tmp_path / "kept.json")
    assert (tmp_path / "kept.json").stat().st_size < 120_000
    assert [claim.word for claim in kept.claims] == [claim.word for claim in found.claims]
    assert saved.trimmed(kept) == saved.trimmed(found)
    for claim, whole in zip(kept.claims, found.claims, strict=True):
        assert all(contrast.decides for contrast in claim.contrasts)
        contrast, same = claim.decisive_contrast, whole.decisive_contrast
        assert (contrast is None) == (same is None)
        assert contrast is None or (contrast.label, contrast.metric) == (same.label, same.metric)
    lines = (tmp_path / "kept.json").read_text().splitlines()
    assert sum(line.startswith('{"id": ') for line in lines) == len(IDS)  # a line a claim


def test_a_listing_has_a_line_a_claim(found):
    lines = saved.listing(found).splitlines()
    assert [line.split()[0] for line in lines[1 : len(IDS) + 1]] == IDS
    assert "1 refuted" not in lines[-1] and "supported" in lines[-1]


def test_differences_tell_verdicts_that_moved(found, study):
    other = decide(study, seeds="0")
    same, text = saved.differences(found, found)
    assert not same and "no verdict differs" in text and "differs:" not in text
    differ, text = saved.differences(found, other)
    assert differ and "U1   supported -> inconclusive: Skip connections raise quality." in text
    assert "seeds    differs: [0, 1, 2] and [0]" in text and "data     same" in text
    assert "about these very networks" in text


@pytest.fixture
def at_home(study, found, monkeypatch):
    """The study's project folder as the one that the command line works in, and verdicts that are there."""
    monkeypatch.setattr("segnb.claims.decide.decide", lambda asked, variants, seeds: found)
    folder = study.path.parents[1]
    monkeypatch.setenv("SEGNB_ROOT", str(folder))
    (folder / "README.md").write_text("Before\n<!-- claims -->\nold\n<!-- /claims -->\nAfter\n")
    return folder


def test_the_command_prints_writes_and_publishes(at_home, study, found, capsys):
    assert (
        cli.main(["claims", "--study", study.name, "--out", str(at_home / "claims.json"), "--publish"]) == 0
    )
    assert "Skip connections raise quality." in capsys.readouterr().out
    written, kept = read_json(at_home / "claims.json"), read_json(at_home / "results" / "quick-streets.json")
    assert kept == saved.trimmed(found)
    assert saved.as_dict(saved.from_dict(written)) == written
    readme = (at_home / "README.md").read_text()
    assert readme.startswith(
        "Before\n<!-- claims -->\nFrom `results/quick-streets.json`: study `quick-streets-"
    )
    assert readme.endswith("<!-- /claims -->\nAfter\n") and "old" not in readme
    assert saved.shown_in(readme) == (
        "quick-streets.json",
        saved.table(saved.from_dict(kept), "quick-streets.json"),
    )
    assert readme.count("\n| F") == readme.count("\n| U") == 15


def test_the_command_compares(at_home, found, study, tmp_path, capsys):
    for name, content in (("a", found), ("b", decide(study, seeds="0"))):
        write_json(tmp_path / f"{name}.json", saved.as_dict(content))
    a, b = (str(tmp_path / f"{name}.json") for name in "ab")
    assert cli.main(["claims", "diff", a, a]) == 0
    assert cli.main(["claims", "diff", a, b]) == 1
    assert "supported -> inconclusive" in capsys.readouterr().out
    assert cli.main(["claims", "diff", a, "no-such-study"]) == 2
    assert "'no-such-study' is not in runs/" in capsys.readouterr().err
    write_json(tmp_path / "other.json", [1])
    assert cli.main(["claims", "diff", a, str(tmp_path / "other.json")]) == 2
    assert "holds no verdicts" in capsys.readouterr().err


def test_the_report_has_the_verdicts_beside_it(at_home, study, monkeypatch):
    monkeypatch.setattr("segnb.report.report.export_study", lambda params, chapters, out: out)
    study.claims_path.write_text('{"schema": 1}\n')
    out = at_home / "report" / "index.html"
    assert cli.main(["export", "chapter.ipynb", "--study", study.name, "--out", str(out)]) == 0
    assert (out.parent / "claims.json").read_text() == '{"schema": 1}\n'


def test_a_readme_without_marks_is_left_alone(at_home, study, capsys):
    (at_home / "README.md").write_text("nothing")
    shutil.rmtree(at_home / "results", ignore_errors=True)
    assert cli.main(["claims", "--study", study.name, "--publish", "mine"]) == 1
    assert "add the two marks" in capsys.readouterr().err
    assert not (at_home / "results").exists() and (at_home / "README.md").read_text() == "nothing"


def test_the_readme_shows_the_verdicts_that_are_kept():
    name, shown = saved.shown_in((CHECKOUT / "README.md").read_text())
    if not shown:
        pytest.skip("README.md shows no verdicts yet: segnb claims --publish")
    assert shown == saved.table(saved.read(CHECKOUT / "results" / name), name)
