"""The packages that are installed, beside those that requirements.lock names."""

import functools
import hashlib
from pathlib import Path

from segnb.files import sha256

# The checkout of the code that runs; SEGNB_ROOT may name another folder, with runs of its own.
CHECKOUT = Path(__file__).resolve().parents[1]
LOCK = CHECKOUT / "requirements.lock"


@functools.cache
def installed(top: str = "segnb") -> dict[str, tuple[str | None, str | None]]:
    """{name: (version, SHA-256)} of a distribution and all that it needs here, extras left out, by name.

    The SHA-256 is that of the lines of its RECORD file that come with the wheel, sorted: the hashes of its
    files. Scripts, which name the interpreter's path, and what an installer adds are left out, so that one
    wheel has one SHA-256 everywhere. (None, None): needed and not installed; it does not run then.
    """
    from email.parser import HeaderParser
    from importlib.metadata import PackageNotFoundError, distribution

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, tuple[str | None, str | None]] = {}
    queue = [top]
    while queue:
        name = queue.pop()
        if name in found:
            continue
        try:
            package = distribution(name)
        except PackageNotFoundError:
            found[name] = None, None
            continue
        # `package.metadata` parses all of the description too, each time that it is asked for. In a checkout
        # its own .egg-info is found first, where the same is in PKG-INFO.
        text = package.read_text("METADATA") or package.read_text("PKG-INFO") or ""
        about = HeaderParser().parsestr(text.partition("\n\n")[0])
        found[name] = about["Version"], _digest(package.read_text("RECORD"))
        for line in about.get_all("Requires-Dist") or ():
            if "extra" in line.partition(";")[2]:  # most lines; what nobody asked for is not worth parsing
                continue
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate():
                queue.append(canonicalize_name(needed.name))
    found.pop(top)  # whose code the commit tells
    return dict(sorted(found.items()))


def _digest(record: str | None) -> str | None:
    if record is None:  # as of packages that another installer than pip brought
        return None
    added = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")
    kept = []
    for line in record.splitlines():
        path = line.rsplit(",", 2)[0]
        if not (path.startswith("..") or path.endswith(".pyc") or path.endswith(added)):
            kept.append(line)
    return hashlib.sha256("\n".join(sorted(kept)).encode()).hexdigest()


def against_lock(packages: dict[str, str | None], lock: Path = LOCK) -> dict | None:
    """How the packages here agree with requirements.lock; None where there is no such file.

    sha256:  of the file
    differs: {name: [version here, version in the lock or None]}; {} if every package is as locked
    """
    if not lock.exists():
        return None
    wanted = locked(lock.read_text())
    pairs = {name: [version, wanted.get(name)] for name, version in packages.items()}
    return {
        "sha256": sha256(lock),
        "differs": {name: pair for name, pair in pairs.items() if pair[0] != pair[1]},
    }


def locked(text: str) -> dict[str, str]:
    """{name: version} of the lines of requirements.lock that hold on this machine."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found = {}
    for line in text.splitlines():
        if line[:1].isalnum():  # neither a hash nor a comment
            pin = Requirement(line.removesuffix("\\"))
            if pin.marker is None or pin.marker.evaluate():
                found[canonicalize_name(pin.name)] = str(pin.specifier).removeprefix("==")
    return found
