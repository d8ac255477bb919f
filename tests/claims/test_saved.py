"""Verdicts in files, in docs/claims.md, on a terminal and compared; and the commands that do it."""

import json
import re
import shutil
from dataclasses import replace

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from segnb.claims import compare, findings, saved
from segnb.claims.ledger import LEDGER
from segnb.claims.verdicts import DECIDED, WORDS
from segnb.claims.wording import effect, levels
from segnb.cli.__main__ import main
from segnb.models.registry import VARIANTS, label
from segnb.report import CHAPTERS
from segnb.storage.files import read_json, write_json
from tests.claims import examples
from tests.conftest import CHECKOUT

# Pages with a generated part: its marks, and the function that writes it.
PAGES = {
    "README.md": (findings.MARKS, findings.in_readme),
    "docs/claims.md": (saved.MARKS, saved.in_page),
    "docs/performance.md": (saved.SCORES, saved.in_performance),
}
pytestmark = pytest.mark.usefixtures("few_draws")


def test_it_is_json_without_a_path_of_this_machine(verdicts, study):
    text = json.dumps(saved.as_dict(verdicts), allow_nan=False)  # NaN is not JSON
    assert str(study.path) not in text and "/tmp" not in text and "/home" not in text
    assert verdicts.seeds == [0, 1, 2] and verdicts.data["counts"]["test"] == 16
    assert verdicts.decided.keys() == {"3", "5", "10"}
    assert 0 < verdicts.decided["3"] <= verdicts.decided["5"] <= verdicts.decided["10"] <= len(LEDGER)


def test_what_is_kept_is_small_and_says_the_same(verdicts, tmp_path):
    saved.write(verdicts, tmp_path / "kept.json")
    short = saved.read(tmp_path / "kept.json")
    assert (tmp_path / "kept.json").stat().st_size < len(json.dumps(saved.as_dict(verdicts))) / 2
    assert [claim.word for claim in short.claims] == [claim.word for claim in verdicts.claims]
    assert saved.trimmed(short) == saved.trimmed(verdicts)
    for claim, whole in zip(short.claims, verdicts.claims, strict=True):
        assert all(contrast.decides for contrast in claim.contrasts)
        contrast, same = claim.decisive_contrast, whole.decisive_contrast
        assert (contrast is None) == (same is None)
        assert contrast is None or (contrast.label, contrast.metric) == (same.label, same.metric)
        # All digits, since an end that is rounded twice can print otherwise than in the report.
        assert contrast is None or (contrast.low, contrast.high) == (same.low, same.high)
    lines = (tmp_path / "kept.json").read_text().splitlines()
    assert sum(line.startswith('{"id": ') for line in lines) == len(LEDGER)  # one line per claim


def test_a_listing_has_a_line_a_claim(verdicts):
    lines = saved.listing(verdicts).splitlines()
    assert [line.split()[0] for line in lines[1 : len(LEDGER) + 1]] == list(LEDGER)
    assert all(f"{verdicts.count(word)} {word}" in lines[-2] for word in WORDS)
    assert lines[-1].startswith("Confidence intervals are at ") and "% (claims F)" in lines[-1]


def shown_in(page: str, marks: tuple[str, str] = saved.MARKS) -> str:
    """Return the text of a page between two marks."""
    return page.partition(marks[0])[2].partition(marks[1])[0].strip()


@pytest.fixture
def at_home(study, verdicts, monkeypatch):
    """The study's project folder as the root of the command line, with verdicts already computed."""
    monkeypatch.setattr("segnb.cli.claims.decide", lambda asked, variants, seeds: verdicts)
    folder = study.path.parents[1]
    monkeypatch.setenv("SEGNB_ROOT", str(folder))
    (folder / "docs").mkdir(exist_ok=True)
    marked = "<!-- claims -->\nold\n<!-- /claims -->\nBetween\n<!-- studies -->\nold\n<!-- /studies -->"
    (folder / "docs" / "claims.md").write_text(f"Before\n{marked}\nAfter\n")
    (folder / "docs" / "performance.md").write_text("Before\n<!-- scores -->\nold\n<!-- /scores -->\nAfter\n")
    (folder / "README.md").write_text("Before\n<!-- findings -->\nold\n<!-- /findings -->\nAfter\n")
    return folder


