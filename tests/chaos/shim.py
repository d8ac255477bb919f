"""A disk that fails: every durable action of this process below one folder is counted, and one of them goes
wrong.

    shim = Shim(project, Fault("torn", number=17, seed=3), report)
    shim.install()

Nothing in segnb knows of it: it stands in for `open`, `os.open`, `os.replace` and their like. It is installed
in a process that is about to be lost, and is never taken out again. What goes through C alone, such as pages
of a memory-mapped array, it does not see; the file they belong to counts as unwritten until it is synced.
"""

import builtins
import errno
import io
import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

ACTIONS = ("open", "write", "sync", "rename", "remove", "mkdir")
GROWING = ("open", "write", "mkdir")  # what a full disk refuses
# What may go wrong, and at which actions.
KINDS = {
    "die_before": ACTIONS,
    "die_after": ACTIONS,
    "torn": ("write",),  # half of the bytes, then death
    "disk_full": GROWING,  # from then on
    "io_error": ("open", "write", "sync", "rename"),  # once
    # What was not synced is gone or cut short, renames and removals in folders that were not synced are
    # undone, each as the seed says: any of them may have reached the disk.
    "power_loss": ACTIONS,
}


class Fault(NamedTuple):
    kind: str  # of KINDS
    number: int  # of the action at which it strikes, from 0
    seed: int = 0  # of what is lost in a power loss


class Pending(NamedTuple):
    """A rename or removal that its folder has not been synced after."""

    path: Path  # whose content it changed
    source: Path | None  # where the new content came from; None for a removal
    before: Path | None  # a link to the old content, None if there was none


