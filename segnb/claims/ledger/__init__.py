"""The ledger: each claim of the study as data.

To add a claim, add an entry to `FCN_CLAIMS`, `SKIP_CLAIMS` or `GATE_CLAIMS`, name it in `study.toml` at the
sentence that it tests, and show it in a cell of that notebook: `chapter.show_claims("U34")`. A claim has
contrasts of networks, each in a metric (`segnb.claims.metrics`); `segnb.claims.decide` decides it. Its
`sentence` is a short form; the study's own words are in `study.toml`, in the study's order.

Each entry adds one to the claims that are decided together (`Claim.corrected_with`). The level of their
intervals changes with it, so that another claim can become inconclusive, or be decided.
"""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from segnb.claims.claim import POINT, Claim, Contrast, shown
from segnb.claims.ledger.fcn import FCN_CLAIMS
from segnb.claims.ledger.gates import GATE_CLAIMS
from segnb.claims.ledger.unet import SKIP_CLAIMS
from segnb.claims.related_studies import DRIVES, INTERLEAVED


@dataclass(frozen=True)
class Sentence:
    """A sentence of the study, word for word, where it stands, and the ids of the claims that test it.

    note: why no claim does
    """

    place: str
    text: str
    claims: tuple[str, ...] = ()
    note: str = ""


_FILE = tomllib.loads(Path(__file__).with_name("study.toml").read_text(encoding="utf-8"))
STUDY = {key: _FILE[key] for key in ("title", "about", "code")}  # what is tested, for citations
SENTENCES = tuple(Sentence(**entry) for entry in _FILE["sentences"])


def quoted(claim: Claim) -> Claim:
    """Give a claim the study's words and their place."""
    own = [sentence for sentence in SENTENCES if claim.id in sentence.claims]
    places = list(dict.fromkeys(sentence.place for sentence in own))
    texts = (" ".join(one.text for one in own if one.place == place) for place in places)
    return replace(claim, quote=" … ".join(texts), place="; ".join(places))


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
    Contrast(
        f"copying the mask of the most alike training frame, split {word}", "copied", (f"{place}:{name}",)
    )
    for word, place in (("within drives", INTERLEAVED), ("by drive", DRIVES))
    for name in ("UNet_Standard_256",)  # of its size
)

# The audit of the study's own numbers decides these, see `segnb.audit.scores`; but for M4.
AUDIT_CLAIMS = (
    Claim(
        "M1",
        "the metric",
        "The reported mIoU is the mean class IoU of the test set.",
        "The reported scores against the means of the reported class IoUs, beyond the error of reading"
        " them off bar charts.",
        kind="audit",
        origin="ours",
    ),
    Claim(
        "M2",
        "the metric",
        "The ranking of the networks survives the correction of the metric.",
        "Kendall's tau-b between the two rankings of the study's networks, and each pair that swaps beyond"
        " the reading error in both scores.",
        kind="audit",
        origin="ours",
    ),
    Claim(
        "M3",
        "the split",
        "The study's test frames are new to its networks.",
        "The drives of the public set's 5,000 frames, split by the rule that fits all 25 frames of the study"
        " whose names are known: which drives are on both sides. The rule is inferred, not the study's word.",
        kind="audit",
        origin="ours",
    ),
    Claim(
        "M4",
        "the split",
        "A split within drives scores as a split by drive does.",
        "Test mIoU on the same frames of rendered drives, trained on frames between them minus trained on as"
        " many frames of other drives, within 1 point; each network decides. What copying masks would score"
        " is shown: for each test frame the mask of the training frame that looks most alike.",
        LEAK + shown(COPY),
        kind="≈",
        margin=POINT,
        origin="ours",
    ),
)

UNET_CLAIMS = sorted(SKIP_CLAIMS + GATE_CLAIMS, key=lambda claim: int(claim.id[1:]))
LEDGER: dict[str, Claim] = {claim.id: quoted(claim) for claim in (*FCN_CLAIMS, *UNET_CLAIMS, *AUDIT_CLAIMS)}