def test_the_command_prints_writes_and_publishes(at_home, study, verdicts, capsys):
    assert main(["claims", "--study", study.name, "--out", str(at_home / "claims.json"), "--publish"]) == 0
    assert "Skip connections raise quality." in capsys.readouterr().out
    written, short = read_json(at_home / "claims.json"), read_json(at_home / "results" / "quick-streets.json")
    assert short == saved.trimmed(verdicts)
    assert saved.as_dict(saved.from_dict(written)) == written
    assert levels(saved.from_dict(short)) == levels(verdicts) and "our null hypotheses" in levels(verdicts)
    assert [claim.origin for claim in saved.from_dict(short).claims] == [c.origin for c in verdicts.claims]
    page = (at_home / "docs" / "claims.md").read_text()
    assert page.startswith(
        "Before\n<!-- claims -->\nFrom `results/quick-streets.json`: study `quick-streets-"
    )
    assert page.endswith("<!-- /studies -->\nAfter\n") and "\nold\n" not in page
    decided = f"{verdicts.count(*DECIDED)} of {len(LEDGER)} claims"
    assert f"| {verdicts.machine} | {len(VARIANTS)} | 0 to 2 | {decided} |" in page
    assert shown_in(page) == saved.table(saved.from_dict(short), "quick-streets.json")
    assert all(page.count(f"\n| {claim.id} | {claim.sentence} ") == 1 for claim in LEDGER.values())
    assert page.count(" *(ours)* |") == sum(claim.origin == "ours" for claim in LEDGER.values())
    assert page.count(f"| above zero | {verdicts.by_id['U1'].headline} |") == 1
    assert page.count(f"| above zero | {verdicts.by_id['F1'].headline} (1 of 4) |") == 1
    performance = (at_home / "docs" / "performance.md").read_text()
    assert all(performance.count(f"\n| {label(name)} | 0.") == 1 for name in verdicts.networks)
    mious = verdicts.scores["UNet_Standard_256"]["miou"]
    printed = f"{np.mean(mious):.3f} ± {np.std(mious, ddof=1):.3f}"
    assert len(mious) == 3 and f"\n| U-Net | {printed} |" in performance
    readme = (at_home / "README.md").read_text()
    assert f"U-Net {printed} at {verdicts.settings['unet']['size']} px ([all networks" in readme
    assert readme.startswith("Before\n<!-- findings -->\nOf 57 claims of the study, ")
    assert "\n\n- **The study's headline scores are wrong** (claim M1). The " in readme
    assert f"To repeat it, run `{verdicts.command}`.\n" in readme
    assert readme.endswith("<!-- /findings -->\nAfter\n") and "\nold\n" not in readme
    assert readme.count("\n- **") == 5 and all(f"(claim {name})" in readme for name in findings.TOPICS)


