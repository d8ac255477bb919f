"""A notebook executed as a step of the study: parameters checked, whole or not there, failures in one line.

    segnb run NOTEBOOK OUT (-f FILE | -y YAML) [--log LOG] [--time-limit MINUTES]

| exit code | what happened |
|---|---|
| 0 | OUT is there |
| 1 | the notebook or a parameter is wrong, and nothing was started; or OUT cannot be written |
| 3 | a cell raised an exception |
| 4 | out of memory |
| 5 | the kernel died |
| 6 | out of time, see --time-limit |
| 7 | the kernel did not start |
| 130, 143 | stopped by SIGINT, by SIGTERM |

Papermill does the work. The kernel is this very Python, whichever kernels are installed, and is reached
through Unix sockets, so that kernels side by side never meet at a port. It ends when this process does.
"""

import ast
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import nbformat
import papermill
import yaml
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from papermill.exceptions import PapermillExecutionError, strip_color

from segnb import params
from segnb.errors import SegnbError, one_line
from segnb.files import atomic, held, holder
from segnb.machine import ALLOCATOR
from segnb.processes import started_by, stop

CELL, MEMORY, DEATH, TIME, START = 3, 4, 5, 6, 7  # exit codes
START_SECONDS = 120  # until a kernel answers; one imports little, but perhaps from a busy network disk
OUTPUT_SECONDS = 60  # until the last output of a cell has come
GRACE = 3  # seconds for a kernel that is stopped
SETTLING = 60  # seconds in which a folder of sockets may not be locked yet
TAIL = 10  # lines of the log that are shown
SOCKET_PATH = 75  # bytes of the temporary folder's; a socket's whole path may have 103 (macOS) or 107
# How Python, NumPy and torch, on CPUs and GPUs, say that there is no memory left.
NO_MEMORY = re.compile(
    r"MemoryError|OutOfMemoryError|out of memory|can't allocate memory|not enough memory|bad_alloc"
    r"|Cannot allocate memory|Unable to allocate|ALLOC_FAILED"
)
LESS = "let fewer runs go side by side (JOBS=1), or take a smaller preset or a machine with more memory"


class Failure(SegnbError):
    """A notebook that was started and did not finish. `code` is the exit code."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class OutOfTime(KeyboardInterrupt):
    """Like SIGTERM, but from this process's own clock."""


