"""Processes that end with the process that started them, and take along what they started themselves.

    python -m segnb.runtime.processes PID MODULE ARGUMENT ...

is `python -m MODULE ARGUMENT ...` that ends with the process PID, which must be its parent. Snakemake, the
steps that it starts, and kernels run in this way.
"""

import json
import os
import resource
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

STEP = "SEGNB_STEP"  # is set in the environment of the steps of a report; which one, if it was forked
WARM = "SEGNB_WARM"  # the address of `segnb.runtime.warm`, for the steps of a report
EVERY = 0.5  # seconds between two looks at who the parent is


class Terminated(KeyboardInterrupt):
    """SIGTERM as an exception: whatever cleans up after Ctrl-C cleans up after it too."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise Terminated on SIGTERM and KeyboardInterrupt on SIGINT; for the main thread.

    Signals after the first one are ignored, because cleaning up has begun.
    """
    received: list[type[KeyboardInterrupt]] = []

    def interrupt(number: int, frame) -> None:
        for handled in before:
            signal.signal(handled, signal.SIG_IGN)
        received.append(Terminated if number == signal.SIGTERM else KeyboardInterrupt)
        raise received[0]

    # A signal that is ignored from outside, as Ctrl-C is in what a script starts in the background, stays so.
    before = {
        number: handler
        for number in (signal.SIGTERM, signal.SIGINT)
        if (handler := signal.getsignal(number)) != signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    except Exception:
        if received:  # native code that the signal passed through has made an error of its own of it
            raise received[0] from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment until the block ends, for this process and those it starts."""
    before = dict(os.environ)
    os.environ |= values
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def homes(cache: Callable[[], Path]) -> dict[str, str]:
    """Name places for what libraries keep in the user's home folder, where that cannot be written.

    Args:
        cache: gives the folder that they are to be in

    Returns:
        Variables of the environment, less those that are set already; {} where there is a home.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    with suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
        if os.access(home, os.W_OK):
            return {}
    names = ("MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "TORCH_HOME")
    places = {name: str(cache() / "home" / name.lower()) for name in names if not os.environ.get(name)}
    if "TORCH_HOME" in places and (home / "torch").is_dir():  # weights that can be read
        places["TORCH_HOME"] = str(home / "torch")
    return places | {"XDG_CACHE_HOME": str(cache() / "home")}


def end_with_parent(parent: int | None = None) -> None:
    """End this process, and all below it, when its parent ends, however that happens.

    Args:
        parent: the parent's pid, where it is known: then a parent that ended before this call is noticed too
    """
    parent = parent or os.getppid()

    def watch() -> None:
        while os.getppid() == parent:  # not a look for pid 1: who adopts orphans differs
            time.sleep(EVERY)
        kill_below(os.getpid())
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="end_with_parent", daemon=True).start()


def stop(process: subprocess.Popen, grace: float) -> int:
    """End a child process and all below it: SIGTERM, then SIGKILL for what is left.

    Args:
        process: the child
        grace: seconds between the two, less if nothing but halted processes is left

    Returns:
        The child's exit code, negative for a signal.
    """
    tree = _tree(process.pid) if process.poll() is None else []
    for each in tree:
        with suppress(psutil.Error):
            each.terminate()
    until = time.monotonic() + grace
    while any(map(_runs, tree)) and time.monotonic() < until:
        time.sleep(0.05)
    kill_below(process.pid, tree)
    process.kill()
    return process.wait()


def _tree(pid: int) -> list[psutil.Process]:
    """A process and its descendants; [] if it has ended."""
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    return []


def kill_below(pid: int, tree: Iterable[psutil.Process] = ()) -> None:
    """SIGKILL to `tree` and to all below a process, and to its group if it leads one."""
    for each in [*tree, *_tree(pid)]:
        if each.pid != pid:
            with suppress(psutil.Error):
                each.kill()
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)  # also reaches processes whose own parent is gone


def _runs(process: psutil.Process) -> bool:
    """Whether a process has neither ended nor been halted."""
    with suppress(psutil.NoSuchProcess):
        idle = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD, psutil.STATUS_STOPPED)
        return process.is_running() and process.status() not in idle
    return False


def received(sender: socket.socket, size: int) -> bytes:
    """Return the next `size` bytes. Raises EOFError if the other side is gone before."""
    data = b""
    while len(data) < size:
        if not (more := sender.recv(size - len(data))):
            raise EOFError
        data += more
    return data


def run_forked(arguments: list[str]) -> int | None:
    """Let `segnb.runtime.warm` fork a child that runs `MODULE ARGUMENT ...`, and pass signals on to it.

    Returns:
        The child's exit code; None if there is no such process. Ends by the signal that ended the child.
    """
    warm = socket.socket(socket.AF_UNIX)
    try:
        warm.connect(os.environ[WARM])
    except (KeyError, OSError):
        return None
    umask = os.umask(0)
    os.umask(umask)
    request = {
        "arguments": arguments,
        "folder": os.getcwd(),
        "umask": umask,
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "environment": dict(os.environ),
    }
    data = json.dumps(request).encode()
    try:
        socket.send_fds(warm, [len(data).to_bytes(8)], [0, 1, 2])
        warm.sendall(data)
        child = int.from_bytes(received(warm, 8))

        def pass_on(number: int, frame) -> None:
            with suppress(ProcessLookupError):
                os.kill(child, number)

        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, pass_on)
        code = os.waitstatus_to_exitcode(int.from_bytes(received(warm, 8)))
    except KeyboardInterrupt:  # before there was a child
        return 130
    except (EOFError, OSError):  # the process that forks was killed, and with it the child
        code = -signal.SIGKILL
    if code < 0:
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    del sys.argv[:2]  # MODULE stands for the program's name, until runpy puts its path there
    if (code := run_forked(sys.argv)) is not None:
        sys.exit(code)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
