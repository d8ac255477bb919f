"""Stand-in for `segnb.models.registry` and `segnb.models.build` until every import names those two."""

from segnb.models.build import build, parameter_groups
from segnb.models.registry import VARIANTS, Variant, parse_variants, variant_named

__all__ = ["VARIANTS", "Variant", "build", "parameter_groups", "parse_variants", "variant_named"]
