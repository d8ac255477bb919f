"""Where the project's folders are, and writing a file so that it is whole or not there."""

import ast
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

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


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a file for binary writing that takes its name only once it is complete and on disk.

    An exception, or a kill at any moment, leaves what was at `path` before untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp is private; a shared folder of runs must stay readable
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    with atomic(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Raises SegnbError that names a missing or damaged file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise SegnbError(f"{path} is missing; run 'make report' to make it") from None
    except json.JSONDecodeError as error:
        raise SegnbError(f"{path} is damaged ({error}); delete it and run 'make report' again") from None


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(sources: list[str], versions: list[str]) -> str:
    """16 hex digits of SHA-256 over Python sources, less comments and docstrings, and over `versions`."""
    documented = ast.Module | ast.FunctionDef | ast.ClassDef
    digest = hashlib.sha256()
    for source in sources:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, documented) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        digest.update(ast.unparse(tree).encode() + b"\0")
    for version in versions:
        digest.update(version.encode() + b"\0")
    return digest.hexdigest()[:16]