def test_the_pages_show_the_study_that_decides_most_and_never_the_one_that_is_replaced(
    at_home, study, verdicts, capsys
):
    results, page = at_home / "results", at_home / "README.md"
    other = replace(verdicts, study="quick-streets-1", machine="another machine")
    assert main(["claims", "--study", study.name, "--publish", "mine"]) == 0
    saved.write(other, results / "other.json")
    assert main(["claims", "--study", study.name, "--publish", "mine"]) == 0
    assert ": agrees, but shares seeds. Of " in page.read_text()
    (results / "mine.json").unlink()
    (results / "other.json").rename(results / "mine.json")
    assert main(["claims", "--study", study.name, "--publish", "mine"]) == 0
    assert "nother machine" not in page.read_text()
    better = tuple(replace(claim, word="supported") for claim in verdicts.claims)
    saved.write(replace(other, claims=better), results / "better.json")
    capsys.readouterr()
    assert main(["claims", "--study", study.name, "--publish", "again"]) == 0
    updated, because = capsys.readouterr().err.splitlines()
    assert updated == "updated: results/again.json, docs/performance.md, docs/claims.md, README.md"
    assert "unchanged, because quick-streets-1 decides more" in because
    assert "From `results/better.json`" in page.read_text()
    assert f"{verdicts.machine[1:]}, seeds 0 to 2: " in page.read_text()
    assert saved.read(results / "again.json").study == verdicts.study
    listed = shown_in((at_home / "docs" / "claims.md").read_text(), saved.STUDIES).splitlines()
    names = [line.split("`")[1] for line in listed[2:]]
    assert names[0] == "better.json" and sorted(names) == sorted(file.name for file in results.iterdir())
    shutil.rmtree(results)


def test_a_verdict_of_an_older_test_does_not_count_for_the_lead(verdicts):
    assert saved.retested(verdicts) == [] and saved.settled(verdicts) == verdicts.count(*DECIDED)
    decided = [claim.id for claim in verdicts.claims if claim.word in DECIDED and claim.contrasts]
    older = replace(
        verdicts,
        claims=tuple(
            replace(claim, contrasts=tuple(replace(part, words="another metric") for part in claim.contrasts))
            if claim.id in decided[:2]
            else claim
            for claim in verdicts.claims
        ),
    )
    assert saved.retested(older) == decided[:2] and saved.settled(older) == saved.settled(verdicts) - 2
    assert saved.older_tests(older).startswith(f" The verdicts on {decided[0]} and {decided[1]} come from ")
    changed = replace(verdicts.by_id["F9"].deciding[0], threshold=0.0)  # only the limit
    claim = replace(verdicts.by_id["F9"], contrasts=(changed, *verdicts.by_id["F9"].contrasts[1:]))
    assert saved.retested(replace(verdicts, claims=(claim,))) == ["F9"]
    assert claim.test != verdicts.by_id["F9"].test
    assert list(saved.references({"a.json": older, "b.json": verdicts})) == ["b.json", "a.json"]
    page = saved.in_list("\n".join(saved.STUDIES), {"a.json": older, "b.json": verdicts})
    decided = f"{verdicts.count(*DECIDED)} of {len(LEDGER)} claims"
    assert f"| {decided}, {saved.settled(older)} by today's tests |" in page and f"| {decided} |" in page


def test_a_file_with_other_contents_is_not_replaced(at_home, study, capsys):
    write_json(other := at_home / "results" / "bench.json", {"steps": 1})
    assert main(["claims", "--study", study.name, "--publish", "bench"]) == 1
    assert "bench.json: no verdicts found" in capsys.readouterr().err and read_json(other) == {"steps": 1}
    other.unlink()


@pytest.mark.parametrize("out", ["", ".", "..", "/"])
def test_a_folder_is_no_file_to_write_to(at_home, study, capsys, monkeypatch, tmp_path, out):
    (inner := tmp_path / "inner").mkdir()
    monkeypatch.chdir(inner)
    place = out or str(inner)
    assert main(["claims", "--study", study.name, "--out", place]) == 1
    named = {"": inner, ".": inner, "..": f"{inner}/..", "/": "/"}[out]
    assert capsys.readouterr().err.startswith(f"segnb: {named}: Is a directory. ")
    assert list(tmp_path.iterdir()) == [inner] and list(inner.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "a/b", ".", "..", ".hidden", "a\nb"])
def test_only_a_plain_name_is_published(at_home, study, capsys, name):
    shutil.rmtree(at_home / "results", ignore_errors=True)
    assert main(["claims", "--study", study.name, "--publish", name]) == 1
    assert "for --publish (expected letters" in capsys.readouterr().err
    assert not (at_home / "results").exists() and not (at_home / "evil.json").exists()


