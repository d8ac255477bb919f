"""SHA-256 of files and of source code."""

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
    """Hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Sums:
    """SHA-256 of files, remembered in a JSON file by name, size and time of change, because a data set of
    gigabytes is asked for at the start of every run.

    path: where they are kept; None remembers nothing
    """

    def __init__(self, path: Path | None = None):
        self.path, self.new = path, False
        self.known: dict[str, list] = {}
        if path is not None and path.exists():
            with suppress(OSError, ValueError, TypeError):  # nothing that could not be summed up anew
                self.known = dict(json.loads(path.read_text(encoding="utf-8")))

    def of(self, file: Path) -> str:
        """Hexadecimal SHA-256. Raises SegnbError where the file cannot be read."""
        try:
            state = file.stat()
            key = [state.st_size, state.st_mtime_ns]
            name = os.fsencode(file.absolute()).decode("utf-8", "backslashreplace")
            entry = self.known.get(name)
            if isinstance(entry, list) and entry[:2] == key:
                return entry[2]
            found = sha256(file)
        except OSError as error:
            raise SegnbError(
                f"{file}: cannot be read ({error.strerror}); mend it or remove the pair"
            ) from None
        self.known[name], self.new = [*key, found], True
        return found

    def keep(self) -> None:
        if self.path is not None and self.new:
            with suppress(OSError):  # of a folder that is not ours to write to: they are summed up again
                write_text(self.path, to_json(self.known))


def fingerprint(sources: list[str], versions: list[str]) -> str:
    """16 hex digits of SHA-256 over Python sources, less comments and docstrings, and over `versions`."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(_uncommented(source).encode() + b"\0")
    for version in versions:
        digest.update(version.encode() + b"\0")
    return digest.hexdigest()[:16]


@cache
def _uncommented(source: str) -> str:
    """Return Python source without comments and docstrings."""
    documented = ast.Module | ast.FunctionDef | ast.ClassDef
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


TIMEOUT = 15  # seconds of silence, not of downloading, after which the network counts as absent
BLOCK = 2**20  # bytes per write


def fetch_file(url: str, sha256: str, file: Path) -> None:
    """Download `url` to `file`, which appears only once it is complete and has that SHA-256.

    Args:
        url: http or https address.
        sha256: expected digest, in hexadecimal.
        file: where the file goes; its folder is made.

    Raises:
        SegnbError: if the network or the server fails, the disk refuses, or another file arrives.
    """
    pooch.get_logger().setLevel("WARNING")  # its message repeats ours
    print(f"fetching {url}", flush=True)
    agent = {"User-Agent": f"segnb/{__version__}"}
    downloader = pooch.HTTPDownloader(sys.stderr.isatty(), BLOCK, timeout=TIMEOUT, headers=agent)
    try:
        pooch.retrieve(url, f"sha256:{sha256}", file.name, file.parent, downloader=downloader)
    except ValueError:
        raise SegnbError(f"{url} arrived damaged, or is another file: try again") from None
    except OSError as error:  # also whatever requests raises
        # The one word that helps stands three exceptions deep: "Connection refused", "Name not known".
        reason = getattr(next(iter(error.args), None), "reason", error)
        raise unfetched(file.name, reason, file.parent) from error


def unfetched(name: str, reason: object, folder: Path) -> SegnbError:
    """Make the error for a file that did not arrive and that a person may put into `folder`."""
    place = str(folder).replace(str(Path.home()), "~")  # reports that quote this are passed on
    return SegnbError(f"{name} could not be fetched ({reason}): check the network, or put it into {place}")
