"""Where the project's folders are."""

import os
from pathlib import Path

from segnb.errors import SegnbError


def root() -> Path:
    """The project folder: $SEGNB_ROOT, else the checkout that this module lies in.

    Never the working directory: a notebook may be started from anywhere.
    """
    folder = Path(os.environ.get("SEGNB_ROOT") or Path(__file__).parents[1]).resolve()
    if not (folder / "notebooks").is_dir():
        raise SegnbError(
            f"no notebooks/ in {folder}; install segnb with 'pip install -e .' from its checkout,"
            " or set SEGNB_ROOT to the checkout"
        )
    return folder


def runs_folder() -> Path:
    return root() / "runs"


def cache_folder() -> Path:
    return root() / "cache"


def feature_cache() -> Path:
    """Where features of frozen trunks are kept, see `segnb.features`."""
    return cache_folder() / "features"
