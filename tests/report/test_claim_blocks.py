"""Verdicts in print: sentences, numbers, the table of verdicts and the claim blocks, also in the page."""

import json
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from segnb.audit.scores import published_scores
from segnb.claims import saved, wording
from segnb.claims.ledger import SENTENCES
from segnb.claims.verdicts import RULES
from segnb.report import claim_blocks
from segnb.report.figures.claims import differences, grouped
from segnb.report.figures.style import Picture
from segnb.report.report import export_page
from tests.claims.examples import CLAIMS, claim, part, verdicts
from tests.conftest import CHECKOUT

EVIL = '<script>alert("x")</script>'


def parsed(html) -> BeautifulSoup:
    return BeautifulSoup(html.data, "html5lib")


# --- sentences ---


def test_counts_add_up():
    assert wording.counts(verdicts()) == (
        "Of 3 claims of the study, 1 is supported, 1 is refuted and 1 is not measured."
        " Of 2 null hypotheses of ours, 1 is refuted and 1 is inconclusive."
    )


def test_the_studys_own_values_are_shown_next_to_those_measured_here():
    scores = published_scores().miou
    points = 100 * (scores["UNet_Standard_256"] - scores["UNet_NoSkip_256"])
    shown = (
        "Differences of mIoU by its own class IoUs, from one run per network, read off its charts to about"
        f" ±0.6 points: U-Net − U-Net, no skips: {points:+.1f} points."
    )
    assert claim_blocks.in_study(claim()) == shown
    assert f"In the study {shown}" in parsed(claim_blocks.block(claim())).get_text(" ", strip=True)
    unpublished = part(plus=("AttentionUNet_256",))
    for contrasts in ((unpublished,), (part(metric="iou:Car"),)):
        assert claim_blocks.in_study(claim(contrasts=contrasts)) == ""


def test_power_tells_each_number_of_seeds():
    numbers = "3 seeds would decide about 2 of the 5 claims, 5 seeds about 4 and 10 seeds about 4."
    one_seed = verdicts(seeds=[0])
    assert claim_blocks.power(one_seed) == f"If effects and spreads stay the same, {numbers}"
    assert claim_blocks.power(verdicts()) == (
        "If effects and spreads stay the same, 5 seeds would decide about 4 of the 5 claims and 10 seeds"
        " about 4."
    )
    assert claim_blocks.power(verdicts(seeds=list(range(10)))) == ""
    assert claim_blocks.power(verdicts(decided={})) == ""
    sentence = claim_blocks.power(verdicts(decided={}, seeds=[0]), [verdicts()])
    assert sentence == f"If effects and spreads are as in reference study 1, {numbers}"
    several = claim_blocks.power(verdicts(decided={}, seeds=[0]), [verdicts(decided={}), verdicts()])
    assert several == f"If effects and spreads are as in reference study 2, {numbers}"


def test_saved_studies_are_told_apart_from_other_results(tmp_path):
    (tmp_path / "bench.json").write_text(json.dumps({"preset": "quick"}))
    (tmp_path / "list.json").write_text("[]")
    few = verdicts(claim("F1", "inconclusive"), claim("U1"), study="few")
    (tmp_path / "few.json").write_text(json.dumps(saved.as_dict(few)))
    (tmp_path / "many.json").write_text(json.dumps(saved.as_dict(verdicts(study="many"))))
    stored = saved.stored(tmp_path)
    references = saved.references(stored)
    assert list(references) == ["many.json", "few.json"]
    others = many, few = tuple(references.values())
    assert list(saved.references(stored, without=many)) == ["few.json"]
    assert list(saved.references(stored, without=replace(many, seeds=[2, 3]))) == ["few.json"]
    assert saved.references(stored, without=replace(many, seeds=[3, 4])) == references
    text = claim_blocks.saved_sentence(verdicts(claim("F1"), claim("U1")), others)
    assert "(preset quick, rendered street scenes, seeds 0, 1, 2, a processor, fp32, 2026-01-02)" in text
    alike = "Of the 2 claims that both test alike, this study decides 2 by trained networks."
    assert (
        f"decides 3 claims. {alike} Of these, it confirms 1 and does not decide 0. It contradicts F1." in text
    )
    left = "does not decide 1 (F1). It contradicts none."
    assert f"decides 1 claim. {alike} Of these, it confirms 1 and {left}" in text
    assert "Holm" not in text
    assert claim_blocks.saved_sentence(verdicts(), []) == ""
    older = claim_blocks.saved_sentence(verdicts(), [verdicts(schema=1)])
    assert "*Reference study 1* (" in older
    assert "The verdicts of reference study 1 follow an older rule, Holm's correction" in older
    mixed = claim_blocks.saved_sentence(verdicts(), [verdicts(), verdicts(schema=1)])
    assert "The verdicts of reference study 2 follow an older rule" in mixed


