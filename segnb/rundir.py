"""Stand-in for `segnb.study`, `segnb.storage` and `segnb.storage.project` until every import names those."""

from segnb.training.fingerprint import TRAINING_CODE, code_digest
from segnb.storage.project import cache_folder, feature_cache, runs_folder
from segnb.study.create import create_study as settle
from segnb.study.create import open_run as settle_run
from segnb.study.study import Run as RunDir
from segnb.study.study import Study, open_study

__all__ = [
    "TRAINING_CODE",
    "RunDir",
    "Study",
    "cache_folder",
    "code_digest",
    "feature_cache",
    "open_study",
    "runs_folder",
    "settle",
    "settle_run",
]
