"""Execute a notebook as a step of the study: output whole or not there, errors in one line.

    segnb run NOTEBOOK OUT (-f FILE | -y YAML) [--log LOG]

| exit code | what happened |
|---|---|
| 0 | OUT is there |
| 1 | the notebook or a parameter is wrong, and nothing was started; or OUT cannot be written |
| 3 | a cell raised an exception |
| 4 | a cell ran out of memory |
| 5 | the kernel died |
| 7 | the kernel did not start |
| 130, 143 | stopped by SIGINT, by SIGTERM |

Papermill executes it. The kernel is this very Python, whichever kernels are installed, and is reached through
Unix sockets, because kernels that start at the same time can meet at a port. It ends when this process does.
"""

import errno
import json
import logging
import math
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
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
from segnb.errors import REMEDIES, SegnbError, one_line
from segnb.runtime.machine import ALLOCATOR
from segnb.runtime.processes import stop
from segnb.storage.files import atomic

CELL, MEMORY, DEATH, START = 3, 4, 5, 7  # exit codes
START_SECONDS = 120  # until a kernel answers; it imports little, but perhaps from a busy network disk
OUTPUT_SECONDS = 60  # until the last output of a cell has come
GRACE = 3  # seconds for a kernel that is stopped
FILES = resource.RLIMIT_NOFILE  # the most that may be open at a time, sockets included
FEWEST = 128  # of them; 64 are too few for a training
SOCKET = 100  # bytes of its name, a few below what systems take
TAIL = 10  # lines of the log that are shown
# How Python, NumPy and torch, on CPUs and GPUs, say that there is no memory left.
NO_MEMORY = re.compile(
    r"MemoryError|OutOfMemoryError|out of memory|can't allocate memory|not enough memory|bad_alloc"
    r"|Cannot allocate memory|Unable to allocate|ALLOC_FAILED"
)
LESS = "run fewer side by side (JOBS=1), or take a smaller preset or a machine with more memory"

logging.getLogger("papermill").addHandler(logging.NullHandler())  # what it has to say is said here


class Failure(SegnbError):
    """A notebook that was started and did not finish. `code` is the exit code."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


def run(notebook: Path, out: Path, parameters: dict, log: Path | None = None) -> None:
    """Execute a notebook with these parameters into `out`, which appears once it is finished.

    After a failure, a hidden file next to `out` has the cells executed so far; `out` itself stays as it was.

    Args:
        notebook: the notebook
        out: the executed notebook
        parameters: values by name
        log: the file for what the notebook prints, as it is printed; None: stderr

    Raises:
        Failure: the notebook was started and did not finish.
        SegnbError: the notebook or a parameter is wrong, and nothing was started; or `out` cannot be written.
    """
    check(notebook, parameters)
    if out.is_dir():  # said before hours of training
        raise SegnbError(f"{out}: is a folder; name the file that the executed notebook is to be")
    part = out.with_name(f".{out.name}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with _output(log) as output:
            executed = _execute(notebook, part, parameters, output)
        executed.metadata.papermill.output_path = str(out)
        with atomic(out) as file:
            file.write(nbformat.writes(executed).encode())
        part.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SegnbError(f"{error.filename or out} cannot be written ({reason}); make it possible") from None


def _execute(notebook: Path, part: Path, parameters: dict, output: TextIO) -> nbformat.NotebookNode:
    """Return the executed notebook, which papermill also writes to `part`, cell by cell. Raises Failure."""
    with _kernel(output) as (manager, process):
        try:
            return papermill.execute_notebook(
                _literally(notebook),
                _literally(part),
                parameters,
                km=manager,
                kernel_name="python3",  # papermill asks for one; `manager` has decided already
                language="python",
                start_timeout=START_SECONDS,
                iopub_timeout=OUTPUT_SECONDS,
                progress_bar=False,
                stdout_file=output,
                stderr_file=output,
            )
        except PapermillExecutionError as error:
            raise _cell_failed(error, part, output) from None
        except (DeadKernelError, CellTimeoutError) as error:
            raise _kernel_died(error, notebook, process) from None
        except RuntimeError as error:  # of jupyter_client, which has no class for it
            raise Failure(
                START, f"the kernel of {notebook} did not start ({error}); 'make report' installs it"
            ) from None


def _literally(path: Path) -> str:
    """Papermill fills in parameters where a path has braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


# -- parameters ------------------------------------------------------------------------------------------


def read_parameters(file: Path | None, text: str | None) -> dict[str, Any]:
    """Read parameters by name from a YAML or JSON file, such as a run's params.json, or from such text."""
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
            raise SegnbError(f"{where}: neither JSON nor YAML ({told}); fix it") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise SegnbError(f"{where}: names with values are meant, such as 'seed: 1'")
    return values


