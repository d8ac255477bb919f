"""Where the project's folders are."""

import os
import time
from pathlib import Path

from segnb.errors import SegnbError


def root() -> Path:
    """The project folder: $SEGNB_ROOT, else the checkout that this module lies in.

    Never the working directory: a notebook may be started from anywhere.
    """
    folder = Path(os.environ.get("SEGNB_ROOT") or Path(__file__).parents[2]).resolve()
    if not (folder / "notebooks").is_dir():
        raise SegnbError(
            f"no notebooks/ in {folder}; install segnb with 'pip install -e .' from its checkout,"
            " or set SEGNB_ROOT to the checkout"
        )
    return folder


def share_code(source: Path, folder: Path) -> None:
    """Make `folder` a project that works with another's code, and has runs, cache and report of its own."""
    for name in ("notebooks", "segnb", "profiles", "Snakefile"):
        (folder / name).symlink_to(source / name)


def iso_now() -> str:
    """Local time with its offset from UTC, as ISO 8601 has it: "2026-01-31T23:59:59+0100"."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def runs_folder() -> Path:
    return root() / "runs"


def cache_folder() -> Path:
    return root() / "cache"


def feature_folder() -> Path:
    """Where features of frozen trunks are kept, see `segnb.training.feature_cache`."""
    return cache_folder() / "features"
