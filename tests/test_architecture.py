"""The shape of the package: imports run one way, reasons for the few that are late, no file too long."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import CHECKOUT

PACKAGE = CHECKOUT / "segnb"
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LATE_IMPORTS, MOST_AT_THE_ROOT, LONGEST = 10, 5, 350


def test_imports_run_down_and_in_no_circle():
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    env = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def late_imports(path: Path) -> Iterator[tuple[int, bool]]:
    """Yield the line of each import inside a function, and whether its reason is given.

    A reason is a comment in the line itself or the one before, or the docstring of the function.
    """
    source = path.read_text()
    lines = source.splitlines()
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            says_why = "import" in (ast.get_docstring(function) or "")
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    near = lines[node.lineno - 2 : node.lineno]
                    yield node.lineno, says_why or any(re.search(r"#.*\w", line) for line in near)


def test_few_imports_are_late_and_each_says_why():
    late = {f"{path}:{line}": why for path in MODULES for line, why in late_imports(path)}
    assert len(late) <= MOST_LATE_IMPORTS, sorted(late)
    assert not [place for place, why in late.items() if not why]


def test_few_modules_are_at_the_root():
    names = [path.name for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]
    assert len(names) <= MOST_AT_THE_ROOT


def test_a_module_can_be_read_in_one_go():
    lengths = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in MODULES}
    assert not {path: lines for path, lines in lengths.items() if lines > LONGEST}


def test_every_module_says_what_it_is():
    texts = {path: path.read_text() for path in MODULES}
    docstrings = {path: ast.get_docstring(ast.parse(text)) or "" for path, text in texts.items() if text}
    assert not [path for path, words in docstrings.items() if not words or words.startswith("TODO")]
