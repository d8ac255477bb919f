"""SHA-256 of files and source code, and downloads that are checked by it."""

import ast
import hashlib
import json
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import pooch

from segnb import __version__
from segnb.errors import SegnbError
from segnb.storage.files import to_json, write_text


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Sums:
    """SHA-256 of files, cached in a JSON file by path, size and time of change.

    Every run starts by checking a data set of up to gigabytes.

    Args:
        path: the JSON file; None: no cache on disk
    """

    def __init__(self, path: Path | None = None):
        self.path, self.new = path, False
        self.known: dict[str, list] = {}
        if path is not None and path.exists():
            with suppress(OSError, ValueError, TypeError):  # an unreadable cache is computed again
                self.known = dict(json.loads(path.read_text(encoding="utf-8")))

    def of(self, file: Path) -> str:
        """Return the hexadecimal SHA-256 of a file, or raise SegnbError if it cannot be read."""
        try:
            state = file.stat()
            key = [state.st_size, state.st_mtime_ns]
            name = os.fsencode(file.absolute()).decode("utf-8", "backslashreplace")
            entry = self.known.get(name)
            if isinstance(entry, list) and entry[:2] == key:
                return entry[2]
            digest = sha256(file)
        except OSError as error:
            raise SegnbError(
                f"{file}: cannot be read ({error.strerror}). Fix the file, or remove the image and its mask."
            ) from None
        self.known[name], self.new = [*key, digest], True
        return digest

    def keep(self) -> None:
        """Write the cache to disk if it has new entries."""
        if self.path is not None and self.new:
            with suppress(OSError):  # the folder is not writable: later runs compute them again
                write_text(self.path, to_json(self.known))


def fingerprint(sources: list[str], versions: list[str]) -> str:
    """Return 16 hex digits of SHA-256 over versions and Python sources without comments and docstrings."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(_code(source).encode() + b"\0")
    for version in versions:
        digest.update(version.encode() + b"\0")
    return digest.hexdigest()[:16]


@cache
def _code(source: str) -> str:
    """Return Python source as text that depends on no comment, docstring, format or version of Python."""
    documented = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ascii(_plain(tree))


def _plain(node: object) -> object:
    """Return a syntax tree as tuples of names and fields, without fields that only some versions have."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, ast.AST):
        return node
    fields = {name: value for name, value in ast.iter_fields(node) if name not in ("ctx", "kind")}
    if isinstance(node, ast.JoinedStr):  # text by character: versions divide that of f-strings differently
        parts = [part.value if isinstance(part, ast.Constant) else [part] for part in node.values]
        fields["values"] = [item for part in parts for item in part]
    # A new version's fields are empty in older code. An empty `value`, as of a constant, is not left out.
    return type(node).__name__, *((k, _plain(v)) for k, v in fields.items() if v or k == "value")


TIMEOUT = 15  # seconds without any data, after which the network counts as absent


def fetch_file(url: str, sha256: str, file: Path) -> None:
    """Download `url` to `file`, which appears only once it is complete and has the expected SHA-256.

    Args:
        url: http or https address
        sha256: expected digest, hexadecimal
        file: destination; its folder is created

    Raises:
        SegnbError: the network or the server fails, the disk is not writable, or a different file arrives.
    """
    pooch.get_logger().setLevel("WARNING")  # its message repeats ours
    print(f"downloading {url}", flush=True)
    agent = {"User-Agent": f"segnb/{__version__}"}
    downloader = pooch.HTTPDownloader(sys.stderr.isatty(), chunk_size=2**20, timeout=TIMEOUT, headers=agent)
    try:
        pooch.retrieve(url, f"sha256:{sha256}", file.name, file.parent, downloader=downloader)
    except ValueError:
        raise SegnbError(
            f"{url}: the download is damaged or a different file (its SHA-256 differs). Try again."
        ) from None
    except OSError as error:  # includes the exceptions of requests
        # The useful words, such as "Connection refused", are three exceptions deep.
        reason = getattr(next(iter(error.args), None), "reason", error)
        raise unfetched(file.name, reason, file.parent) from error


def unfetched(name: str, reason: object, folder: Path) -> SegnbError:
    """Make the error for a failed download of a file that a user can put into `folder` by hand."""
    place = str(folder).replace(str(Path.home()), "~")  # no user name, because reports quote this
    return SegnbError(
        f"{name}: could not be downloaded ({reason}). Check the network, or put it into {place}."
    )
