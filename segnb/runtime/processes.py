"""Processes that end with their parent, together with all processes that they started.

    python -m segnb.runtime.processes PID MODULE ARGUMENT ...

is `python -m MODULE ARGUMENT ...` that ends with the process PID, which must be its parent. Snakemake, its
steps, and kernels are started in this way.
"""

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

import psutil

STEP = "SEGNB_STEP"  # variable that is set in the steps of a report, to its command if the step was forked
WARM = "SEGNB_WARM"  # variable of the steps of a report with the address of `segnb.runtime.warm`
EVERY = 0.5  # seconds between two checks of the parent


def in_jupyter() -> bool:
    """Return whether a person works with the notebook of this kernel.

    Jupyter's server names the session in the environment of its kernels. papermill and nbclient start kernels
    without it.
    """
    return "JPY_SESSION_NAME" in os.environ


class Terminated(KeyboardInterrupt):
    """SIGTERM as an exception, so that code that cleans up after Ctrl-C also cleans up after SIGTERM."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise Terminated on SIGTERM and KeyboardInterrupt on SIGINT, in the main thread.

    Later signals are ignored, because cleaning up has begun.
    """
    received: list[type[KeyboardInterrupt]] = []

    def interrupt(number: int, frame) -> None:
        for handled in before:
            signal.signal(handled, signal.SIG_IGN)
        received.append(Terminated if number == signal.SIGTERM else KeyboardInterrupt)
        raise received[0]

    # A signal that the parent set to be ignored, as shells do with Ctrl-C for background jobs, stays ignored.
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
        if received:  # native code turned the interrupt into an error of its own
            raise received[0] from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables until the block ends, for this process and the processes it starts."""
    before = dict(os.environ)
    os.environ |= values
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def load(modules: Iterable[str]) -> list[ModuleType]:
    """Import modules and keep the collector of garbage away from them, now and later, because they stay.

    Forked children then do not copy the memory of the modules that they share.
    """
    gc.disable()
    loaded = [import_module(module) for module in modules]
    gc.freeze()
    gc.enable()
    return loaded


def homes(cache: Callable[[], Path]) -> dict[str, str]:
    """Return environment variables that move the libraries' caches if the home folder is not writable.

    Args:
        cache: returns the folder for them

    Returns:
        Values of variables that are not set yet; {} if the home folder is writable.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    with suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
        if os.access(home, os.W_OK):
            return {}
    names = ("MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "TORCH_HOME")
    places = {name: str(cache() / "home" / name.lower()) for name in names if not os.environ.get(name)}
    if "TORCH_HOME" in places and (home / "torch").is_dir():  # with weights that may be readable
        places["TORCH_HOME"] = str(home / "torch")
    return places | {"XDG_CACHE_HOME": str(cache() / "home")}


def end_with_parent(parent: int) -> None:
    """End this process and its descendants when its parent ends, in whatever way, or has ended already.

    Args:
        parent: the parent's pid
    """

    def watch() -> None:
        while os.getppid() == parent:  # not "!= 1": systems differ in which process adopts orphans
            time.sleep(EVERY)
        end_all()

    threading.Thread(target=watch, name="end_with_parent", daemon=True).start()


def end_all() -> None:
    """Kill all descendants of this process, and then this process."""
    kill_below(os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


def stop(process: subprocess.Popen, grace: float) -> None:
    """End a child process and its descendants: SIGTERM, then SIGKILL.

    Args:
        process: the child
        grace: seconds between the two signals; less if only halted processes remain
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
    process.wait()


def _tree(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants; [] if it has ended."""
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    return []


def kill_below(pid: int, tree: Iterable[psutil.Process] = ()) -> None:
    """Kill `tree`, the descendants of a process, and its group if it leads one."""
    for each in [*tree, *_tree(pid)]:
        if each.pid != pid:
            with suppress(psutil.Error):
                each.kill()
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)  # also reaches descendants whose own parent has ended


def _runs(process: psutil.Process) -> bool:
    """Return whether a process has neither ended nor been halted."""
    with suppress(psutil.NoSuchProcess):
        idle = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD, psutil.STATUS_STOPPED)
        return process.is_running() and process.status() not in idle
    return False


def run_forked(arguments: list[str]) -> int | None:
    """Let `segnb.runtime.warm` fork a child that runs `MODULE ARGUMENT ...`, and forward signals to it.

    If a signal ended the child, the same signal ends this process. The request is a line of JSON; the answers
    are the child's pid and, at its end, its status.

    Returns:
        The child's exit code; None if no such process is running.
    """
    warm = socket.socket(socket.AF_UNIX)
    try:
        warm.connect(os.environ[WARM])
    except (KeyError, OSError):
        return None
    request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    answers = warm.makefile()
    try:
        socket.send_fds(warm, [b" "], [0, 1, 2])
        warm.sendall(f"{json.dumps(request)}\n".encode())
        child = int(answers.readline())

        def forward(number: int, frame) -> None:
            with suppress(ProcessLookupError):
                os.kill(child, number)

        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, forward)
        code = os.waitstatus_to_exitcode(int(answers.readline()))
    except KeyboardInterrupt:  # before the child was forked
        return 130
    except (ValueError, OSError):  # no answer: the forking process was killed, together with the child
        code = -signal.SIGKILL
    if code < 0:
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    del sys.argv[:2]  # runpy replaces MODULE by its path
    # Snakemake needs no module of its steps; if nothing is to be done, none has to be loaded.
    if sys.argv[0] != "snakemake" and (code := run_forked(sys.argv)) is not None:
        sys.exit(code)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
