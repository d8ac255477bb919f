"""The digest of the training code: the code whose changes can change a run's numbers."""

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
    "models/vgg16.py",
    "runtime/machine.py",
    "training/feature_cache.py",
    "training/loop.py",
)


def code_digest(package: Path = Path(__file__).parents[1]) -> str:
    """Return 16 hex digits over the training code, without comments and docstrings."""
    return fingerprint([(package / file).read_text(encoding="utf-8") for file in TRAINING_CODE], [])
