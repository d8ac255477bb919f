"""Training of networks, and digests of the code that can change a training or evaluates its result."""

from pathlib import Path

from segnb.storage.checksums import fingerprint

# The loop, the networks and the batches. The registry is not included: a run records the configuration of
# its own network (`segnb.study.create`), so a new network or another label retrains nothing. Data have a
# digest of their own.
TRAINING_CODE = (
    "data/batches.py",
    "metrics/confusion.py",
    "models/attention.py",
    "models/build.py",
    "models/fcn.py",
    "models/unet.py",
    "runtime/machine.py",
    "training/feature_cache.py",
    "training/loop.py",
)
EVALUATION_CODE = "metrics", "evaluation", "data/shifts.py"  # folders and modules


def code_digest(package: Path = Path(__file__).parents[1]) -> str:
    """Return 16 hex digits over the training code, without comments and docstrings."""
    return fingerprint([(package / file).read_text(encoding="utf-8") for file in TRAINING_CODE], [])


def evaluation_digest(package: Path = Path(__file__).parents[1]) -> str:
    """Return 16 hex digits over the code that evaluates a run, without comments and docstrings."""
    places = [package / place for place in EVALUATION_CODE]
    files = [file for place in places for file in sorted(place.rglob("*.py")) or [place]]
    return fingerprint([file.read_text(encoding="utf-8") for file in files], [])
