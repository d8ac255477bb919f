"""Figures of attention gates."""

from segnb.labels import STREET
from segnb.report.figures.gates import attention, class_attention, shifts, worth
from tests.report.figures.made_up import (
    GATED,
    KINDS,
    LONG,
    ONE_WORD,
    STREETS,
    UNET,
    curves,
    gated,
    gates,
    unknown,
    worths,
)

FIGURES = {
    "attention": lambda: attention(dict.fromkeys(["Attention U-Net", UNET[3]], gates(1)), gated),
    "class_attention": lambda: class_attention(gates(13), gated, STREET),
    "shifts": lambda: shifts(curves(UNET[:5], KINDS), STREETS),
    "class gates of long names": lambda: class_attention(gates(13), gated, LONG),
    "class gates of long words": lambda: class_attention(gates(13), gated, ONE_WORD),
    "worth of one": lambda: worth(unknown(worths(UNET[3:4]))),
    "worth of four": lambda: worth(worths(GATED)),
    "shifts of one": lambda: shifts(unknown(curves(["U-Net"], KINDS)), STREETS),
    "shifts of all": lambda: shifts(curves(UNET, KINDS), STREETS),
}
