"""SegnbError, the one exception that a user reads, and errors of the system as such."""

import errno
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# General categories of Unicode that are escaped: line breaks and terminal codes, invisible marks and those
# that change the direction of writing, and half characters, which represent bytes of a file name that are not
# UTF-8.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
FULL = {errno.ENOSPC, errno.EDQUOT}  # error numbers of a full disk
NO_HANDLES = {errno.EMFILE, errno.ENFILE}  # a process, or a machine, has too many open files
REMEDIES = {  # by error number
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "Change its permissions, or set SEGNB_ROOT to a checkout of your own.",
    ),
    **dict.fromkeys(NO_HANDLES, "Allow more open files with 'ulimit -n 1024'."),
    **dict.fromkeys((errno.EIO, errno.ESTALE), "Check the disk."),
    errno.ENAMETOOLONG: "Use a shorter path.",
    errno.EFBIG: "Allow larger files with 'ulimit -f unlimited'.",
    **dict.fromkeys(
        (errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP),
        "Fix the path, or choose another place.",
    ),
}


class SegnbError(Exception):
    """A problem that a user can fix: one line with the file or parameter, what is wrong and what to do.

    It is shown without a traceback, by the command line and below the cell of a notebook that raised it.
    """

    def _render_traceback_(self) -> list[str]:  # called by IPython
        return [str(self)]

    def __str__(self) -> str:
        return one_line(super().__str__())


def one_line(text: str) -> str:
    """Return text that is safe to print: line breaks and terminal codes become \\n, \\x1b …

    File names may contain anything but "/".
    """
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in _UNSEEN else c for c in text)


@contextmanager
def full_disk_told(path: Path | None = None) -> Iterator[None]:
    """Raise SegnbError instead of the system's error if the disk is full.

    Args:
        path: file that is written; None: the file that the system's error names
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            error.filename = error.filename or path and str(path)  # missing for files already open
            raise
        where = path or error.filename or "a file"
        raise SegnbError(
            f"{where}: cannot be written, the disk is full."
            " Free some space, then run the same command to resume."
        ) from None


def refused(error: OSError) -> SegnbError | None:
    """Return a system's error with what a user can do about it; None if that is unknown."""
    name = error.filename2 or error.filename  # the second is the target of a temporary file
    if error.errno not in REMEDIES or not (name or error.errno in NO_HANDLES):
        return None
    where = f"{name}: " if name else ""
    return SegnbError(f"{where}{error.strerror}. {REMEDIES[error.errno]}")
