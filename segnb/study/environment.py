"""Versions of the installed packages, and how they differ from requirements.lock."""

import functools
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# The checkout of the code that runs; SEGNB_ROOT may name another folder, with runs of its own.
CHECKOUT = Path(__file__).resolve().parents[2]
LOCK = CHECKOUT / "requirements.lock"


@functools.cache
def installed(top: str = "segnb") -> dict[str, str | None]:
    """List a distribution's requirements and all that these require in turn.

    Args:
        top: Name of the distribution, which is not in the list itself. Extras are left out.

    Returns:
        `{name: version}`, sorted by name. The version is None if the package is missing.
    """
    versions: dict[str, str | None] = {}
    queue = [top]
    while queue:
        name = queue.pop()
        if name in versions:
            continue
        try:
            metadata = distribution(name).metadata
        except PackageNotFoundError:
            versions[name] = None
            continue
        versions[name] = metadata["Version"]
        queue += _needed(metadata.get_all("Requires-Dist") or [])
    del versions[top]
    return dict(sorted(versions.items()))


def differs_from_lock(versions: dict[str, str | None], lock: Path = LOCK) -> dict[str, list] | None:
    """Compare `installed` versions with requirements.lock.

    Returns:
        `{name: [version here, version in the lock or None]}` of the packages that differ; None if there is no
        such file.
    """
    if not lock.exists():
        return None
    locked = locked_versions(lock.read_text())
    pairs = {name: [version, locked.get(name)] for name, version in versions.items()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def locked_versions(text: str) -> dict[str, str]:
    """Read `{name: version}` from the lines of requirements.lock that apply to this machine."""
    pins = [
        line.removesuffix("\\") for line in text.splitlines() if line[:1].isalnum()
    ]  # no hash, no comment
    return {name: str(pin.specifier).removeprefix("==") for name, pin in _applicable(pins).items()}


def _needed(requirements: list[str]) -> list[str]:
    """Names of the requirements that apply to this machine; most lines are of extras, and parsing is slow."""
    return list(_applicable([line for line in requirements if "extra" not in line.partition(";")[2]]))


def _applicable(requirements: list[str]) -> dict[str, Requirement]:
    parsed = map(Requirement, requirements)
    return {canonicalize_name(r.name): r for r in parsed if r.marker is None or r.marker.evaluate()}
