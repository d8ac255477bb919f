"""The folders of the project, and in this package its files."""

import os
import time
from pathlib import Path

from segnb.errors import SegnbError


def root() -> Path:
    """Return the project folder: $SEGNB_ROOT, or else the checkout that contains this module.

    The working directory does not matter, because a notebook can be started from anywhere.
    """
    folder = Path(os.environ.get("SEGNB_ROOT") or Path(__file__).parents[2]).resolve()
    if not (folder / "notebooks").is_dir():
        raise SegnbError(
            f"{folder}: not a checkout of segnb (expected a folder notebooks/). Install segnb with"
            " 'pip install -e .' from its checkout, or set SEGNB_ROOT to the checkout."
        )
    return folder


def share_code(source: Path, folder: Path) -> None:
    """Make `folder` a project with the code of another one, and its own runs, cache and report."""
    for name in ("notebooks", "segnb", "profiles", "Snakefile"):
        (folder / name).symlink_to(source / name)


def iso_now() -> str:
    """Return the local time with its offset from UTC, in ISO 8601: "2026-01-31T23:59:59+0100"."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def runs_folder() -> Path:
    """Return the folder of studies and their runs."""
    return root() / "runs"


def cache_folder() -> Path:
    """Return the folder of arrays, features and other files that can be computed again."""
    return root() / "cache"


def feature_folder() -> Path:
    """Return the folder of features of frozen backbones, see `segnb.training.feature_cache`."""
    return cache_folder() / "features"