def test_the_ending_of_a_published_file_may_be_given(at_home, study):
    assert main(["claims", "--study", study.name, "--publish", "foo.json"]) == 0
    assert [file.name for file in (at_home / "results").iterdir()] == ["foo.json"]
    shutil.rmtree(at_home / "results")


def test_the_report_is_published_once_its_chapters_are_there(at_home, study, verdicts, capsys):
    published = at_home / "docs" / "report" / "index.html"
    assert main(["claims", "--study", study.name, "--publish"]) == 0
    assert "docs/report/index.html: unchanged" in capsys.readouterr().err and not published.exists()
    (study.path / "chapters").mkdir()
    for name in CHAPTERS:
        notebook = new_notebook(cells=[new_markdown_cell(f"# The {name}")])
        nbformat.write(notebook, study.path / "chapters" / f"{name}.ipynb")
    for earlier in (replace(verdicts, seeds=[0]), replace(verdicts, networks=verdicts.networks[1:])):
        write_json(study.claims_path, saved.as_dict(earlier))  # the chapters show these
        assert main(["claims", "--study", study.name, "--publish"]) == 0
        assert "no report on these networks and seeds" in capsys.readouterr().err and not published.exists()
    write_json(study.claims_path, saved.as_dict(verdicts))
    assert main(["claims", "--study", study.name, "--publish"]) == 0
    assert all(f">The {name}<" in published.read_text() for name in CHAPTERS)
    assert [file.name for file in published.parent.iterdir()] == ["index.html"]  # no pages of runs
    shutil.rmtree(study.path / "chapters")
    study.claims_path.unlink()


def test_the_command_compares(at_home, verdicts, one_seed, tmp_path, capsys):
    for name, content in (("a", verdicts), ("b", one_seed)):
        write_json(tmp_path / f"{name}.json", saved.as_dict(content))
    a, b = (str(tmp_path / f"{name}.json") for name in "ab")
    assert main(["claims", "diff", a, a]) == 0
    assert main(["claims", "diff", a, b]) == 0
    assert "supported -> inconclusive" in capsys.readouterr().out
    opposite = json.loads(json.dumps(saved.as_dict(verdicts)).replace('"supported"', '"refuted"'))
    write_json(tmp_path / "opposite.json", opposite)
    assert main(["claims", "diff", a, str(tmp_path / "opposite.json")]) == 1
    assert "The studies do not agree." in capsys.readouterr().out
    assert main(["claims", "diff", a, "no-such-study"]) == 2
    assert "unknown study 'no-such-study'" in capsys.readouterr().err
    write_json(tmp_path / "other.json", {"a": [1]})
    assert main(["claims", "diff", a, str(tmp_path / "other.json")]) == 2
    assert "other.json: no verdicts found" in capsys.readouterr().err


def test_the_report_has_the_verdicts_beside_it(at_home, study, monkeypatch):
    monkeypatch.setattr("segnb.report.report.export_study", lambda params, chapters, out: out)
    study.claims_path.write_text('{"schema": 1}\n')
    out = at_home / "report" / "index.html"
    assert main(["export", "chapter.ipynb", "--study", study.name, "--out", str(out)]) == 0
    assert (out.parent / "claims.json").read_text() == '{"schema": 1}\n'


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("text", ["nothing", None])
def test_without_marks_in_a_page_nothing_is_written(at_home, study, capsys, page, text):
    pages = [at_home / name for name in PAGES]
    (at_home / page).unlink() if text is None else (at_home / page).write_text(text)
    before = [file.read_text() if file.exists() else None for file in pages]
    shutil.rmtree(at_home / "results", ignore_errors=True)
    assert main(["claims", "--study", study.name, "--publish", "mine"]) == 1
    error = capsys.readouterr().err
    assert page in error and "Add the two marks" in error
    assert not (at_home / "results").exists()
    assert [file.read_text() if file.exists() else None for file in pages] == before


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_show_the_verdicts_that_are_saved(page):
    marks, write = PAGES[page]
    text = (CHECKOUT / page).read_text()
    name = re.search(r"From `results/([^`]+)`", shown_in(text, marks)).group(1)
    shown = [saved.read(CHECKOUT / "results" / name), name]
    if page != saved.PERFORMANCE_PAGE:
        shown.append(list(saved.references(saved.stored(CHECKOUT / "results")).values()))
    else:
        shown = [saved.stored(CHECKOUT / "results")]
    assert write(text, *shown) == text


