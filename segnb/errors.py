"""The one exception that is meant to be read by a user."""

import errno
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Line breaks and terminal codes; marks that cannot be seen or turn the writing round; half characters, which
# stand for bytes of a file name that are no UTF-8.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # general categories of Unicode
FULL = {errno.ENOSPC, errno.EDQUOT}  # system errors of a full disk
NO_HANDLES = {errno.EMFILE, errno.ENFILE}  # of a process, or a machine, that has too many files open
REMEDIES = {  # by system error
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "change who may read and write it, or work in a checkout of your own (SEGNB_ROOT names it)",
    ),
    **dict.fromkeys(NO_HANDLES, "allow more open files with 'ulimit -n 1024'"),
    **dict.fromkeys((errno.EIO, errno.ESTALE), "check the disk"),
    errno.ENAMETOOLONG: "use a shorter path",
    errno.EFBIG: "allow larger files with 'ulimit -f unlimited'",
    **dict.fromkeys(
        (errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP),
        "mend it, or name another place",
    ),
}


class SegnbError(Exception):
    """A problem the user can mend: one line that names the file or parameter, what is wrong and the remedy.

    It is shown without a traceback: by the command line, and in a notebook under the cell that raised it.
    """

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [str(self)]

    def __str__(self) -> str:
        return one_line(super().__str__())


def one_line(text: str) -> str:
    """The text as it may be printed: what would break the line, or command a terminal, as \\n, \\x1b …

    File names may hold anything but "/".
    """
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in _UNSEEN else c for c in text)


@contextmanager
def full_disk_told(path: Path | None = None) -> Iterator[None]:
    """Raise SegnbError instead of the system's error if the disk has no room.

    Args:
        path: the file that is written; None: the one that the system's error names
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            error.filename = error.filename or path and str(path)  # a file that is open has no name for it
            raise
        raise SegnbError(
            f"{path or error.filename or 'a file'} cannot be written, the disk is full; free some of it and"
            " run the same command again to resume"
        ) from None


def refused(error: OSError) -> SegnbError | None:
    """Say what a user can do about what the system refuses; None if that is not known."""
    if error.errno not in REMEDIES or not (error.filename or error.errno in NO_HANDLES):
        return None
    where = f"{error.filename}: " if error.filename else ""
    return SegnbError(f"{where}{error.strerror}; {REMEDIES[error.errno]}")
