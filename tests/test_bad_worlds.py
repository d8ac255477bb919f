"""Whatever comes together, a command does its work or ends with one line that names the place.

What is broken is told, what is sound is not refused, and nothing is left behind. `make test` tries some of
the worlds that `bad_worlds` makes up, `pytest -m long tests/test_bad_worlds.py` the others. Each has a
process of its own, forked from one that has imported segnb.
"""

import json
import multiprocessing
import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segnb.pipeline import notebook
from tests.bad_worlds import NAMES, STUDY, World, live
from tests.synthetic_study import make_study

SOME, ALL = 30, 500
PLACE = r"[/'=]|ulimit|YAML|^segnb: (data|variants|invalid [a-z_]+)\b"  # marks of a path or a parameter
PATIENCE = 120  # seconds on a busy machine


@pytest.fixture(scope="module")
def fork(tmp_path_factory):
    """Live a world; give it with exit code, stdout and stderr."""
    base = tmp_path_factory.mktemp("worlds")
    (base / "study").mkdir()
    study = make_study(base / "study", 1, variants=NAMES, images=2, name=STUDY)
    study.ask(NAMES, [0])
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([live.__module__])

    def life(seed: int) -> tuple[World, int | None, str, str]:
        ends = [server.Pipe(duplex=False) for _ in range(2)]
        process = server.Process(target=live, args=(seed, base, [write for _, write in ends]))
        process.start()
        for _, write in ends:
            write.close()
        told = [open(os.dup(read.fileno()), "rb") for read, _ in ends]
        late = threading.Timer(PATIENCE, process.kill)
        late.start()
        with ThreadPoolExecutor() as pool:
            texts = list(pool.map(lambda file: file.read(), told))
        process.join()
        late.cancel()
        assert (base / f"{seed}.json").exists(), texts[1].decode()
        world = World(**json.loads((base / f"{seed}.json").read_text()))
        world.folder = Path(world.folder)
        out, err = (text.decode(world.variables.get("PYTHONIOENCODING", "utf-8")) for text in texts)
        return world, process.exitcode, out, re.sub(r"(?m)^checking: \d+ of \d+ pairs\n", "", err)

    return life


def parts(folder: Path) -> list[str]:
    """Files that were to become something."""
    left = (path.name for path in folder.rglob(".*") if not path.is_symlink())
    return [name for name in left if re.fullmatch(r"\..+\.[a-z0-9_]{8}", name)]


def judge(world: World, code: int | None, out: str, err: str) -> None:
    """Fail unless this is what a user should get.

    Faults of the machine may end a command before it comes to those of the files, so these need not be told.
    """
    command = world.arguments[0]
    needed = [] if world.fragile or world.refused is not None else world.broken
    assert "Traceback" not in out + err and "Warning" not in out + err
    if code == 2 and err.startswith("usage: "):
        assert world.refused is not None and world.tells(err, world.refused)
    elif not err:  # the command has said what it found
        assert code == 0 or (code == 1 and command in ("data", "status")), code
        assert world.refused is None or world.fragile
        assert (code == 1 and command == "data") or not needed, "silent"
        assert all(world.tells(out, name) for name in needed + world.warned), "silent"
    else:
        assert code in (1, notebook.CELL, notebook.START), code
        assert err.startswith("segnb: ") and err.endswith("\n") and err.count("\n") == 1
        assert err[:-1].isprintable() and len(err) < 2000
        if world.refused is not None:
            assert world.tells(err, world.refused) or world.fragile
        else:
            assert world.fragile or any(world.tells(err, name) for name in needed), "refuses what is sound"
        assert needed or re.search(PLACE, err), "names no place"
    if command == "export" and code == 0:
        page = (world.folder / "out" / "index.html").read_text(encoding="utf-8")
        assert str(world.folder) not in page and "/home/me" not in page
    assert parts(world.folder) == []


@pytest.mark.parametrize(
    "seed", [*range(SOME), *(pytest.param(i, marks=pytest.mark.long) for i in range(SOME, ALL))]
)
def test_a_world_made_up_by_seed(seed, fork):
    world, code, out, err = fork(seed)
    try:
        judge(world, code, out, err)
    except AssertionError:
        print(f"{world}\nexit code {code}\n{out}\n{err}")
        raise
    shutil.rmtree(world.folder, ignore_errors=True)