def run(notebook: Path, out: Path, parameters: dict, log: Path | None = None, minutes: float | None = None):
    """Execute a notebook with these parameters into `out`, which appears once it is finished.

    log: gets what the notebook prints, as it is printed; None: stderr does
    minutes: after which it is given up

    What there was when it failed stays in a hidden file beside `out`, which itself is left as it was.

    Raises SegnbError for a wrong notebook or parameter, before anything is started, and `Failure` afterwards.
    """
    check(notebook, parameters)
    part = out.with_name(f".{out.name}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with _output(log) as output:
            done = _execute(notebook, part, parameters, output, minutes)
        done.metadata.papermill.output_path = str(out)
        with atomic(out) as file:
            file.write(nbformat.writes(done).encode())
        part.unlink(missing_ok=True)
    except OSError as error:
        told = error.strerror or type(error).__name__
        raise SegnbError(f"{error.filename or out} cannot be written ({told}); make it possible") from None


def _execute(notebook: Path, part: Path, parameters: dict, output: TextIO, minutes: float | None):
    """The executed notebook, which papermill also writes to `part`, cell by cell. Raises Failure."""
    before = _oom_kills()
    with _socket_folder() as folder, _kernel(output, folder) as (manager, process):
        try:
            with _time_limit(minutes):
                return papermill.execute_notebook(
                    _literally(notebook),
                    _literally(part),
                    parameters,
                    km=manager,
                    kernel_name="python3",  # for papermill's sake; which one it is has been decided
                    language="python",
                    start_timeout=START_SECONDS,
                    iopub_timeout=OUTPUT_SECONDS,
                    progress_bar=False,
                    log_output=True,
                )
        except PapermillExecutionError as error:
            raise _cell_failed(error, part, output) from None
        except OutOfTime:
            raise Failure(
                TIME,
                f"{notebook} was stopped at its time limit of {minutes:g} min; the same command goes on from"
                " what it has kept, --time-limit gives it longer",
            ) from None
        except (DeadKernelError, CellTimeoutError, RuntimeError) as error:
            raise _kernel_failed(error, notebook, process, before) from None


def _literally(path: Path) -> str:
    """Papermill fills in parameters where a path has braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


# -- parameters ------------------------------------------------------------------------------------------


def read_parameters(file: Path | None, text: str | None) -> dict[str, Any]:
    """Parameters by name from a YAML or JSON file, such as a run's params.json, or from such text."""
    where = str(file or text)
    try:
        text = file.read_text(encoding="utf-8") if file else text
    except (OSError, UnicodeDecodeError) as error:
        raise SegnbError(f"{where} cannot be read ({error}); name a YAML or JSON file") from None
    try:
        values = json.loads(text)  # first, because YAML takes JSON's 1e-05 for a word
    except ValueError:
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            told = " ".join(str(error).split())
            raise SegnbError(f"{where}: neither JSON nor YAML ({told}); mend it") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise SegnbError(f"{where}: names with values are meant, such as 'seed: 1'")
    return values


def check(notebook: Path, parameters: dict[str, Any]) -> None:
    """Raises SegnbError unless this notebook can be given these parameters.

    It is asked itself: by the set of `segnb.params` that it calls from_notebook of, and without one by the
    names in its parameters cell.
    """
    try:
        cells = [cell for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]
    except Exception as error:  # of whatever kind nbformat stumbles with over a file of something else
        told = one_line(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise SegnbError(f"{notebook} is no notebook that can be read ({told}); name another") from None
    asked = re.search(r"\b(\w+Params)\.from_notebook\(", "\n".join(cell.source for cell in cells))
    if asked and (kind := getattr(params, asked[1], None)):
        kind.check(parameters)
        return
    tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    known = [
        node.targets[0].id
        for node in ast.parse("\n".join(tagged)).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    ]
    for name in parameters:
        if name not in known:
            choices = ", ".join(known) or "none: this notebook has no parameters"
            raise SegnbError(f"parameter {name!r} is unknown; choose from {choices}")


# -- the kernel ------------------------------------------------------------------------------------------


class Kernel(AsyncKernelManager):
    """A kernel of this very Python that ends with this process."""

    @property
    def kernel_spec(self) -> KernelSpec:
        started = [sys.executable, "-m", "segnb.processes", str(os.getpid()), "ipykernel_launcher"]
        options = ["-f", "{connection_file}", "--HistoryManager.hist_file=:memory:"]
        return KernelSpec(argv=started + options, display_name="segnb", language="python")


@contextmanager
def _socket_folder() -> Iterator[Path]:
    """A folder for a kernel's sockets until it is gone; those that killed processes left go now."""
    place = Path(tempfile.gettempdir())
    if len(os.fsencode(place)) > SOCKET_PATH:
        place = Path("/tmp")  # noqa: S108  mkdtemp makes it private
    for lock in place.glob("segnb-????????/lock"):
        with suppress(OSError):
            told = lock.stat()
            mine, begun = told.st_uid == os.getuid(), time.time() - told.st_mtime < SETTLING
            if mine and not begun and holder(lock) is None:
                shutil.rmtree(lock.parent)
    folder = Path(tempfile.mkdtemp(prefix="segnb-", dir=place))
    try:
        with held(folder / "lock", "executing a notebook"):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _kernel(output: TextIO, folder: Path) -> Iterator[tuple[Kernel, subprocess.Popen]]:
    """A kernel that is being started. At the end it is gone, with everything that it started.

    folder: for its sockets
    """
    manager = Kernel(transport="ipc", connection_file=str(folder / "kernel.json"))
    process, started = None, set()
    try:
        # Its own words, such as those of an interpreter that crashes, go where the notebook's go.
        run_sync(manager.start_kernel)(
            # Without Jupyter's own watch on the parent, which would leave behind what a kernel has started.
            independent=True,
            env=os.environ | ALLOCATOR | {"JPY_PARENT_PID": "1"},
            stdout=output,
            stderr=output,
        )
        process = manager.provisioner.process
        yield manager, process
        started = started_by(process.pid)  # whose parent is about to leave
        run_sync(manager.shutdown_kernel)()
    finally:
        if process:
            stop(process, GRACE, started)
        run_sync(manager.cleanup_resources)()


@contextmanager
def _time_limit(minutes: float | None) -> Iterator[None]:
    def over(number: int, frame) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, (minutes or 0) * 60)  # 0: never
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# -- what is said ----------------------------------------------------------------------------------------


@contextmanager
def _output(log: Path | None) -> Iterator[TextIO]:
    """Where the notebook's output goes, line by line; papermill's own words too."""
    logger = logging.getLogger("papermill")
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
    file = open(log, "w", buffering=1, encoding="utf-8", errors="backslashreplace") if log else sys.stderr
    handler = logging.StreamHandler(file)
    handler.terminator = ""
    handler.setFormatter(_Lines())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield file
    finally:
        logger.removeHandler(handler)
        if log:
            file.close()


class _Lines(logging.Formatter):
    """Whole lines as they are; papermill gives what was printed without adding a line's end."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        return text if text.endswith("\n") else f"{text}\n"


def tail(log: Path) -> str:
    """The last lines of a log, indented, safe to print; "" if there are none."""
    with suppress(OSError):
        with open(log, "rb") as file:
            file.seek(max(0, os.path.getsize(log) - 10_000))
            lines = strip_color(file.read().decode("utf-8", "replace")).splitlines()
        return "\n".join([f"    {one_line(line)}" for line in lines if line.strip()][-TAIL:])
    return ""


def _cell_failed(error: PapermillExecutionError, part: Path, output: TextIO) -> Failure:
    told = one_line((error.evalue.strip().splitlines() or [""])[0])
    if error.ename == "SegnbError":  # it says all there is to say
        return Failure(CELL, told)
    output.write(strip_color("\n".join(error.traceback)) + "\n")
    told = f"{error.ename}{told and ': '}{told} (cell In [{error.exec_count}] of {part})"
    if NO_MEMORY.search(f"{error.ename}: {error.evalue}"):
        return Failure(MEMORY, f"out of memory: {told}; {LESS}")
    return Failure(CELL, told)


def _kernel_failed(error: Exception, notebook: Path, process: subprocess.Popen, before: int) -> Failure:
    told = str(error)
    silent = "respond" in told  # for START_SECONDS, as jupyter_client says; it has been ended then
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)  # what made it leave is known a moment after it was found gone
    code = process.returncode
    if code == -signal.SIGKILL and not silent and _oom_kills() > before:
        return Failure(MEMORY, f"out of memory: the system killed the kernel of {notebook}; {LESS}")
    if silent:
        return Failure(START, f"the kernel of {notebook} did not answer within {START_SECONDS} s; try again")
    if code is None:
        told = one_line(told.splitlines()[0])
        return Failure(DEATH, f"the kernel of {notebook} was lost ({told}); the same command starts another")
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    if "kernel_info" in told:  # to which it has never replied
        return Failure(START, f"the kernel of {notebook} did not start: {how}; 'make report' installs it")
    return Failure(
        DEATH, f"the kernel of {notebook} died: {how}; the same command goes on from what it has kept"
    )


def _oom_kills() -> int:
    """How many processes the system has killed so far for want of memory, in this process's control group, or
    on this machine where there is none; 0 where nobody counts."""
    places = [Path("/proc/vmstat")]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                places.insert(0, Path(f"/sys/fs/cgroup{path}/memory.events"))
            elif controllers == "memory":
                places.insert(0, Path(f"/sys/fs/cgroup/memory{path}/memory.oom_control"))
    for place in places:
        with suppress(OSError):
            if found := re.search(r"^oom_kill (\d+)$", place.read_text(), re.M):
                return int(found[1])
    return 0