def check(notebook: Path, parameters: dict[str, Any]) -> None:
    """Raise SegnbError unless this notebook takes these parameters.

    The notebook itself says which: by the set of `segnb.params` whose from_notebook it calls, else by the
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
    known = params.assigned("\n".join(tagged))
    for name in parameters:
        if name not in known:
            choices = ", ".join(known) or "none: this notebook has no parameters"
            raise SegnbError(f"parameter {name!r} is unknown; choose from {choices}")


# -- the kernel ------------------------------------------------------------------------------------------


class Kernel(AsyncKernelManager):
    """A kernel of this very Python that ends with this process."""

    @property
    def kernel_spec(self) -> KernelSpec:
        command = [sys.executable, "-m", "segnb.runtime.processes", str(os.getpid()), "ipykernel_launcher"]
        options = ["-f", "{connection_file}", "--HistoryManager.hist_file=:memory:"]
        return KernelSpec(argv=command + options, display_name="segnb", language="python")


@contextmanager
def _kernel(output: TextIO) -> Iterator[tuple[Kernel, subprocess.Popen]]:
    """Start a kernel. At the end it is gone, with everything that it started."""
    _allow_files()
    # The system wants names of sockets short, and a batch job's own temporary folder may have a long one.
    too_long = len(tempfile.gettempdir()) > SOCKET - len("/segnb-12345678/kernel-ipc-5")
    place = "/tmp" if too_long else None  # noqa: S108 (in a folder of its own, that nobody else can read)
    with tempfile.TemporaryDirectory(prefix="segnb-", dir=place) as sockets:
        manager = Kernel(transport="ipc", connection_file=f"{sockets}/kernel.json")
        process = None
        try:
            # Its own words, such as those of an interpreter that crashes, go where the notebook's go.
            run_sync(manager.start_kernel)(
                # Without Jupyter's own watch on the parent, which would leave what a kernel has started.
                independent=True,
                env=os.environ | ALLOCATOR | {"JPY_PARENT_PID": "1"},
                stdout=output,
                stderr=output,
            )
            process = manager.provisioner.process
            yield manager, process
        finally:
            if process:
                stop(process, GRACE)
            run_sync(manager.cleanup_resources)()


def _allow_files() -> None:
    """Let this process and its kernel have as many files open as the system lets them. Raises Failure."""
    most, allowed = (math.inf if n == resource.RLIM_INFINITY else n for n in resource.getrlimit(FILES))
    if most < (wanted := min(1024, allowed)):
        resource.setrlimit(FILES, (wanted, resource.getrlimit(FILES)[1]))
        most = wanted
    if most < FEWEST:
        raise Failure(
            START,
            f"a kernel needs {FEWEST} open files and more, and {most} are allowed; {REMEDIES[errno.EMFILE]}",
        )


# -- messages --------------------------------------------------------------------------------------------


def _output(log: Path | None) -> AbstractContextManager[TextIO]:
    """Open the file for the notebook's output, which is written line by line."""
    if log is None:
        return nullcontext(sys.stderr)
    log.parent.mkdir(parents=True, exist_ok=True)
    return open(log, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


def tail(log: Path) -> str:
    """Return the last lines of a log, indented, safe to print; "" if there are none."""
    with suppress(OSError):
        with open(log, "rb") as file:
            file.seek(max(0, os.path.getsize(log) - 10_000))
            lines = strip_color(file.read().decode("utf-8", "replace")).splitlines()
        return "\n".join([f"    {one_line(line)}" for line in lines if line.strip()][-TAIL:])
    return ""


def _cell_failed(error: PapermillExecutionError, part: Path, output: TextIO) -> Failure:
    reason = one_line((error.evalue.strip().splitlines() or [""])[0])
    if error.ename == "SegnbError":  # complete in itself
        return Failure(CELL, reason)
    output.write(strip_color("\n".join(error.traceback)) + "\n")
    reason = f"{error.ename}{reason and ': '}{reason} (cell In [{error.exec_count}] of {part})"
    if NO_MEMORY.search(f"{error.ename}: {error.evalue}"):
        return Failure(MEMORY, f"out of memory: {reason}; {LESS}")
    return Failure(CELL, reason)


def _kernel_died(error: Exception, notebook: Path, process: subprocess.Popen) -> Failure:
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)  # what made it leave is known a moment after it was found gone
    code = process.returncode
    if code is None:
        how = one_line(str(error).splitlines()[0])
    else:
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    if code == -signal.SIGKILL:
        how += f", as the system does when memory runs out: if it did, {LESS}"
    return Failure(
        DEATH, f"the kernel of {notebook} died: {how}; the same command goes on from what it has kept"
    )
