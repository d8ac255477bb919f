"""A disk that is really full, where a write to a mapped array would end the process: one small enough is
mounted in the place of a folder.

Only where one may mount: as root on Linux.
"""

import math
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.compare import differences
from tests.chaos.test_faults import one_line

PAGE = os.sysconf("SC_PAGE_SIZE")  # what such a disk gives out
PLENTY = "64m"
STEPS = {
    "read": "cache",
    "render": "cache",
    "shift": "cache",
    "features": "cache",
    "train-unet": "runs",
    "train-fcn": "runs",
    "measure-unet": "runs",
    "measure-fcn": "runs",
}


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[str], None]]:
    """A disk of `size` bytes with a folder's content in its place; called, it gets another size."""
    full = folder.rename(folder.with_name("outgrown"))
    folder.mkdir()
    options = ["-o", f"size={size},mode=755", "tmpfs", str(folder)]
    if mounting("mount", "-t", "tmpfs", *options):
        pytest.skip("no disk can be mounted here")
    try:
        shutil.copytree(full, folder, dirs_exist_ok=True)
        shutil.rmtree(full)
        yield lambda larger: mounting("mount", "-o", f"remount,size={larger}", str(folder))
    finally:
        mounting("umount", "-l", str(folder))  # at once, whoever still has a file of it open


def mounting(*command: str) -> int:
    try:
        return subprocess.run(command, capture_output=True).returncode
    except FileNotFoundError:
        return 1


def taken(folder: Path) -> int:
    """Bytes of the disk that its files and folders take, about."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return sum(math.ceil(path.stat().st_size / PAGE) * PAGE for path in paths)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("step", STEPS)
def test_a_disk_that_is_full_is_told_in_one_line_and_a_larger_one_goes_on(stage, step, seed, record_property):
    part = STEPS[step]
    before, after = (taken(place(step) / part) for place in (stage.before, stage.after))
    draw = random.Random(f"{step} {seed}")
    with stage.copy(step) as project:
        with small_disk(project / part, before + int((after - before) * draw.random())) as resize:
            record_property("fault", (step, "a disk that is full"))
            first = stage.perform(step, project)
            assert first.code == 1, first  # and no signal
            assert first.told["error"] == "SegnbError" and one_line(first.told["text"]), first.told["where"]
            assert "disk" in first.told["text"]
            looked = stage.perform("look", project)
            assert looked.code == 0, looked

            assert resize(PLENTY) == 0
            second = stage.perform(step, project)
            assert second.code == 0, second
            assert differences(project, stage.after(step)) == []
