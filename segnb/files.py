"""The names of `atomic`, `locks`, `checksums`, `project` and `markdown`, until all imports have moved."""

from segnb.storage.atomic import UNREADABLE, atomic, atomic_path, new_array, read_json, sweep, write_json, write_text
from segnb.storage.checksums import Sums, fingerprint, sha256
from segnb.errors import FULL, full_disk_told
from segnb.storage.locks import held, holder, locked, made_once
from segnb.storage.markdown import between, markdown_table
from segnb.storage.project import iso_now, root, share_code

__all__ = [
    "FULL",
    "UNREADABLE",
    "Sums",
    "atomic",
    "atomic_path",
    "between",
    "fingerprint",
    "full_disk_told",
    "held",
    "holder",
    "iso_now",
    "locked",
    "made_once",
    "markdown_table",
    "new_array",
    "read_json",
    "root",
    "sha256",
    "share_code",
    "sweep",
    "write_json",
    "write_text",
]
