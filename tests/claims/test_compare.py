"""Two studies: verdicts that differ, and effects that differ by more than chance."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from segnb.claims import compare
from segnb.errors import SegnbError
from segnb.stats.effect import standard_error
from tests.claims import examples
from tests.claims.examples import claim, part


def test_verdicts_that_differ_are_listed(verdicts, one_seed):
    agree, text = compare.differences(verdicts, verdicts)
    assert agree and "no verdict differs" in text and "differs:" not in text
    agree, text = compare.differences(verdicts, one_seed)
    assert agree and "U1   supported -> inconclusive: Skip connections raise quality." in text
    assert "seeds    differs: [0, 1, 2] and [0]" in text and "data     same" in text
    assert "intervals cover the choice of test images but not the variation between runs" in text


def study(*estimates: float, word: str = "supported", **changes):
    """Return a made-up study with one claim per estimate."""
    claims = [
        claim(f"U{i}", word, contrasts=(part(f"pair {i}", estimate=estimate, **changes),))
        for i, estimate in enumerate(estimates, 1)
    ]
    return examples.verdicts(*claims)


def test_p_of_a_difference_has_the_degrees_of_freedom_of_an_effect():
    a, b = part(estimate=0.1, se=0.3, dof=4.0, seeds=5), part(estimate=1.0, se=0.2, dof=8.0, seeds=9)
    se, dof = standard_error(0.3**2, 4, 0.2**2, 8)
    assert compare.p_of_difference(a, b) == pytest.approx(2 * stats.t.sf(0.9 / se, dof))


def test_three_seeds_that_differ_by_chance_rarely_have_a_small_p():
    """Of two studies of three seeds, one varies four times as much."""
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(0, 1, 3), rng.normal(0, 4, 3)) for _ in range(4000)]
    found = []
    for samples in pairs:
        a, b = (part(estimate=x.mean(), se=stats.sem(x), dof=2.0, seeds=3) for x in samples)
        found.append(compare.p_of_difference(a, b) <= 0.05)
    assert np.mean(found) <= 0.05


def test_studies_agree_unless_an_effect_differs_by_more_than_chance():
    found = compare.agreement(study(0.03, 0.02, 0.01), study(0.04, 0.01, 0.02))
    assert found.agree and found.compared == 3 and str(found).endswith("The studies agree.")
    found = compare.agreement(study(0.03, 0.02, 0.01), study(0.04, 0.01, 0.12))
    assert not found.agree and found.beyond == ["pair 3, mIoU"] and found.confirmed == ["U1", "U2", "U3"]
    assert "1 differs by more than chance: pair 3, mIoU. The studies do not agree." in str(found)


def test_a_claim_that_one_study_supports_and_the_other_refutes_is_a_disagreement():
    found = compare.agreement(study(0.01), study(-0.01, word="refuted"))
    assert not found.agree and found.opposite == ["U1"] and not found.beyond
    assert compare.agreement(study(0.01), study(0.0, word="inconclusive")).agree


def test_what_cannot_be_compared_is_left_out():
    mine = study(0.03, 0.02)
    assert compare.agreement(mine, study(0.5, 0.5, seeds=1)).compared == 0  # variation between runs unknown
    assert compare.agreement(mine, study(0.5, 0.5, low=None, high=None)).compared == 0  # counted
    assert compare.agreement(mine, study(None, 0.02)).both == ["U2"]
    other = replace(mine, claims=(mine.claims[0], replace(mine.claims[1], kind="≈")))
    found = compare.agreement(mine, other)
    assert (found.both, len(found.differently)) == (["U1"], 1)
    assert compare.in_words(found).endswith(" 1 more claim cannot be compared, because the tests differ.")
    assert (
        found.compared == compare.agreement(mine, mine).compared
    )  # another limit leaves the effect the same


def test_chance_alone_rarely_makes_studies_disagree():
    """Without a true difference, at most 5% of pairs of studies have one beyond chance, as BH promises."""
    rng = np.random.default_rng(1)
    pairs = rng.normal(0, 0.01, (300, 2, 12))
    failed = [not compare.agreement(*(study(*half, dof=1e6) for half in pair)).agree for pair in pairs]
    assert np.mean(failed) <= stats.binom.ppf(0.99, 300, 0.05) / 300


def rows(*studies) -> list[list[str]]:
    """Return name, result and numbers of each item of the list that compares the first study with others."""
    item = (
        r"- (.*?): (.*?)\. Of (\d+) verdicts?, it confirms (\d+), leaves (\d+) open and contradicts (.*)\."
        r" Of (\d+) comparisons?, (\w+) differs? by more than chance\."
    )
    items = [line for line in compare.elsewhere(studies[0], studies) if line.startswith("- ")]
    found = [list(re.fullmatch(item, line).groups()) for line in items]
    return [[*cells, f"{beyond.replace('none', '0')} of {count}"] for *cells, count, beyond in found]


def test_other_machines_are_compared_if_preset_and_data_are_the_same():
    mine = study(0.03, 0.02)
    other = replace(study(0.04, 0.01), machine="GPU, fp32")
    counts = ["2", "2", "0", "none", "0 of 2"]
    assert rows(mine, mine, other) == [["GPU, fp32, seeds 0 to 2", "agrees, but shares seeds", *counts]]
    apart = replace(other, seeds=[3, 5, 6])
    assert rows(mine, apart) == [["GPU, fp32, seeds 3, 5 and 6", "agrees", *counts]]
    assert compare.elsewhere(mine, [replace(other, preset="paper"), replace(mine, seeds=[0])]) == []
    differs = replace(study(0.3, 0.2), machine="GPU, fp32")
    assert rows(mine, differs)[0][1:] == ["does not agree, but shares seeds", "2", "2", "0", "none", "2 of 2"]
    ((name, *_),) = rows(mine, replace(other, weights="random"))
    assert name == "GPU, fp32, other backbone weights, seeds 0 to 2"
    earlier = replace(other, data=mine.data | {"digest": "earlier"}, weights="random")
    ((name, *_),) = rows(mine, earlier)
    assert name == "GPU, fp32, other images or settings, other backbone weights, seeds 0 to 2"


def test_other_seeds_of_the_same_machine_are_compared_if_they_share_none():
    mine = study(0.03, 0.02)
    others = [replace(mine, seeds=[2, 3]), replace(mine, seeds=[3, 4, 5])]
    assert rows(mine, mine, *others) == [["Seeds 3 to 5", "agrees", "2", "2", "0", "none", "0 of 2"]]
    assert rows(mine, replace(study(0.3, 0.2), seeds=[4]))[0][1] == "does not agree"


def test_a_study_with_other_tests_of_most_claims_is_left_out():
    mine = study(0.03, 0.02, 0.01)
    changed = [replace(claim, kind="≈") for claim in mine.claims]
    half = replace(mine, claims=(changed[0], *mine.claims[1:]), seeds=[3])
    assert rows(mine, half) == [["Seed 3", "agrees", "2", "2", "0", "none", "0 of 3"]]
    assert compare.elsewhere(mine, [replace(half, claims=(*changed[:2], mine.claims[2]))]) == []


def test_verdicts_that_the_other_study_confirms_leaves_open_or_adds_are_named():
    words = "supported", "refuted", "supported", "inconclusive", "inconclusive", "supported"
    there = "supported", "inconclusive", "refuted", "supported", "inconclusive", "supported"
    pairs = [[claim(f"U{i}", word) for i, word in enumerate(side, 1)] for side in (words, there)]
    for side in pairs:  # the last claim is decided by counting
        side[-1] = replace(side[-1], contrasts=(part(metric="parameters"),))
    found = compare.agreement(*(examples.verdicts(*side) for side in pairs))
    assert found.decided == ["U1", "U2", "U3"] and found.confirmed == ["U1"] and found.open == ["U2"]
    assert found.opposite == ["U3"] and found.gained == ["U4"]
    assert compare.in_words(found, "mine", "this") == (
        "Of the 6 claims that both test alike, mine decides 3 by trained networks. Of these, this confirms 1"
        " and does not decide 1 (U2). It contradicts U3. It decides U4, which mine does not decide."
    )


def test_images_are_the_same_if_their_ground_truth_is_whatever_code_renders_them():
    def of(digest: str, **truth: str):
        return replace(study(0.03), data=examples.verdicts().data | {"digest": digest, "truth": truth})

    mine = of("1", small="a", large="b")
    for same in (of("2", small="a", large="b"), of("2", large="b"), of("1")):
        compare.check_comparable(mine, same)
    for other in (of("2"), of("2", large="a"), of("1", small="b", large="b")):
        with pytest.raises(SegnbError, match="different data or presets .*data images"):
            compare.check_comparable(mine, other)


def test_opposite_verdicts_and_other_effects_on_other_data_are_said():
    photographs = {"name": "camvid", "origin": "the folder camvid", "digest": "1"}
    photographs |= {"counts": {"train": 8, "test": 5}}
    lead = examples.verdicts(claim("F1", "refuted"), claim("U1"))
    other = replace(lead, claims=(claim("F1"), claim("U1", "inconclusive")), data=photographs)
    name = "Photographs (CamVid), 5 test images, seeds 0 to 2"
    turned = "does not agree: some verdicts are reversed"
    assert rows(lead, other, lead) == [[name, turned, "2", "0", "1", "F1", "0 of 1"]]
    assert compare.elsewhere(lead, [replace(other, data=lead.data)]) == []

    names = "F1", "F2", "F3", "F4", "F5", "U1"
    many = replace(lead, claims=tuple(map(claim, names)))
    open_there = replace(other, claims=tuple(claim(name, "inconclusive") for name in names))
    assert rows(many, open_there)[0][1:5] == ["agrees", "6", "0", "6"]
    alike = replace(many, data=photographs)
    assert rows(many, alike)[0][1:5] == ["agrees", "6", "6", "0"]

    far = claim("U1", contrasts=(part(estimate=0.5),))
    tested_differently = claim("F1", contrasts=(part(metric="iou:Car"),))
    fcns = replace(other, claims=(tested_differently, far), networks=["FCN8s_vgg16_freeze"])
    sizes = "does not agree: effects have other sizes"
    fcns_only = "Photographs (CamVid), 5 test images, FCNs only, seeds 0 to 2"
    assert rows(lead, fcns) == [[fcns_only, sizes, "1", "1", "0", "none", "1 of 1"]]
    assert compare.elsewhere(lead, [replace(other, claims=(tested_differently,))]) == []
    listed = compare.differences(lead, replace(other, claims=(tested_differently, claim("U1", "refuted"))))[1]
    assert "F1   refuted -> supported (by different tests): " in listed
    assert "U1   supported -> refuted: " in listed
    turned = replace(other, claims=(claim("F1"), far))
    assert rows(lead, turned)[0][1] == "does not agree: some verdicts are reversed; effects have other sizes"

    smaller = replace(other, claims=(claim("U1", contrasts=(part(estimate=-0.01),)),), networks=lead.networks)
    sized = replace(lead, claims=(far,))
    assert rows(sized, smaller)[0][1] == "does not agree: most effects are smaller"
