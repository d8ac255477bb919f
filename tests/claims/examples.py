"""Made-up comparisons, claims and verdicts for tests of text, figures and files."""

import numpy as np

from segnb.claims import saved
from segnb.claims.verdicts import RULES, MeasuredContrast, StudyVerdicts, Verdict


def by_id(verdicts: StudyVerdicts) -> dict[str, dict]:
    """Return the claims as in claims.json."""
    return {claim["id"]: claim for claim in saved.as_dict(verdicts)["claims"]}


def total(run) -> np.ndarray:
    """Return the confusion of all test images of a run, (C, C)."""
    return run.test()["confusion"].sum(0)


def part(label: str = "U-Net − U-Net, no skips", metric: str = "", **changes) -> MeasuredContrast:
    """Return a measured comparison."""
    numbers = {
        "words": metric or "mIoU",
        "unit": "points of mIoU",
        "scale": 100,
        "plus": ("UNet_Standard_256",),
        "minus": ("UNet_NoSkip_256",),
        "estimate": 0.031,
        "low": 0.004,
        "high": 0.058,
        "level": 0.975,
        "se": 0.01,
        "dof": 8.0,
        "seeds": 3,
        "by_seed": (0.02, 0.03, 0.043),
        "seed_sd": 0.01,
        "image_se": 0.004,
        "p_for": 0.012,
        "p_against": 0.99,
    }
    return MeasuredContrast(label, metric or "miou", **numbers | changes)


def claim(name: str = "U1", word: str = "supported", **changes) -> Verdict:
    """Return a decided claim."""
    facts = {
        "section": "U-Net: skips",
        "sentence": "Skip connections raise quality.",
        "measured": "Test mIoU with skips minus without.",
        "contrasts": (part(),),
        "reason": "U-Net − U-Net, no skips, mIoU: +3.1 points. The interval lies above zero.",
        "p_for": 0.012,
        "p_against": 0.99,
        "seeds": 3,
        "seeds_needed": 4,
        "power": {"3": 0.5, "5": 0.9, "10": 1.0},
        "command": "segnb claims",
        "decisive": 0,
    }
    return Verdict(name, word=word, **facts | changes)


UNTOLD = {"decisive": None, "contrasts": (), "p_for": None, "p_against": None, "power": {}, "seeds": 0}
MISSING = part("cars alone − all classes", estimate=None, missing="there is no study of cars")
CLAIMS = (
    claim("F1", "refuted"),
    claim("F12", "not measured", **UNTOLD | {"contrasts": (MISSING,)}),
    claim("U1"),
    claim("U7", "inconclusive", kind="≈", margin=0.01, seeds_needed=None, origin="ours"),
    claim("M1", "refuted", kind="audit", origin="ours", **UNTOLD),
)


def verdicts(*claims: Verdict, **changes) -> StudyVerdicts:
    """Return the verdicts of a made-up study on these claims (default: `CLAIMS`)."""
    facts = {
        "study": "quick-streets-00000000",
        "preset": "quick",
        "date": "2026-01-02",
        "data": {
            "name": "streets",
            "origin": "rendered street scenes",
            "digest": "0",
            "counts": {"train": 24, "test": 12},
        },
        "seeds": [0, 1, 2],
        "networks": ["UNet_Standard_256", "UNet_NoSkip_256"],
        "machine": "a processor, fp32",
        "settings": {"name": "quick"},
        "command": "make report PRESET=quick SEEDS=0,1,2",
        "rules": {"sentences": list(RULES.values())},
        "decided": {"3": 2.4, "5": 3.6, "10": 4.0},
        "claims": claims or CLAIMS,
    }
    return StudyVerdicts(**facts | changes)