def test_the_module_that_renders_the_images_is_not_named():
    data = verdicts().data | {"origin": "rendered street scenes (segnb.data.streets)"}
    assert "rendered street scenes, seeds" in claim_blocks.described(verdicts(data=data))


def test_what_seeds_would_bring_is_told():
    chances = "50% with 3 seeds, 90% with 5 seeds and 100% with 10 seeds."
    undecided = replace(CLAIMS[2], word="inconclusive")
    assert claim_blocks.seeds_sentence(undecided).endswith(f"the chance of a decision is {chances}")
    assert "chance" not in claim_blocks.seeds_sentence(CLAIMS[2])  # it is decided


def test_parts_are_grouped_under_whichever_repeats():
    one_contrast = [part(metric=name) for name in ("miou", "recall")]
    assert grouped(one_contrast) == {"U-Net − U-Net, no skips": [("miou", 0), ("recall", 1)]}
    one_measure = [part(name) for name in ("a − b", "b − c")]
    assert grouped(one_measure) == {"mIoU": [("a − b", 0), ("b − c", 1)]}
    both = [part(name, metric=what) for what in "xyz" for name in ("a − b", "b − c")]
    assert grouped(both)["b − c"] == [("x", 1), ("y", 3), ("z", 5)]


# --- what the parts of the project owe each other ---


def test_the_link_to_the_rules_leads_somewhere():
    file, _, heading = claim_blocks.RULES_PLACE.partition("#")
    notebook = nbformat.read(CHECKOUT / "notebooks" / file, as_version=4)
    lines = [line for cell in notebook.cells for line in cell.source.splitlines()]
    assert heading in {line.lstrip("# ").replace(" ", "-") for line in lines if line.startswith("#")}


# --- HTML ---


def test_the_table_has_a_row_a_claim_with_sign_and_word():
    others = [verdicts(claim("U1", "refuted"))]
    page = parsed(claim_blocks.verdict_table(verdicts(), others))
    rows = [row for row in page.select("tbody tr") if row.td]
    assert [row.th.get_text() for row in rows] == ["F1", "F12", "U1", "U7", "M1"]
    assert [row.a["href"] for row in rows][:2] == ["fcn.ipynb#claim-F1", "fcn.ipynb#claim-F12"]
    cells = [[" ".join(cell.get_text(" ").split()) for cell in row.find_all("td")] for row in rows]
    assert [row[0] for row in cells] == [
        "✗ refuted",
        "– not measured",
        "✓ supported",
        "? inconclusive",
        "✗ refuted",
    ]
    assert cells[2][2:] == [
        "+3.1 points of mIoU (0.4 to 5.8) U-Net − U-Net , no skips",
        "3",
        "–",
        "✗ refuted",
    ]
    assert cells[1][2:] == ["–", "–", "–", "– not measured"]
    assert [row.get_text() for row in page.select("tr.group")] == ["FCN", "U-Net", "The study's scores"]
    others = [verdicts(claim("U1", "refuted", contrasts=(part(metric="iou:Car"),)))]
    row = parsed(claim_blocks.verdict_table(verdicts(), others)).select("tbody tr")[4]
    assert row.th.get_text() == "U1" and row.find_all("td")[-1].get_text(strip=True).endswith("another test")
    assert "With one seed" not in page.caption.get_text()


def test_a_block_quotes_the_study_or_says_that_the_question_is_ours():
    said = claim("U1", quote="Skips are key.", place="Q2, Bottom Line")
    for origin, words in {
        "stated": "The study says “Skips are key.” (Q2, Bottom Line)",
        "implied": "The study implies “Skips are key.” (Q2, Bottom Line)",
        "ours": "Our null hypothesis The study does not state this claim.",
    }.items():
        page = parsed(claim_blocks.block(replace(said, origin=origin)))
        assert " ".join(page.dl.div.get_text(" ").split()) == words


