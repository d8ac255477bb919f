"""A run's folder: the only code that knows its file names.

    runs/<study>/<variant>/seed<k>/
        params.json  provenance.json  history.csv  gradients.csv  model.safetensors  done.json  train.ipynb
        last.pt  previous.pt  best-<epoch>.safetensors   while it is trained
        failed.json                                      after a step that failed, until it succeeds
        diverged.json                                    of a training that diverged, which is not tried again
        .lock                                            of the process that works on it
        test_confusion.npz  predicted.npz  predictions.npz  boundary.npz  objects.npz
        gates.npz            of networks with gates
        ablation.npz         of networks with skips, gates or fused scores
        shift_confusion.npz  of U-Nets on rendered scenes

A run is finished once `done.json` exists, which training writes last, and evaluated once
`test_confusion.npz` does, which the evaluation writes last.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from segnb.errors import SegnbError, one_line
from segnb.storage.checksums import sha256
from segnb.storage.files import UNREADABLE, atomic, held, holder, read_json, sweep, write_json, write_text
from segnb.storage.project import iso_now


def _file(name: str) -> property:
    """Make a property of `RunFolder`: the path of the file with that name."""
    return property(lambda folder: folder.path / name)


@dataclass(frozen=True)
class RunFolder:
    """The files of one training: <study>/<variant>/seed<k>/."""

    path: Path

    last_path = _file("last.pt")
    previous_path = _file("previous.pt")
    model_path = _file("model.safetensors")
    notebook_path = _file("train.ipynb")
    lock_path = _file(".lock")
    _failed_path = _file("failed.json")
    provenance_path = _file("provenance.json")
    history_path = _file("history.csv")
    gradients_path = _file("gradients.csv")
    confusion_path = _file("test_confusion.npz")
    predictions_path = _file("predictions.npz")
    predicted_path = _file("predicted.npz")
    boundary_path = _file("boundary.npz")
    objects_path = _file("objects.npz")
    gates_path = _file("gates.npz")
    ablation_path = _file("ablation.npz")
    shifts_path = _file("shift_confusion.npz")

    @property
    def variant(self) -> str:
        return self.path.parent.name

    @property
    def seed(self) -> int:
        return int(self.path.name.removeprefix("seed"))

    # -- while training ------------------------------------------------------------------------------
    def best_path(self, epoch: int) -> Path:
        """Weights of an epoch that was the best until then."""
        return self.path / f"best-{epoch}.safetensors"

    def best_paths(self) -> list[Path]:
        """Those that are there."""
        return sorted(self.path.glob("best-*.safetensors"))

    def write_history(self, rows: list[dict]) -> None:
        write_text(self.history_path, pd.DataFrame(rows).to_csv(index=False))

    def write_gradients(self, rows: list[dict]) -> None:
        write_text(self.gradients_path, pd.DataFrame(rows).to_csv(index=False))

    def finish(self, summary: dict) -> None:
        """Mark the run as finished; nothing is written to it by training afterwards."""
        written = [path for path in (self.history_path, self.gradients_path) if path.exists()]
        tables = {path.name: sha256(path) for path in written}
        told = {"model_sha256": sha256(self.model_path), "tables": tables}
        write_json(self.path / "done.json", summary | told)
        self.tidy()

    def tidy(self) -> None:
        """Remove what a finished run was to go on from: optimiser state is twice as large as the network."""
        for path in (self.last_path, self.previous_path, *self.best_paths()):
            path.unlink(missing_ok=True)

    def diverge(self, epoch: int, error: str) -> None:
        """Mark the run as diverged in that epoch; `error` says in one line how, and what to try."""
        write_json(self.path / "diverged.json", {"epoch": epoch, "error": error, "when": iso_now()})
        self.tidy()

    @property
    def diverged(self) -> dict | None:
        """What `diverge` wrote: epoch, error, when (ISO time). None: as far as it went, the run is sound."""
        path = self.path / "diverged.json"
        return read_json(path) if path.exists() else None

    # -- who is at work on it, and what went wrong -------------------------------------------------------
    @contextmanager
    def at_work(self, doing: str) -> Iterator[None]:
        """One process at a time, training or testing; what killed ones left is removed first.

        doing: "training" or "testing"

        Raises SegnbError if another process is at work on this run.
        """
        with held(self.lock_path, f"{doing} {self.variant}, seed {self.seed}"):
            sweep(self.path)
            yield

    def trainer(self) -> dict | None:
        """The process at work on this run: pid, host, since, what ("training …", "testing …"); or None."""
        return holder(self.lock_path)

    @contextmanager
    def step(self, name: str, log: Path | None = None) -> Iterator[None]:
        """Remember why a step ("train", "measure") of this run fails, until it succeeds; see `failure`."""
        self._failed_path.unlink(missing_ok=True)
        try:
            yield
        except Exception as error:  # not for being stopped, which is no failure
            told = one_line(str(error).strip() or type(error).__name__)
            with suppress(SegnbError, OSError):  # on a full disk the error itself matters more
                write_json(
                    self._failed_path,
                    {"step": name, "error": told, "log": str(log) if log else None, "when": iso_now()},
                )
            raise

    @property
    def failure(self) -> dict | None:
        """The step that failed last: step, error (one line), log (its path, or None), when (ISO time)."""
        return read_json(self._failed_path) if self._failed_path.exists() else None

    # -- afterwards ----------------------------------------------------------------------------------
    @property
    def done(self) -> bool:
        return (self.path / "done.json").exists()

    @property
    def summary(self) -> dict:
        """done.json: best_epoch, best_val_miou, epochs, seconds, model_sha256; tables, SHA-256 by name."""
        return read_json(self.path / "done.json")

    @property
    def provenance(self) -> dict:
        """provenance.json, as `segnb.study.provenance.provenance` makes it."""
        return read_json(self.provenance_path)

    def history(self) -> pd.DataFrame:
        """A row an epoch, as `segnb.training.loop.fit` writes them; empty before the first epoch's end.

        Raises SegnbError if the run is finished and the file is not what it was then.
        """
        return self._table(self.history_path)

    def gradients(self) -> pd.DataFrame:
        """A row a convolution and epoch: epoch, layer, ratio of its gradient's norm to its weight's.

        Raises SegnbError as `history` does, and for runs of older versions, which have none.
        """
        if not self.gradients_path.exists():
            raise SegnbError(
                f"{self.gradients_path} is missing, as in runs of older versions; delete {self.path} and run"
                " 'make report' to train it again"
            )
        return self._table(self.gradients_path)

    def _table(self, path: Path) -> pd.DataFrame:
        try:
            content = path.read_bytes() if path.exists() else b""
            known = self.summary.get("tables", {}) if self.done else {}  # none in older versions
            if path.name in known and hashlib.sha256(content).hexdigest() != known[path.name]:
                raise ValueError
            return pd.read_csv(io.BytesIO(content)) if content else pd.DataFrame()
        except ValueError:  # as pandas' own are
            if not self.done:  # training writes it anew when it goes on
                return pd.DataFrame()
            raise SegnbError(
                f"{path} is damaged; delete {self.path} and run 'make report' to train it again"
            ) from None

    # -- what `segnb measure` writes, by test image in the order of their names ------------------------
    def write_arrays(self, path: Path, **arrays: np.ndarray) -> None:
        with atomic(path) as file:
            np.savez_compressed(file, **arrays)

    def test(self) -> dict[str, np.ndarray]:
        """confusion int64 (N, C, C), truth by row; names (N,); loss and as_published, scalars."""
        return self._arrays(self.confusion_path)

    def predictions(self) -> dict[str, np.ndarray]:
        """For K test images spread evenly: index (K,), names (K,), images uint8 (K, S, S, 3),
        labels, predictions uint8 (K, S, S)."""
        return self._arrays(self.predictions_path)

    def predicted(self) -> np.ndarray:
        """The classes predicted for every test image, uint8 (N, S, S)."""
        return self._arrays(self.predicted_path)["classes"]

    def boundary(self) -> dict[str, np.ndarray]:
        """distances (D,) and trimap_edges (B + 1,), px; and the sums of each image, (N, …), that
        `segnb.metrics.boundaries.statistics` and `segnb.metrics.softness.Softness` give."""
        return self._arrays(self.boundary_path)

    def objects(self) -> pd.DataFrame:
        """A row an object of the ground truth, columns as `segnb.metrics.objects.components` gives them."""
        return pd.DataFrame(self._arrays(self.objects_path))

    def gates(self) -> dict[str, np.ndarray]:
        """What `segnb.evaluation.gates.Openness` gives, index (K,) of the images whose maps are kept, and
        neutral_confusion int64 (L + 1, N, C, C), see `segnb.evaluation.gates.neutral_confusion`."""
        return self._arrays(self.gates_path)

    def ablation(self) -> dict[str, np.ndarray]:
        """names (K,) of parts and confusion int64 (K, N, C, C) without each, see `ablation.confusions`."""
        return self._arrays(self.ablation_path)

    def shifts(self) -> dict[str, np.ndarray]:
        """kinds (K,) and confusion int64 (K, N', C, C) of the first N' test scenes under each of them."""
        return self._arrays(self.shifts_path)

    def _arrays(self, path: Path) -> dict[str, np.ndarray]:
        if not path.exists():
            raise SegnbError(f"{path} is missing; run 'segnb measure {self.path}' to write it")
        try:
            with np.load(path) as arrays:
                return dict(arrays)
        except UNREADABLE:
            raise SegnbError(
                f"{path} is damaged; run 'segnb measure {self.path}' to write it again"
            ) from None
