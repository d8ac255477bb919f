"""A whole report as users start it, with Snakemake and kernels below it, and who is at work."""

import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from segnb.runtime.processes import STEP
from tests.chaos import compare
from tests.conftest import CHECKOUT

VARIANT = "UNet_NoSkip_256"
PATIENCE = 600  # seconds for a whole report, on a machine that is busy
# Who can be killed, by the command line; a kernel also by the step that it belongs to.
WHO = {
    "report": r"segnb\.cli report",
    "snakemake": r"segnb\.runtime\.processes \d+ snakemake",
    "arrays": r"segnb\.cli arrays",
    "run": r"segnb\.cli run notebooks/train",
    "kernel": r"ipykernel_launcher .* of segnb\.cli run notebooks/train",
    "measure": r"segnb\.cli measure",
    "cost": r"segnb\.cli cost",
    "claims": r"segnb\.cli claims",
    "chapter": r"segnb\.cli run notebooks/(?!train)",
    "chapter's kernel": r"ipykernel_launcher .* of segnb\.cli run notebooks/(?!train)",
    "export": r"segnb\.cli export",
}
MEASURED = re.compile(r"cost\.json|.*\.(ipynb|html|log)")  # what holds times, or drawings of them


class Report:
    """One `segnb report` in a project folder; its output goes into a file beside that.

    With it, whoever works for the project at the end is killed.
    """

    def __init__(self, project: Path, *options: str):
        self.project, self.log = project, project.parent / "report.log"
        self.begun = time.monotonic()
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "segnb.cli", "report", "--preset", "smoke"),
                    *("--variants", VARIANT, "--jobs", "2", *options),
                ],
                cwd=project,
                env=os.environ
                | {"SEGNB_ROOT": str(project), "SEGNB_OFFLINE": "1", "PYTHONPATH": str(CHECKOUT)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for one in at_work(self.project):
            with suppress(psutil.Error):
                one.kill()
        self.process.wait()

    def find(self, who: str) -> psutil.Process | None:
        """A process of that kind, once there is one; None if the report ended without."""
        while self.process.poll() is None:
            if found := [one for one in at_work(self.project) if re.search(WHO[who], command(one))]:
                return found[0]
            time.sleep(0.02)
        return None

    def end(self) -> int:
        """Its exit code."""
        return self.process.wait(PATIENCE)

    def printed(self) -> str:
        return self.log.read_text()


def at_work(project: Path) -> list[psutil.Process]:
    """The processes that work for a project, whoever their parents are."""
    found = []
    for one in psutil.process_iter():
        try:
            mine = one.pid != os.getpid() and one.environ().get("SEGNB_ROOT") == str(project)
            if mine and one.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                found.append(one)
        except psutil.Error:  # it is gone, or somebody else's
            continue
    return found


def command(process: psutil.Process) -> str:
    try:
        words = process.cmdline()
        return " ".join([*words, *(["of", process.environ()[STEP]] if "ipykernel_launcher" in words else [])])
    except (psutil.Error, KeyError):
        return ""


def left(project: Path, seconds: float) -> list[str]:
    """Who is still at work so many seconds from now; returns as soon as nobody is."""
    end = time.monotonic() + seconds
    while (found := at_work(project)) and time.monotonic() < end:
        time.sleep(0.05)
    return [f"{one.pid} {command(one)}" for one in found]


def differences(project: Path, wanted: Path) -> list[str]:
    """As in `compare`, for whole reports, in which more than JSON and tables holds times."""
    found, expected = compare.files(project), compare.files(wanted)
    told = [f"{name} is left over" for name in found if name not in expected]
    told += [f"{name} is missing" for name in expected if name not in found]
    same = [name for name in found if name in expected and not MEASURED.fullmatch(Path(name).name)]
    return told + [
        f"{name} differs" for name in same if compare.content(found[name]) != compare.content(expected[name])
    ]
