"""Files that are whole or not there, and locks that go with their process."""

import errno
import fcntl
import math
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from segnb.errors import SegnbError
from segnb.storage import files
from segnb.storage.files import atomic, held, holder, new_array, read_json, sweep, write_json, write_text


def test_a_new_file_and_its_name_are_on_the_disk_before_the_writer_goes_on(tmp_path, monkeypatch):
    seen = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (seen.append(os.fstat(handle).st_ino), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append("renamed"), replace(a, b)))
    write_text(tmp_path / "a.json", "{}")
    assert seen == [(tmp_path / "a.json").stat().st_ino, "renamed", tmp_path.stat().st_ino]


@pytest.mark.parametrize("at", ["open", "write", "fsync", "replace"])
def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path, monkeypatch, at):
    path = tmp_path / "history.csv"
    write_text(path, "old")

    def full(*arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    if at != "write":
        monkeypatch.setattr(os, at, full)
    with pytest.raises(SegnbError, match="history.csv: cannot be written, the disk is full. Free some"):
        with atomic(path) as file:
            if at == "write":
                full()
            file.write(b"new")
    monkeypatch.undo()
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["history.csv"]


def test_another_trouble_than_a_full_disk_is_not_called_one_and_names_the_file(tmp_path):
    write_text(tmp_path / "a", "")
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "a" / "b", "")
    with pytest.raises(OSError, match="too large: '.*/c'"), atomic(tmp_path / "c"):
        raise OSError(errno.EFBIG, "too large")  # as of an open file, which the system gives no name


@pytest.mark.parametrize(
    ("value", "kept"),
    [(math.nan, None), (-math.inf, None), (np.float32("nan"), None), (None, None), (0.1, 0.1), ("NaN", "NaN")]
    + [(np.float32(0.5), 0.5), (np.int64(7), 7), (np.bool_(True), True), (date(2026, 1, 2), "2026-01-02")]
    + [({"a": [1, (math.nan, {"b": math.inf})]}, {"a": [1, [None, {"b": None}]]})],
)
def test_json_has_null_for_what_is_no_number(tmp_path, value, kept):
    write_json(tmp_path / "a.json", {"value": value})
    assert "NaN" not in (tmp_path / "a.json").read_text().replace('"NaN"', "")
    assert read_json(tmp_path / "a.json") == {"value": kept}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b"3", b"\xff\xfe", bytes(9), b"[" * 100_000, b'{"epochs": ', None],
    ids=lambda content: repr(content)[:12],
)
def test_a_json_file_without_an_object_is_damaged(tmp_path, content):
    path = tmp_path / "done.json"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(
        SegnbError, match=r"done.json: the file is damaged \(.*\). Delete it and run 'make report'"
    ):
        read_json(path)


def test_so_is_one_that_lacks_what_is_asked_for(tmp_path):
    write_json(tmp_path / "a.json", {"data": {"name": 1}})
    kept = read_json(tmp_path / "a.json")
    assert kept["data"]["name"] == 1 and kept.get("x") is None and "x" not in kept
    for entries, key in ((kept, "x"), (kept["data"], "counts")):
        with pytest.raises(SegnbError, match=f"a.json: the file is damaged .it has no '{key}'.. Delete it"):
            entries[key]