class Shim:
    """folder: below which actions count; report: where this process tells how far it came, outside of it"""

    def __init__(self, folder: Path, report: Path, fault: Fault | None = None):
        self.folder, self.report, self.fault = os.path.realpath(folder), report, fault
        self.phase = ""  # what the process says it is doing
        self.actions: list[tuple[str, str, str]] = []  # phase, action, path below the folder
        self.told: dict = {}
        self.full = False
        self.paths: dict[int, str] = {}  # of open files and folders
        self.synced: dict[str, int] = {}  # bytes that are safe, of files with bytes that are not
        self.pending: list[Pending] = []
        self.shadows = Path(f"{report}.shadows")  # links to what a power loss brings back

    # -- what happens at an action ---------------------------------------------------------------------
    def act(self, action: str, path: str, do: Callable, torn: Callable | None = None):
        """Count the action, let the fault strike if it is due, and do it."""
        number = len(self.actions)
        self.actions.append((self.phase, action, os.path.relpath(path, self.folder)))
        kind = self.fault.kind if self.fault and self.fault.number == number else ""
        if kind == "die_before":
            self.die()
        elif kind == "torn":
            torn()
            self.die()
        elif kind == "power_loss":
            self.lose_power()
        elif kind == "disk_full":
            self.full = True
        elif kind == "io_error":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        if self.full and action in GROWING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        done = do()
        if kind == "die_after":
            self.die()
        return done

    def tell(self, **told) -> None:
        """What the process has to say, with what it did, for who started it."""
        self.told |= told
        part = f"{self.report}.part"  # a signal may come in the middle
        with REAL["open"](part, "w") as file:
            json.dump(self.told | {"actions": self.actions}, file)
        REAL["replace"](part, self.report)

    def die(self) -> None:
        """At once: no finally, no atexit, no buffer written."""
        self.tell(struck=self.fault.kind)
        os.kill(os.getpid(), signal.SIGKILL)

    def lose_power(self) -> None:
        draw = random.Random(self.fault.seed)
        for path, safe in self.synced.items():
            if os.path.isfile(path):
                with REAL["open"](path, "r+b") as file:
                    file.truncate(draw.choice([safe, (safe + os.path.getsize(path)) // 2]))
        kept = {}
        for change in reversed(self.pending):  # of one file, the changes up to some point are there
            kept[change.path] = kept.get(change.path, False) or draw.random() < 0.5
            if kept[change.path]:
                continue
            if change.source is not None and change.path.exists():
                if change.source.exists():  # another file has taken that name since, and keeps it
                    REAL["unlink"](change.path)
                else:
                    REAL["replace"](change.path, change.source)
            if change.before is not None:
                REAL["replace"](change.before, change.path)
        self.die()

    # -- keeping track ---------------------------------------------------------------------------------
    def below(self, path, dir_fd: int | None = None) -> str | None:
        """The absolute path if it lies in the folder."""
        if isinstance(path, int):
            return self.paths.get(path)
        path = os.fsdecode(path)
        if dir_fd is not None:
            path = os.path.join(self.paths.get(dir_fd, os.sep), path)
        parent, name = os.path.split(os.path.abspath(path))
        path = os.path.join(os.path.realpath(parent), name)
        return path if path.startswith(self.folder + os.sep) else None

    def written(self, path: str) -> None:
        self.synced.setdefault(path, 0)

    def sync(self, path: str) -> None:
        if os.path.isdir(path):
            self.pending = [change for change in self.pending if str(change.path.parent) != path]
        self.synced.pop(path, None)

    def shadow(self, path: str) -> Path | None:
        """A second name of a file that is about to lose its own, if a power loss may bring it back."""
        if not self.fault or self.fault.kind != "power_loss" or not os.path.isfile(path):
            return None
        self.shadows.mkdir(exist_ok=True)
        link = self.shadows / str(len(self.actions))
        os.link(path, link)
        return link

    # -- what stands in for the real functions -----------------------------------------------------------
    def install(self) -> None:
        builtins.open = io.open = self.open
        os.open, os.close, os.write, os.fsync = self.os_open, self.os_close, self.os_write, self.fsync
        os.replace = os.rename = self.replace
        os.unlink = os.remove = self.unlink
        os.mkdir, os.rmdir = self.mkdir, self.rmdir
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate = self.fallocate
        np.memmap.flush = self.flush_of(np.memmap.flush)

    def open(
        self,
        file,
        mode="r",
        buffering=-1,
        encoding=None,
        errors=None,
        newline=None,
        closefd=True,
        opener=None,
    ):
        writing = set(mode) & set("wax+")
        path = self.below(file) if writing and not opener and not isinstance(file, int) else None
        if path is None:
            return REAL["open"](file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = self.act("open", path, lambda: Raw(self, path, mode.replace("b", "").replace("t", "")))
        if buffering == 0:
            return raw
        # As io.open does: text over a buffer over the file.
        buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding, errors, newline)

    def os_open(self, path, flags, mode=0o777, *, dir_fd=None):
        def do():
            return REAL["os_open"](path, flags, mode, dir_fd=dir_fd)

        below = self.below(path, dir_fd)
        writing = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        handle = self.act("open", below, do) if below and writing else do()
        if below:
            self.paths[handle] = below
        return handle

    def os_close(self, handle):
        self.paths.pop(handle, None)
        return REAL["close"](handle)

    def os_write(self, handle, data):
        path = self.paths.get(handle)
        if path is None:
            return REAL["write"](handle, data)
        self.written(path)
        half = memoryview(data)[: len(data) // 2]
        return self.act(
            "write", path, lambda: REAL["write"](handle, data), lambda: REAL["write"](handle, half)
        )

    def fallocate(self, handle, offset, length):
        path = self.paths.get(handle)
        if path is None:
            return REAL["fallocate"](handle, offset, length)
        return self.act(
            "write",
            path,
            lambda: REAL["fallocate"](handle, offset, length),
            lambda: REAL["fallocate"](handle, offset, length // 2),
        )

    def fsync(self, handle):
        path = self.paths.get(handle)
        if path is None:
            return REAL["fsync"](handle)

        def do():
            REAL["fsync"](handle)
            self.sync(path)

        return self.act("sync", path, do)

    def flush_of(self, flush):
        def flush_array(array):
            path = self.below(array.filename) if array.filename else None
            if path is None:
                return flush(array)

            def do():
                flush(array)
                self.sync(path)

            return self.act("sync", path, do)

        return flush_array

    def replace(self, source, destination, *, src_dir_fd=None, dst_dir_fd=None):
        path = self.below(destination, dst_dir_fd)
        origin = self.below(source, src_dir_fd)
        if path is None or origin is None:
            return REAL["replace"](source, destination, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        def do():
            before = self.shadow(path)
            REAL["replace"](origin, path)
            self.pending.append(Pending(Path(path), Path(origin), before))
            if origin in self.synced:
                self.synced[path] = self.synced.pop(origin)
            else:
                self.synced.pop(path, None)

        return self.act("rename", path, do)

    def unlink(self, path, *, dir_fd=None):
        below = self.below(path, dir_fd)
        if below is None:
            return REAL["unlink"](path, dir_fd=dir_fd)

        def do():
            before = self.shadow(below)
            REAL["unlink"](below)
            self.pending.append(Pending(Path(below), None, before))
            self.synced.pop(below, None)

        if not os.path.lexists(below):
            return REAL["unlink"](below)  # which says so
        return self.act("remove", below, do)

    def mkdir(self, path, mode=0o777, *, dir_fd=None):
        below = self.below(path, dir_fd)

        def do():
            return REAL["mkdir"](path, mode, dir_fd=dir_fd)

        return do() if below is None or os.path.exists(below) else self.act("mkdir", below, do)

    def rmdir(self, path, *, dir_fd=None):
        below = self.below(path, dir_fd)

        def do():
            return REAL["rmdir"](path, dir_fd=dir_fd)

        return do() if below is None else self.act("remove", below, do)


class Raw(io.FileIO):
    """An open file whose writes are counted."""

    def __init__(self, shim: Shim, path: str, mode: str):
        super().__init__(path, mode)
        self.shim, self.path = shim, path
        shim.paths[self.fileno()] = path
        if set(mode) & set("wx+"):
            shim.written(path)

    def write(self, data):
        self.shim.written(self.path)
        bytes_ = memoryview(data).cast("B")
        write = super().write
        return self.shim.act(
            "write", self.path, lambda: write(bytes_), lambda: write(bytes_[: len(bytes_) // 2])
        )

    def close(self):
        if not self.closed:
            self.shim.paths.pop(self.fileno(), None)
        super().close()


REAL = {
    "open": builtins.open,
    "os_open": os.open,
    "close": os.close,
    "write": os.write,
    "fsync": os.fsync,
    "replace": os.replace,
    "unlink": os.unlink,
    "mkdir": os.mkdir,
    "rmdir": os.rmdir,
    "fallocate": getattr(os, "posix_fallocate", None),
}
