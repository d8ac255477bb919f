"""Download one file with pooch: complete and of a known SHA-256, or an error of one line."""

import sys
from pathlib import Path

import pooch

from segnb import __version__
from segnb.errors import SegnbError

TIMEOUT = 15  # seconds of silence, not of downloading, after which the network counts as absent
BLOCK = 2**20  # bytes per write


def fetch_file(url: str, sha256: str, file: Path) -> None:
    """Download `url` to `file`, which appears only once it is complete and has that SHA-256.

    Args:
        url: http or https address.
        sha256: expected digest, in hexadecimal.
        file: where the file goes; its folder is made.

    Raises:
        SegnbError: if the network or the server fails, the disk refuses, or another file arrives.
    """
    pooch.get_logger().setLevel("WARNING")  # its message repeats ours
    print(f"fetching {url}", flush=True)
    agent = {"User-Agent": f"segnb/{__version__}"}
    downloader = pooch.HTTPDownloader(sys.stderr.isatty(), BLOCK, timeout=TIMEOUT, headers=agent)
    try:
        pooch.retrieve(url, f"sha256:{sha256}", file.name, file.parent, downloader=downloader)
    except ValueError:
        raise SegnbError(f"{url} arrived damaged, or is another file: try again") from None
    except OSError as error:  # also whatever requests raises
        # The one word that helps stands three exceptions deep: "Connection refused", "Name not known".
        reason = getattr(next(iter(error.args), None), "reason", error)
        raise unfetched(file.name, reason, file.parent) from error


def unfetched(name: str, reason: object, folder: Path) -> SegnbError:
    """Make the error for a file that did not arrive and that a person may put into `folder`."""
    place = str(folder).replace(str(Path.home()), "~")  # reports that quote this are passed on
    return SegnbError(f"{name} could not be fetched ({reason}): check the network, or put it into {place}")