def test_the_study_is_gone_through_in_its_own_order():
    page = parsed(claim_blocks.sentences(verdicts()))
    rows = [row for row in page.select("tbody tr") if row.td]
    assert len(rows) == len(SENTENCES) and "2×, combines" in page.get_text()
    texts = [" ".join(row.get_text(" ").split()) for row in rows]
    best = next(text for text in texts if "steadily improve" in text)
    assert "✗ refuted F1 Skip connections" in best  # the made-up claims have one sentence
    assert all(sentence.note in text for text, sentence in zip(texts, SENTENCES, strict=True))
    assert f"{len(SENTENCES)} sentences of the study" in page.caption.get_text()


def test_with_one_seed_the_table_says_what_its_intervals_are():
    page = parsed(claim_blocks.verdict_table(verdicts(claim(seeds=1))))
    caption = " ".join(page.caption.get_text().split())
    assert "the CI covers only the choice of test images, so the claim stays inconclusive" in caption


def test_a_block_is_folded_and_says_why():
    (page,) = parsed(claim_blocks.block(claim())).find_all("details")
    assert page["id"] == "claim-U1" and not page.has_attr("open")
    assert " ".join(page.summary.get_text().split()) == "U1 Skip connections raise quality. ✓ supported"
    facts = {row.dt.get_text(): " ".join(row.dd.get_text().split()) for row in page.select("dl > div")}
    assert facts["Verdict"].startswith("✓ Supported. U-Net − U-Net, no skips")
    assert page.find("a", string="Rules and figures")["href"] == claim_blocks.RULES_PLACE
    assert not any(rule in page.get_text() for rule in RULES.values())  # which the page has once
    assert facts["To recompute it"] == "segnb claims"
    assert facts["Seeds"].endswith("rests on 3 seeds. The widest interval that decides is ±2.7 points.")
    assert [cell.get_text() for cell in page.select("tbody tr:last-child > *")] == [
        "mIoU",
        "+3.1",
        "0.4 to 5.8",
        "points of mIoU",
        "0.012",
        "0.99",
    ]
    assert "97.5% CI" in page.thead.get_text()
    caption = page.caption.get_text()
    assert caption.startswith("U1 rests on 1 comparison. ")
    assert "p is 0.012 for it and 0.99 against it; a verdict needs p ≤ 0.025." in caption


def test_a_caption_says_how_many_comparisons_decide():
    parts = (part(), part(metric="recall", decides=False))
    caption = parsed(claim_blocks.block(claim(contrasts=parts))).caption.get_text()
    assert caption.startswith("U1 rests on 1 comparison; the others are shown with it.")


@pytest.mark.parametrize(
    ("word", "seeds", "command", "label"),
    [
        ("supported", 3, "segnb claims", "To recompute it"),
        ("inconclusive", 3, "segnb claims --study a", "To recompute it"),  # no number of seeds would decide
        ("inconclusive", 3, "make report SEEDS=0,1,2,3", "To decide it"),
        ("inconclusive", 1, "make report SEEDS=0,1,2", "More seeds"),
        ("not measured", 0, "make report", "To test it"),
        ("not measured", 3, "segnb cost --study a", "To test it"),
    ],
)
def test_a_command_is_labelled_by_its_use(word, seeds, command, label):
    page = parsed(claim_blocks.block(claim("U1", word, seeds=seeds, command=command)))
    assert page.find("code", string=command).find_previous("dt").get_text() == label


def test_a_block_of_what_is_missing_says_so():
    page = parsed(claim_blocks.block(CLAIMS[1], [Picture()]))
    assert "segnb claims" in page.get_text()
    assert not page.img and not page.table  # the verdict says once why
    partly = replace(CLAIMS[1], contrasts=(*CLAIMS[1].contrasts, part()))
    cells = [cell.get_text() for cell in parsed(claim_blocks.block(partly)).select("tbody td")]
    assert cells[0] == "not measured: there is no study of cars"


def test_text_from_data_is_inert_and_pictures_are_described():
    picture = differences([part(EVIL)], ">", {})
    one = claim(sentence=EVIL, reason=EVIL, command=EVIL, contrasts=(part(EVIL),))
    for html in (claim_blocks.block(one, [picture]), claim_blocks.verdict_table(verdicts(one))):
        page = parsed(html)
        assert not page.find("script") and EVIL in page.get_text()
    image = parsed(claim_blocks.block(one, [picture])).img
    assert EVIL in image["alt"] and image["src"].startswith("data:image/svg+xml,<svg ")


