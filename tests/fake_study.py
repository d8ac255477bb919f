"""The made-up study of `segnb.made_up`, for tests that need many."""

from unittest.mock import patch

from segnb import made_up
from segnb.made_up import DISTANCES, SKILL
from segnb.study.study import Study

__all__ = ["DISTANCES", "SKILL", "make_study"]


def make_study(*arguments, **options) -> Study:
    """See `made_up.make_study`; nobody will miss these files after a power cut."""
    with patch("os.fsync"):
        return made_up.make_study(*arguments, **options)
