"""The ledger: each claim of the study as data.

To add a claim, add an entry to the claims of a section (`SECTIONS`), list it in `study.toml` at the
sentence that it tests, and show it in a cell of that notebook: `chapter.show_claims("U34")`. A claim consists
of comparisons of networks, each on a metric (`segnb.claims.metrics`); `segnb.claims.decide` decides it. Its
`sentence` is a short form; `study.toml` contains the study's own words in their order.

A new claim joins the claims that are decided together (`Claim.corrected_with`) and changes the level of their
intervals. Other claims can become inconclusive or decided because of it.
"""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from segnb.claims.claim import POINT, Claim, Contrast, secondary
from segnb.claims.ledger.fcn import STRIDE_CLAIMS, TUNING_CLAIMS
from segnb.claims.ledger.gates import GATE_CLAIMS
from segnb.claims.ledger.unet import RESIDUAL_CLAIMS, SKIP_CLAIMS
from segnb.claims.related_studies import DRIVES, INTERLEAVED


@dataclass(frozen=True)
class Sentence:
    """A sentence of the study, word for word, with its place and the ids of the claims that test it.

    note: the reason if no claim tests it
    """

    place: str
    text: str
    claims: tuple[str, ...] = ()
    note: str = ""


_FILE = tomllib.loads(Path(__file__).with_name("study.toml").read_text(encoding="utf-8"))
STUDY = {key: _FILE[key] for key in ("title", "about", "code")}  # the tested study, for citations
SENTENCES = tuple(Sentence(**entry) for entry in _FILE["sentences"])


def complete(claim: Claim, section: str) -> Claim:
    """Return a claim with its section, the study's words and their place, and kind "≈" if it has a margin."""
    sources = [sentence for sentence in SENTENCES if claim.id in sentence.claims]
    places = list(dict.fromkeys(sentence.place for sentence in sources))
    texts = (" ".join(sentence.text for sentence in sources if sentence.place == place) for place in places)
    kind = claim.kind if claim.margin is None else "≈"
    return replace(claim, section=section, kind=kind, quote=" … ".join(texts), place="; ".join(places))


LEAK = tuple(
    Contrast(
        f"{label}, split within drives − by drive", "miou", (f"{INTERLEAVED}:{name}",), (f"{DRIVES}:{name}",)
    )
    for label, name in (
        ("U-Net", "UNet_Standard_256"),
        ("FCN-8s, fine-tuned", "FCN8s_vgg16_finetune"),
        ("FCN-8s, frozen", "FCN8s_vgg16_freeze"),
    )
)
COPY = tuple(
    Contrast(  # at the image size of a U-Net
        f"mask of the most similar training frame, split {word}", "copied", (f"{place}:UNet_Standard_256",)
    )
    for word, place in (("within drives", INTERLEAVED), ("by drive", DRIVES))
)

# `segnb.audit.scores` decides the claims of the audit from the study's own numbers, except M4.
METRIC_CLAIMS = (
    Claim(
        "M1",
        "The reported mIoU is the mean class IoU of the test set.",
        "The difference between each reported score and the mean of the reported class IoUs, compared with"
        " the error of reading bar charts (±0.003).",
        kind="audit",
        origin="ours",
    ),
    Claim(
        "M2",
        "The ranking of the networks survives the correction of the metric.",
        "Kendall's tau-b between the two rankings of the study's networks, and each pair of networks that"
        " changes places in both scores by more than the reading error.",
        kind="audit",
        origin="ours",
    ),
)
SPLIT_CLAIMS = (
    Claim(
        "M3",
        "The study's test frames are new to its networks.",
        "Drives that occur in both training and test. The 5,000 frames of the public set are split by the"
        " rule that fits all 25 frames of the study whose names are known. The rule is inferred; the study"
        " does not state it.",
        kind="audit",
        origin="ours",
    ),
    Claim(
        "M4",
        "A split within drives gives the same scores as a split by drive.",
        "Test mIoU on the same frames of rendered drives: trained on neighbouring frames of these drives"
        " minus trained on as many frames of other drives, within ±1 point. Each network decides. The"
        " score without a network is shown, with the mask of the most similar training frame copied to"
        " each test frame.",
        LEAK + secondary(COPY),
        margin=POINT,
        origin="ours",
    ),
)

SECTIONS = {
    "FCN: strides": STRIDE_CLAIMS,
    "FCN: frozen or fine-tuned": TUNING_CLAIMS,
    "U-Net: skips": SKIP_CLAIMS,
    "U-Net: residual blocks": RESIDUAL_CLAIMS,
    "U-Net: attention gates": GATE_CLAIMS,
    "the metric": METRIC_CLAIMS,
    "the split": SPLIT_CLAIMS,
}
_CLAIMS = [complete(claim, section) for section, claims in SECTIONS.items() for claim in claims]
_CLAIMS.sort(key=lambda claim: ("FUM".index(claim.family), int(claim.id[1:])))
LEDGER: dict[str, Claim] = {claim.id: claim for claim in _CLAIMS}