def test_verdicts_on_other_data_by_the_same_tests_have_a_column(verdicts):
    photographs = {"name": "camvid", "origin": "the folder camvid", "counts": {"train": 8, "test": 5}}
    there = [replace(verdicts.by_id["U1"], word="refuted"), replace(verdicts.by_id["F1"], kind="≈")]
    other = replace(verdicts, data=photographs, claims=(*there, verdicts.by_id["M1"]))
    lines = saved.table(verdicts, "a.json", [verdicts, other]).splitlines()
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ")[2:4] for line in lines if "|" in line}
    assert cells["id"] == ["verdict", "with photographs (CamVid)"]
    assert cells["U1"] == [verdicts.by_id["U1"].word, "refuted"]
    assert [cells[name][1] for name in ("F1", "M1", "U2")] == ["–", "–", "–"]


def test_the_list_has_the_reference_studies_that_are_saved():
    text, stored = (CHECKOUT / saved.CLAIMS_PAGE).read_text(), saved.stored(CHECKOUT / "results")
    assert saved.in_list(text, stored) == text
    assert shown_in(text, saved.STUDIES).count("\n") == len(saved.references(stored)) + 1


OLD = {
    "schema": 1,
    "study": "quick-streets-1",
    "preset": "quick",
    "date": "2026-01-01",
    "machine": "a processor, fp32",
    "data": {"name": "streets", "origin": "streets", "digest": "0", "counts": {"train": 1, "test": 1}},
    "seeds": [0, 1, 2],
    "settings": {"name": "quick"},
    "command": "make report PRESET=quick SEEDS=0,1,2",
    "claims": [
        {
            "id": "F9",
            "verdict": "inconclusive",
            "headline": "FCN-8s: +11.1 (8.5 to 13.7)",
            "p_holm": 0.188,
            "parts": [{"label": "a", "measure": "miou", "estimate": 0.1, "low95": 0.08, "high95": 0.14}],
        }
    ],
}


def test_a_file_of_an_older_version_is_read_and_told_apart(verdicts, tmp_path):
    write_json(tmp_path / "old.json", OLD)
    old = saved.read(tmp_path / "old.json")
    part = old.by_id["F9"].contrasts[0]
    assert (part.low, part.high, part.level) == (0.08, 0.14, 0.95) and old.by_id["F9"].word == "inconclusive"
    text = compare.differences(old, verdicts)[1]
    assert "older rule: Holm's correction decided, not the 95% intervals" in text
    assert "older rule" not in compare.differences(verdicts, verdicts)[1]
    assert "The verdicts on F9 come from tests that segnb has replaced" in saved.table(old, "old.json")


def test_a_saved_level_is_printed_and_placed_as_before(tmp_path):
    """A claim of "at most" is stored as the negative, with a threshold below 0."""
    most = examples.part(
        estimate=-0.117, low=-0.145, high=-0.089, weight=-1.0, threshold=-0.1, scale=-100, minus=()
    )
    before = examples.claim("F2", "inconclusive", contrasts=(most,))
    saved.write(examples.verdicts(before), tmp_path / "a.json")
    after = saved.read(tmp_path / "a.json").by_id["F2"]
    assert "11.7 points of mIoU (8.9 to 14.5)" in effect(after.decisive_contrast)
    assert after.lead(after.decisive_contrast) == before.lead(most) < 0
