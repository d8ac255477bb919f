"""Notebooks as steps of the study: the output is complete or absent, and an error is one line.

    segnb run NOTEBOOK OUT (-f FILE | -y YAML) [--log LOG]

`segnb run --help` explains the exit codes.

Papermill executes the notebook. The kernel runs on the same Python as this process, whichever kernels are
installed, and ends with it. It is reached through Unix sockets, because kernels that start at the same time
can choose the same port.
"""

import json
import logging
import os
import re
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
from segnb.errors import SegnbError, one_line
from segnb.runtime.machine import ALLOCATOR
from segnb.runtime.processes import stop
from segnb.storage.files import atomic

CELL, MEMORY, DEATH, START = 3, 4, 5, 7  # exit codes
START_SECONDS = 120  # until a kernel answers; it imports little, but perhaps from a busy network disk
GRACE = 3  # seconds between SIGTERM and SIGKILL for a kernel
# Messages of Python, NumPy and torch, on CPUs and GPUs, when memory runs out.
NO_MEMORY = re.compile(
    r"MemoryError|OutOfMemoryError|out of memory|can't allocate memory|not enough memory|bad_alloc"
    r"|Cannot allocate memory|Unable to allocate|ALLOC_FAILED"
)
LESS = "Run fewer in parallel (JOBS=1), use a smaller preset, or a machine with more memory."

logging.getLogger("papermill").addHandler(logging.NullHandler())  # its messages are printed here instead


