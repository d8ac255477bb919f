"""The code digest covers exactly the code that can change a run's numbers."""

import ast
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import segnb
from segnb.storage import checksums
from segnb.storage.checksums import fingerprint
from segnb.training import EVALUATION_CODE, TRAINING_CODE, code_digest, evaluation_digest

PACKAGE = Path(segnb.__file__).parent

# Modules that training imports and the digest leaves out, with the reason why they cannot change numbers
# unnoticed.
EXEMPT = {
    "errors.py": "sentences",
    "labels.py": "names and colours; the classes of a study are part of its identity",
    "models/pretrained.py": "the SHA-256 of the weights is part of a study's identity",
    "models/registry.py": "a run records the configuration of its own network",
    "presets.py": "the recipe is part of a study's identity",
    "storage/checksums.py": "reads files and computes digests",
    "storage/files.py": "gives back the bytes that it was given",
    "storage/__init__.py": "names of folders",
    "storage/run_folder.py": "gives back the numbers that it was given",
    "training/checkpoint.py": "gives back the weights that it was given, which their SHA-256 checks",
    "training/__init__.py": "the digest itself",
}


def file_of(module: str) -> Path | None:
    """Return the file of a module of the package; None for any other name."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    found = [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()]
    return found[0] if found and module.startswith("segnb.") else None


def imported(module: str) -> set[str]:
    """Return the modules of the package that a module imports at import time."""
    names = set()
    for node in ast.parse(file_of(module).read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if file_of(name)}


def loop_imports() -> set[str]:
    """Return the files that training imports, directly or not, such as "models/unet.py"; no empty ones."""
    # `build` makes the networks for the loop.
    known, new = set(), {"segnb.training.loop", "segnb.models.build"}
    while new:
        known |= new
        new = {name for module in new for name in imported(module)} - known
    return {str(file.relative_to(PACKAGE)) for file in map(file_of, known) if file.read_text().strip()}


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of the package, whose files a test may change."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "segnb", ignore=shutil.ignore_patterns("__pycache__")))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) >= 1, (file, old)
    file.write_text(text.replace(old, new, 1))


SOURCE = '''"""Old."""
from os import path as p
def f(a, b=1, *, c: int = 2.0, **rest) -> None:
    "Old."
    return a.b(c=None, d=b"d", e=f"x{a + b!r:>{c}.{b}}y" "z")[1:, *rest]
async def g():
    "Old."
class C(f, metaclass=g):
    """Old."""
    global x
    x = -1 if not True else 0
    match x:
        case None: {**x, "é": lambda: (yield)}
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Old.", "New."),
        ('    "Old."\nclass', "    pass\nclass"),
        ("return", "return (  # why\n   "),
        ("(c=None", "(\n\n        c = (None)"),
        ('b"d"', "b'\\x64'"),
        ('y" "z"', 'yz"'),
        ('y" "z"', 'y" f"" u"" f"z"'),
        ("é", "\\u00e9"),
    ],
)
def test_comments_docstrings_and_format_leave_the_fingerprint_alone(old, new):
    changed = SOURCE.replace(old, new)
    changed = changed.replace("*rest]", "*rest])") if "# why" in new else changed
    assert changed != SOURCE and fingerprint([changed], []) == fingerprint([SOURCE], [])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a, b=1", "b=1, a=1"),
        ("b=1", "b=True"),
        ("b=1", "b=1.0"),
        ("b=1", "b"),
        ("2.0", "2"),
        ("c: int", "c"),
        ("*, c", "c"),
        ("**rest", "**more"),
        (" -> None", ""),
        ("as p", "as q"),
        ("from os", "from .os"),
        ("return a", "return b"),
        ("return a", "a"),
        ("a.b", "a.c"),
        ('c=None, d=b"d"', 'd=b"d", c=None'),
        ("c=None", "c=0"),
        ("c=None", "c=''"),
        ('b"d"', '"d"'),
        ('f"x{', '"x{'),
        ("x{a", "{a"),
        ("x{a", "{x}{a"),
        ("a + b", "a - b"),
        ("!r", "!s"),
        ("!r", ""),
        (":>{", ":<{"),
        (".{b}", ""),
        ("yz", "yz "),
        ("[1:", "[:1"),
        ("async ", ""),
        ("metaclass=g", "g"),
        ("global", "nonlocal"),
        ("-1", "+1"),
        ("True", "1"),
        ("else 0", "else False"),
        ("case None", "case False"),
        ("**x, ", "x: x, "),
        ("é", "e"),
        ("(yield)", "(yield 0)"),
        ('    """Old."""\n    global', '    """Old."""\n    """Old."""\n    global'),
    ],
)
def test_every_change_of_code_changes_the_fingerprint(old, new):
    source = SOURCE.replace('y" "z', "yz")
    changed = source.replace(old, new, 1)
    assert changed != source and fingerprint([changed], []) != fingerprint([source], [])


def test_every_version_of_python_gives_the_same_fingerprint():
    places = [shutil.which(f"python3.{minor}") for minor in range(11, 20)]
    places += Path("~/.pyenv/versions").expanduser().glob("*/bin/python")
    parts = checksums.fingerprint, checksums._code, checksums._plain
    script = "import ast, hashlib, json, sys\nfrom functools import cache\n"
    script += "".join(inspect.getsource(part) for part in parts)
    script += "print(*sys.version_info[:2], *(fingerprint([text], []) for text in json.load(sys.stdin)))"
    files = sorted(PACKAGE.rglob("*.py"))
    texts = [SOURCE, SOURCE.replace("é", "\U0001fae8"), 'f"{x:}{x = }{{}}\\N{EN DASH}"']
    texts += [file.read_text(encoding="utf-8") for file in files]
    versions = {sys.version_info[:2]: [fingerprint([text], []) for text in texts]}
    for place in filter(None, places):
        done = subprocess.run([place, "-c", script], input=json.dumps(texts), capture_output=True, text=True)
        if done.returncode == 0:  # neither older than 3.11 nor a name without a version behind it
            major, minor, *digests = done.stdout.split()
            versions[int(major), int(minor)] = digests
    if len(versions) == 1:
        pytest.skip("this machine has only one version of Python from 3.11")
    assert len({*map(tuple, versions.values())}) == 1, list(versions)


def test_a_network_more_or_another_label_or_colour_retrains_nothing(package):
    registry, before = package / "models" / "registry.py", code_digest(package)
    edit(registry, '"U-Net, no skips"', '"U-Net, without skips"')
    edit(registry, 'colour="#19449c"', 'colour="#000000"')
    edit(
        registry,
        "_NETWORKS = (",
        '_NETWORKS = (\n    Variant("New", "N", "New.", UNetConfig(), "#fff", "o"),',
    )
    assert code_digest(package) == before


def test_every_file_of_the_training_code_counts(package):
    digests = {code_digest(package)}
    for count, file in enumerate(TRAINING_CODE, start=2):
        (package / file).write_text((package / file).read_text() + "\nCHANGED = 1\n")
        digests.add(code_digest(package))
        assert len(digests) == count, file


def test_whatever_the_loop_imports_is_training_code_or_exempt_for_a_reason():
    """A new module that training imports must be in TRAINING_CODE or in EXEMPT."""
    assert loop_imports() == {*TRAINING_CODE, *EXEMPT}
    assert not set(TRAINING_CODE) & set(EXEMPT) and all(EXEMPT.values())


@pytest.mark.parametrize("room", EVALUATION_CODE)
def test_a_change_of_any_evaluating_code_changes_its_digest_and_a_comment_does_not(package, room):
    before = evaluation_digest(package)
    assert before == evaluation_digest() and len(before) == 16
    file = (sorted((package / room).rglob("*.py")) or [package / room])[-1]
    text = file.read_text()
    file.write_text(f"# A comment.\n{text}")
    assert evaluation_digest(package) == before
    file.write_text(f"{text}\nVALUE = 1\n")
    assert evaluation_digest(package) != before