def test_one_place_writes_json():
    """Others would write NaN, which readers of JSON refuse."""
    sources = Path(files.__file__).parents[1].rglob("*.py")
    writers = {path.name for path in sources if "json.dump" in path.read_text(encoding="utf-8")}
    assert writers == {"files.py", "processes.py"}  # the latter asks for a step: no numbers


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_who_may_read_a_file_is_the_users_to_say(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a", "")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask


# What file systems answer that lack an operation: Lustre, NFS without lockd, CIFS and exFAT, some of FUSE.
LACKING = {
    "flock": (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP),
    "fsync of folders": (errno.EINVAL, errno.EBADF, errno.EACCES),
    "fchmod": (errno.EPERM, errno.EOPNOTSUPP),
}


def lack(monkeypatch, operation: str, code: int) -> None:
    """Let every file system be one without this operation."""

    def no(*arguments):
        raise OSError(code, os.strerror(code))

    fsync = os.fsync
    if operation == "flock":
        monkeypatch.setattr(fcntl, "flock", no)
    elif operation == "fchmod":
        monkeypatch.setattr(os, "fchmod", no)
    else:
        monkeypatch.setattr(
            os, "fsync", lambda file: no() if os.path.isdir(f"/dev/fd/{file}") else fsync(file)
        )
    monkeypatch.setattr(files, "LEASE", 0.6)
    monkeypatch.setattr(files, "PATIENCE", 0.2)


@pytest.mark.parametrize(("operation", "code"), [(name, code) for name in LACKING for code in LACKING[name]])
def test_what_a_file_system_lacks_is_gone_without(tmp_path, monkeypatch, operation, code):
    lack(monkeypatch, operation, code)
    write_text(tmp_path / "a.json", "{}")
    assert names(tmp_path) == ["a.json"]  # nothing is left behind
    with held(tmp_path / ".lock", "training") as descriptor:
        os.fstat(descriptor)
        assert holder(tmp_path / ".lock")["what"] == "training"
        with pytest.raises(SegnbError, match="is already training"):
            with held(tmp_path / ".lock", "training"):
                pass
    assert holder(tmp_path / ".lock") is None
    with held(tmp_path / ".lock", "testing"):
        assert holder(tmp_path / ".lock")["what"] == "testing"
    assert set(names(tmp_path)) <= {".lock", "a.json"}


def test_without_locks_a_part_is_one_of_a_killed_process_after_a_day(tmp_path, monkeypatch):
    lack(monkeypatch, "flock", errno.ENOSYS)
    for age in (0, 2):
        part = tmp_path / f".a.json.1234567{age}"
        part.touch()
        os.utime(part, (then := time.time() - age * files.DAY, then))
    sweep(tmp_path)
    assert names(tmp_path) == [".a.json.12345670"]


def test_another_error_of_a_lock_leaves_no_part(tmp_path, monkeypatch):
    lack(monkeypatch, "flock", errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        write_text(tmp_path / "a.json", "{}")
    assert names(tmp_path) == []


@pytest.mark.parametrize("alive", [True, False])
def test_who_works_in_a_folder_that_is_not_ours_can_be_seen(tmp_path, monkeypatch, alive):
    path = tmp_path / ".lock"
    (tmp_path / ".lock.json").write_text('{"pid": 1}')
    with FileLock(path) if alive else open(path, "w"):

        def refuse(path, **options):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        monkeypatch.setattr(files, "locked", refuse)
        assert holder(path) == ({"pid": 1} if alive else None)


WRITE = (
    "import sys; from pathlib import Path; from segnb.storage.files import atomic\n"
    "with atomic(Path(sys.argv[1])) as file:\n"
    "    file.write(b'half'); file.flush(); print('at it', flush=True); sys.stdin.read()"
)


def writer(path) -> subprocess.Popen:
    """A process in the middle of writing a file."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", WRITE, path], **pipes)
    assert process.stdout.readline() == b"at it\n"
    return process


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_left_goes_with_the_next_write_of_the_file(tmp_path):
    killed = writer(tmp_path / "a.json")
    killed.kill()
    killed.communicate()
    at_it = writer(tmp_path / "a.json")
    assert len(names(tmp_path)) == 1  # that of the second: the first one's is gone
    write_text(tmp_path / "a.json", "mine")
    assert len(names(tmp_path)) == 2  # who is still at it is left alone
    at_it.communicate(b"")
    assert names(tmp_path) == ["a.json"] and (tmp_path / "a.json").read_text() == "half"


def test_sweep_takes_what_nobody_writes_any_more_and_nothing_else(tmp_path):
    for name in ("best-1.safetensors", "val_images.npy"):
        killed = writer(tmp_path / name)
        killed.kill()
        killed.communicate()
    kept = [".train.ipynb", ".train.lock", "best-1.safetensors"]
    for name in kept:
        (tmp_path / name).touch()
    sweep(tmp_path, "best-")
    assert [name.startswith(".val_images.npy.") for name in names(tmp_path)].count(True) == 1
    assert len(names(tmp_path)) == 4
    sweep(tmp_path)
    assert names(tmp_path) == kept


def test_who_comes_second_is_told_who_is_at_work_and_a_killed_process_holds_nothing(tmp_path, monkeypatch):
    path = tmp_path / "seed0" / ".lock"
    monkeypatch.setattr(files, "PATIENCE", 0.2)
    assert holder(path) is None
    code = (
        "import sys; from pathlib import Path; from segnb.storage.files import held\n"
        "with held(Path(sys.argv[1]), 'training A, seed 0'): print('have it', flush=True); sys.stdin.read()"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout.readline() == "have it\n"
        told = holder(path)
        assert (told["pid"], told["what"]) == (first.pid, "training A, seed 0") and told["since"][:2] == "20"
        with pytest.raises(SegnbError, match=rf"process {first.pid} on .+ is already training A, seed 0"):
            with held(path, "training A, seed 0"):
                pass
    finally:
        first.kill()
        first.wait()
        first.stdin.close(), first.stdout.close()
    assert holder(path) is None
    with held(path, "testing A, seed 0"):
        assert holder(path)["what"] == "testing A, seed 0"
    assert holder(path) is None


def test_looking_who_is_at_work_keeps_nobody_out(tmp_path):
    path = tmp_path / ".lock"
    look = FileLock(path, thread_local=False)  # as `holder` does for a moment
    look.acquire()
    threading.Timer(0.3, look.release).start()
    with held(path, "x"):
        assert holder(path)["pid"] == os.getpid()


def test_who_only_looks_as_well_is_not_taken_for_a_killed_process_at_work(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "GLANCE", 2)
    path = tmp_path / ".lock"
    (tmp_path / ".lock.json").write_text('{"pid": 1}')  # of a process that was killed
    look = FileLock(path, thread_local=False)
    look.acquire()
    threading.Timer(0.3, look.release).start()
    assert holder(path) is None


def test_a_child_that_inherits_a_lock_holds_it_after_its_parent_was_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PATIENCE", 0.2)
    path = tmp_path / ".lock"
    code = (
        "import subprocess, sys, time; from pathlib import Path; from segnb.storage.files import held\n"
        "with held(Path(sys.argv[1]), 'making a report') as lock:\n"
        "    print(subprocess.Popen(['sleep', '1000'], pass_fds=[lock], stdout=-3).pid, flush=True)\n"
        "    time.sleep(1000)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    with pytest.raises(SegnbError, match=f"process {parent.pid} on .+ is already making a report"):
        with held(path, "making a report"):
            pass
    os.kill(child, signal.SIGKILL)
    monkeypatch.setattr(files, "PATIENCE", 30)
    with held(path, "making a report"):
        assert holder(path)["pid"] == os.getpid()


def test_a_new_array_has_its_bytes_reserved(tmp_path):
    array = new_array(tmp_path / "a.npy", (100, 64, 64), np.uint8)
    assert not array.any() and (tmp_path / "a.npy").stat().st_blocks * 512 >= array.nbytes
    array[3, 4, 5] = 7
    array.flush()
    again = np.load(tmp_path / "a.npy")
    assert again.shape == (100, 64, 64) and again[3, 4, 5] == 7 and again.sum() == 7
