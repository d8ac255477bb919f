"""The code digest: what trains is what changes training."""

import shutil
from pathlib import Path

import pytest

import segnb
from segnb.storage.checksums import fingerprint
from segnb.training.fingerprint import TRAINING_CODE, code_digest

PACKAGE = Path(segnb.__file__).parent


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of the package whose files a test may change."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "segnb", ignore=shutil.ignore_patterns("__pycache__")))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) >= 1, (file, old)
    file.write_text(text.replace(old, new, 1))


def test_comments_and_docstrings_leave_the_fingerprint_alone_and_code_does_not():
    old, remarked, changed = (
        fingerprint([text], [])
        for text in ('"""Old."""\nx = 1\n', '"""New."""\n# why\nx = 1\n', '"""Old."""\nx = 2\n')
    )
    assert old == remarked != changed


def test_a_network_more_or_another_label_or_colour_retrains_nothing(package):
    registry, before = package / "models" / "registry.py", code_digest(package)
    edit(registry, '"U-Net, no skips"', '"U-Net, without skips"')
    edit(registry, 'colour="#19449c"', 'colour="#000000"')
    edit(
        registry,
        "VARIANTS = _by_name(",
        'VARIANTS = _by_name(\n    Variant("New", "N", "New.", UNetConfig(), "#fff", "o"),',
    )
    assert code_digest(package) == before


@pytest.mark.parametrize("file", TRAINING_CODE)
def test_every_file_of_the_training_code_counts(package, file):
    before = code_digest(package)
    (package / file).write_text((package / file).read_text() + "\nCHANGED = 1\n")
    assert code_digest(package) != before