def test_blocks_in_the_page(tmp_path: Path):
    shown = {"claims.ipynb": [claim_blocks.verdict_table(verdicts())]}
    for one in CLAIMS:
        chapter = claim_blocks.CHAPTERS[one.family]
        shown.setdefault(chapter, []).append(claim_blocks.block(one))
    for name, blocks in shown.items():
        outputs = [new_output("display_data", {"text/html": one.data, "text/plain": ""}) for one in blocks]
        cells = [new_markdown_cell("# Claims"), new_code_cell("x", outputs=outputs, execution_count=1)]
        nbformat.write(new_notebook(cells=cells), tmp_path / name)
    out, chapters = tmp_path / "index.html", [tmp_path / name for name in shown]
    export_page(chapters, out, title="A", subtitle="b", facts={}, warnings=[], pages=[])
    page = BeautifulSoup(out.read_text(encoding="utf-8"), "html5lib")
    assert [one["id"] for one in page.select("details.claim")] == [f"claim-{one.id}" for one in CLAIMS]
    links = [link["href"] for link in page.select("table.verdicts tbody a")]
    assert links == [f"#claim-{one.id}" for one in CLAIMS]
    assert all(table.parent["class"] == ["table"] for table in page.find_all("table"))
    assert not page.main.find("style")  # the one for JupyterLab
    assert "claim" in page.select_one("script").string  # a link opens what it leads to


def test_the_table_has_columns_for_two_reference_studies_and_the_text_says_where_others_are():
    others = [verdicts(claim("U1", word)) for word in ("refuted", "supported", "inconclusive")]
    heads = [
        head.get_text() for head in parsed(claim_blocks.verdict_table(verdicts(), others)).select("thead th")
    ]
    assert heads[-2:] == ["Reference study 1", "Reference study 2"]
    _, second, third = claim_blocks.saved_sentence(verdicts(), others).split("\n- ")[1:]
    assert second.startswith("*Reference study 2* (preset quick") and "blocks only" not in second
    assert third.startswith("*Reference study 3* (") and "; shown in the claim blocks only) decides" in third


def test_a_block_shows_the_verdicts_of_reference_studies_and_their_numbers():
    saved_part = part(minus=(), plus=())  # as saved files have it
    open_claim = claim("U1", "inconclusive", seeds_needed=22, contrasts=(saved_part, part("other")))
    others = [verdicts(open_claim), verdicts(claim("F1"))]
    own = claim("U1", reason="It is so.")
    page = parsed(claim_blocks.block(own, saved=others))
    facts = {term.get_text(): term.find_next("dd").get_text() for term in page.find_all("dt")}
    assert facts["Reference study 1"] == (
        "By another test, of an earlier version:"
        " ? Inconclusive. U-Net − U-Net, no skips, mIoU: +3.1 points (0.4 to 5.8), the least certain"
        " of 2 comparisons. If effect and spread stay the same, it takes more than 20 seeds per network for a"
        " chance of 80% to support the claim. For the difference from this report's estimate, p is 1.0,"
        " so chance could explain it."
    )
    assert "Reference study 2" not in facts
    far = claim("U1", contrasts=(part(estimate=0.2),))
    assert "p is below 0.001, so chance is an unlikely explanation." in claim_blocks.reference_reason(
        far, own
    )
    assert "chance" not in claim_blocks.reference_reason(far, claim("U1", contrasts=(part(metric="f1"),)))
    others.append(verdicts(claim("U1", "not measured", reason="It was never trained.")))
    assert "never trained" not in str(claim_blocks.block(own, saved=others).data)
    alone = parsed(claim_blocks.block(own, saved=others[:1]))
    assert "Reference study 1" in [term.get_text() for term in alone.find_all("dt")]


def test_a_reference_study_of_the_same_scores_is_shown_only_with_another_verdict():
    audit = CLAIMS[-1]
    for word, count in (("refuted", 0), ("supported", 1)):
        other = replace(audit, word=word, reason="it is in older words.")
        page = parsed(claim_blocks.block(audit, saved=[verdicts(other)]))
        assert page.get_text().count("Reference study") == count
    assert "✓ Supported. It is in older words." in page.get_text()