class Failure(SegnbError):
    """A notebook that was started and did not finish; `code` is the exit code."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


def run(notebook: Path, out: Path, parameters: dict, log: Path | None = None) -> None:
    """Execute a notebook with these parameters and write it to `out` when it is finished.

    After a failure, a hidden file next to `out` has the cells executed so far; `out` itself is unchanged.

    Args:
        notebook: notebook to execute
        out: executed notebook
        parameters: values by name
        log: file for the output of the cells, written while they run; None: stderr

    Raises:
        Failure: the notebook was started and did not finish.
        SegnbError: the notebook or a parameter is wrong, and nothing was started; or `out` cannot be written.
    """
    check(notebook, parameters)
    if out.is_dir():  # before hours of training
        raise SegnbError(f"{out}: is a folder (expected a file). Give the name of the executed notebook.")
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
        raise SegnbError(
            f"{error.filename or out}: cannot be written ({reason}). Choose another place."
        ) from None


def _execute(notebook: Path, part: Path, parameters: dict, output: TextIO) -> nbformat.NotebookNode:
    """Execute a notebook and return it; papermill also writes it to `part`, cell by cell. Raises Failure."""
    with _kernel(output) as (manager, process):
        try:
            return papermill.execute_notebook(
                _literally(notebook),
                _literally(part),
                parameters,
                km=manager,
                kernel_name="python3",  # papermill requires a name; `manager` ignores it
                language="python",
                start_timeout=START_SECONDS,
                iopub_timeout=60,  # seconds until the last output of a cell arrives
                progress_bar=False,
                stdout_file=output,
                stderr_file=output,
            )
        except PapermillExecutionError as error:
            raise _cell_failed(error, part, output) from None
        except (DeadKernelError, CellTimeoutError) as error:
            raise _kernel_died(error, notebook, process) from None
        except RuntimeError as error:  # jupyter_client has no class of its own
            raise Failure(
                START, f"{notebook}: the kernel did not start ({error}). Run 'make report' to install it."
            ) from None


def _literally(path: Path) -> str:
    """Return a path with its braces doubled, because papermill replaces {names} in paths."""
    return str(path).replace("{", "{{").replace("}", "}}")


# -- parameters ------------------------------------------------------------------------------------------


class _Yaml(yaml.SafeLoader):
    """YAML in which 1e-4 is a number, as everywhere else; YAML 1.1 reads it as text."""


_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_parameters(file: Path | None, text: str | None) -> dict[str, Any]:
    """Read parameters by name from a YAML or JSON file, such as params.json, or from such text."""
    where = str(file or text)
    try:
        text = file.read_text(encoding="utf-8") if file else text
    except (OSError, UnicodeDecodeError) as error:
        raise SegnbError(f"{where}: cannot be read ({error}). Give a YAML or JSON file.") from None
    try:
        values = json.loads(text)
    except ValueError:
        try:
            values = yaml.load(text, _Yaml)  # noqa: S506 (a safe loader)
        except (yaml.YAMLError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise SegnbError(f"{where}: neither JSON nor YAML ({reason}). Fix the syntax.") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise SegnbError(f"{where}: no parameters (expected names with values, such as 'seed: 1')")
    return values


def check(notebook: Path, parameters: dict[str, Any]) -> None:
    """Raise SegnbError unless the notebook has these parameters.

    Its parameters are those of the class of `segnb.params` whose from_notebook it calls, or else the names
    that its parameters cell assigns.
    """
    try:
        cells = [cell for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]
    except Exception as error:  # nbformat raises all kinds on files of another format
        reason = one_line(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise SegnbError(f"{notebook}: not a readable notebook ({reason}). Choose another file.") from None
    call = re.search(r"\b(\w+Params)\.from_notebook\(", "\n".join(cell.source for cell in cells))
    if call and (kind := getattr(params, call[1], None)):
        kind.check(parameters)
        return
    tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    known = params.assigned("\n".join(tagged))
    for name in parameters:
        if name not in known:
            expected = f"one of {', '.join(known)}" if known else "none, as this notebook has no parameters"
            raise SegnbError(f"unknown parameter {name!r} (expected {expected})")


# -- the kernel ------------------------------------------------------------------------------------------


class Kernel(AsyncKernelManager):
    """A kernel on the Python of this process, which ends with it."""

    @property
    def kernel_spec(self) -> KernelSpec:
        command = [sys.executable, "-m", "segnb.runtime.processes", str(os.getpid()), "ipykernel_launcher"]
        options = ["-f", "{connection_file}", "--HistoryManager.hist_file=:memory:"]
        return KernelSpec(argv=command + options, display_name="segnb", language="python")


@contextmanager
def _kernel(output: TextIO) -> Iterator[tuple[Kernel, subprocess.Popen]]:
    """Start a kernel; at the end of the block, end it and every process that it started."""
    # A socket has a path of little more than 100 bytes, and the temporary folder of a batch job a long one.
    too_long = len(tempfile.gettempdir()) > 100 - len("/segnb-12345678/kernel-ipc-5")
    place = "/tmp" if too_long else None  # noqa: S108 (in a folder of its own that other users cannot read)
    with tempfile.TemporaryDirectory(prefix="segnb-", dir=place) as sockets:
        manager = Kernel(transport="ipc", connection_file=f"{sockets}/kernel.json")
        process = None
        try:
            # Its own messages, such as those of a crashing interpreter, go to the notebook's output.
            run_sync(manager.start_kernel)(
                # Without Jupyter's own watch on the parent, which leaves the processes that a kernel started.
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


# -- messages --------------------------------------------------------------------------------------------


def _output(log: Path | None) -> AbstractContextManager[TextIO]:
    """Open the file for the notebook's output, line-buffered."""
    if log is None:
        return nullcontext(sys.stderr)
    log.parent.mkdir(parents=True, exist_ok=True)
    return open(log, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


def tail(log: Path) -> str:
    """Return the last ten lines of a log, indented and safe to print; "" without a log."""
    with suppress(OSError):
        lines = strip_color(log.read_text("utf-8", "replace")).splitlines()
        return "\n".join([f"    {one_line(line)}" for line in lines if line.strip()][-10:])
    return ""


def _cell_failed(error: PapermillExecutionError, part: Path, output: TextIO) -> Failure:
    reason = one_line((error.evalue.strip().splitlines() or [""])[0])
    if error.ename == "SegnbError":  # says all that is needed
        return Failure(CELL, reason)
    output.write(strip_color("\n".join(error.traceback)) + "\n")
    reason = f"{error.ename}{reason and ': '}{reason} (cell In [{error.exec_count}] of {part})"
    if NO_MEMORY.search(f"{error.ename}: {error.evalue}"):
        return Failure(MEMORY, f"out of memory: {reason}. {LESS}")
    return Failure(CELL, reason)


def _kernel_died(error: Exception, notebook: Path, process: subprocess.Popen) -> Failure:
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)  # its exit code is known a moment after its death
    code = process.returncode
    if code is None:
        how = one_line(str(error).splitlines()[0])
    else:
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    if code == -signal.SIGKILL:
        how += f", as the system does when memory runs out. If it did: {LESS[0].lower()}{LESS[1:-1]}"
    return Failure(DEATH, f"{notebook}: the kernel died, {how}. Run the same command to resume.")
