"""The registry: properties that all entries have."""

import re

import pytest

from segnb.audit.scores import published
from segnb.errors import SegnbError
from segnb.models.attention import GATES
from segnb.models.fcn import STRIDES
from segnb.models.registry import (
    FAMILIES,
    FCN_STRIDES,
    UNET_BLOCKS,
    UNET_GATES,
    VARIANTS,
    FCNConfig,
    UNetConfig,
    parse_variants,
    variant_named,
)
from segnb.models.unet import BLOCKS

from .base import names

ALL, EXTENSIONS = list(VARIANTS), names(extension=True)
STUDY = names(extension=False)


def test_published_networks_come_first_and_all_have_published_scores():
    assert ALL == STUDY + EXTENSIONS
    assert set(published().index) == set(STUDY)


def test_every_variant_is_told_apart_and_described():
    every = list(VARIANTS.values())
    for field in ("name", "label", "summary", "config"):
        assert len({getattr(variant, field) for variant in every}) == len(every), field
    assert len({(variant.colour, variant.marker, variant.frozen) for variant in every}) == len(every)
    for name, variant in VARIANTS.items():
        assert name == variant.name and name.isidentifier()
        assert variant.summary[0].isupper() and variant.summary.endswith("."), name
        assert re.fullmatch("#[0-9a-f]{6}", variant.colour), name


def test_the_names_of_parts_are_those_of_the_parts():
    assert UNET_BLOCKS == tuple(BLOCKS)
    assert UNET_GATES == tuple(GATES)
    assert FCN_STRIDES == STRIDES


def test_every_network_is_of_a_named_family():
    assert list(dict.fromkeys(variant.family for variant in VARIANTS.values())) == list(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_a_run_of_names_within_the_study(family):
    """Each family is one block in every table."""
    places = [i for i, name in enumerate(STUDY) if VARIANTS[name].family == family]
    assert places == list(range(places[0], places[-1] + 1))


# ---- names from a parameter ------------------------------------------------------------------------------


def test_all_study_and_families_are_parsed():
    assert parse_variants("all") == ALL
    assert parse_variants(" study ") == STUDY
    for family in FAMILIES:
        assert parse_variants(family) == names(family=family)


def test_names_are_parsed_in_any_mixture_each_once_and_in_order():
    assert parse_variants(f"{ALL[-1]}, {ALL[0]},{ALL[-1]},") == [ALL[0], ALL[-1]]
    assert parse_variants(f"{EXTENSIONS[-1]},study") == [*STUDY, EXTENSIONS[-1]]
    assert parse_variants(f"unet,{names(family='unet')[0]}") == names(family="unet")


@pytest.mark.parametrize(
    "text, named", [("fcn,UNet_Standart_256", "'UNet_Standart_256'"), (" , ", "no name")]
)
def test_what_cannot_be_parsed_is_an_error_that_lists_the_choices(text, named):
    choices = ", ".join(["all", "study", *FAMILIES, *ALL])
    with pytest.raises(SegnbError, match=rf"{named} \(expected one or more of {choices}\)$"):
        parse_variants(text)


def test_an_unknown_name_lists_the_choices():
    with pytest.raises(SegnbError, match=rf"unknown variant 'UNet' \(expected one of {', '.join(ALL)}\)$"):
        variant_named("UNet")


# ---- configurations --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"stride": 4}, {"classes": 0}, {"width": 0}])
def test_a_wrong_fcn_is_an_error(wrong):
    with pytest.raises(SegnbError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
        FCNConfig(**wrong)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"block": "dense"}, f"unknown block='dense' .expected one of {', '.join(UNET_BLOCKS)}"),
        ({"gate": "soft"}, f"unknown gate='soft' .expected one of {', '.join(UNET_GATES)}"),
        ({"skip": False, "gate": "additive"}, "without a skip"),
        ({"width": 1}, "width=1"),
        ({"classes": 0}, "classes=0"),
    ],
)
def test_a_wrong_unet_is_an_error(wrong, message):
    with pytest.raises(SegnbError, match=message):
        UNetConfig(**wrong)
