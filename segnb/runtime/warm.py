"""A process that loads torch and other modules once, and forks the steps of a report.

    with started(["torch", "segnb.cli.trained"]):
        ...  # every `python -m segnb.runtime.processes PID MODULE …` but Snakemake starts in milliseconds

Loading the modules takes about five seconds of a core per step, more than a step of a small study computes.
The process loads them when the first step connects, and then forks one child per step. The child gets the
step's arguments, folder, environment and outputs, and ends when the step ends. The step itself remains as a
process that forwards signals and exits with the child's exit code (`segnb.runtime.processes.run_forked`).
Without this process, steps load the modules themselves.
"""

import atexit
import json
import os
import runpy
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from segnb.runtime.processes import EVERY, STEP, WARM, end_all, environment, kill_below, load, stop


@contextmanager
def started(modules: Sequence[str]) -> Iterator[None]:
    """Fork all steps that are started in this block from one process; on Linux only.

    Args:
        modules: names of modules that the process loads when the first step connects
    """
    if not hasattr(os, "pidfd_open"):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="segnb-") as folder, socket.socket(socket.AF_UNIX) as requests:
        requests.bind(address := f"{folder}/warm")
        requests.listen()
        number = requests.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "segnb.runtime.warm", str(os.getpid()), str(number), *modules],
            stdin=subprocess.DEVNULL,
            pass_fds=[number],
            start_new_session=True,  # Ctrl-C does not reach it; it ends with this process
        )
        try:
            with environment({WARM: address}):
                yield
        finally:
            stop(process, 0)


def serve(parent: int, requests: socket.socket, modules: Sequence[str]) -> list[str] | None:
    """Fork one child per request until the parent ends; return its arguments in a child, else None."""
    events = selectors.DefaultSelector()
    events.register(requests, selectors.EVENT_READ)
    steps: dict[int, tuple[int, socket.socket]] = {}  # by the pidfd of the child
    while os.getppid() == parent:
        for key, _ in events.select(EVERY):
            if key.fileobj is not requests:  # a child has ended
                child, step = steps.pop(key.fd)
                events.unregister(key.fd)
                os.close(key.fd)
                with suppress(OSError), step:
                    step.sendall(f"{os.waitpid(child, 0)[1]}\n".encode())
                continue
            load(modules)  # once; later calls cost nothing
            step, _ = requests.accept()
            with suppress(OSError, ValueError):
                _, outputs, *_ = socket.recv_fds(step, 1, 3)
                with step.makefile() as lines:
                    request = json.loads(lines.readline())
                if child := os.fork():
                    steps[handle := os.pidfd_open(child)] = child, step
                    events.register(handle, selectors.EVENT_READ)
                    for output in outputs:
                        os.close(output)
                    step.sendall(f"{child}\n".encode())
                    continue
                events.close()
                for handle, (_, other) in steps.items():
                    os.close(handle)
                    other.close()
                requests.close()
                return _become(step, outputs, request)
            step.close()
    return None


def _become(step: socket.socket, outputs: list[int], request: dict) -> list[str]:
    """Take over a step's folder, environment and outputs, end when it ends, and return its arguments."""
    for place, output in enumerate(outputs):
        os.dup2(output, place)
        os.close(output)
    # Python chose encoding and buffering for the outputs that this process had at its start.
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"] | {STEP: " ".join(request["arguments"])})

    def watch() -> None:
        step.recv(1)  # nothing is ever sent, so it returns when the step ends
        end_all()

    threading.Thread(target=watch, name="end_with_step", daemon=True).start()
    return request["arguments"]


def _leave(code: object) -> NoReturn:
    """Exit like `sys.exit(code)`, without unloading all modules, which takes a second."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # waits for threads, as Python does
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(int(code or 0))


if __name__ == "__main__":
    arguments = serve(int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])), sys.argv[3:])
    if arguments is None:
        kill_below(os.getpid())
        sys.exit()
    sys.argv[:] = arguments
    code: object = 0
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    _leave(code)
