"""The folder of a run: paths of its files, their contents, and the state of the run.

    runs/<study>/<variant>/seed<k>/
        params.json  provenance.json  history.csv  gradients.csv  model.safetensors  done.json  train.ipynb
        last.pt  previous.pt  best-<epoch>.safetensors   during training
        failed.json          after a step that failed, until it succeeds
        diverged.json        after a training that diverged, which is not repeated
        .lock                held by the process that works on the run
        test_confusion.npz  predicted.npz  predictions.npz  boundary.npz  objects.npz
        gates.npz            of networks with gates
        ablation.npz         of networks with skips, gates or fused scores
        shift_confusion.npz  of U-Nets on rendered scenes

A run is finished once `done.json` exists, which training writes last. It is evaluated once
`test_confusion.npz` exists, which the evaluation writes last.
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
from segnb.storage import iso_now
from segnb.storage.checksums import sha256
from segnb.storage.files import UNREADABLE, atomic, held, holder, read_json, sweep, write_json, write_text


def file_named(name: str) -> property:
    """Make a property of a study or run: the path of a file in its folder."""
    return property(lambda folder: folder.path / name)


@dataclass(frozen=True)
class RunFolder:
    """The files of a run: <study>/<variant>/seed<k>/."""

    path: Path

    last_path = file_named("last.pt")
    previous_path = file_named("previous.pt")
    model_path = file_named("model.safetensors")
    notebook_path = file_named("train.ipynb")
    lock_path = file_named(".lock")
    _failed_path = file_named("failed.json")
    provenance_path = file_named("provenance.json")
    history_path = file_named("history.csv")
    gradients_path = file_named("gradients.csv")
    confusion_path = file_named("test_confusion.npz")
    predictions_path = file_named("predictions.npz")
    predicted_path = file_named("predicted.npz")
    boundary_path = file_named("boundary.npz")
    objects_path = file_named("objects.npz")
    gates_path = file_named("gates.npz")
    ablation_path = file_named("ablation.npz")
    shifts_path = file_named("shift_confusion.npz")

    @property
    def variant(self) -> str:
        return self.path.parent.name

    @property
    def seed(self) -> int:
        return int(self.path.name.removeprefix("seed"))

    # -- during training -----------------------------------------------------------------------------
    def best_path(self, epoch: int) -> Path:
        """Return the path of the weights of an epoch that was the best so far."""
        return self.path / f"best-{epoch}.safetensors"

    def best_paths(self) -> list[Path]:
        """Return the existing files of best weights."""
        return sorted(self.path.glob("best-*.safetensors"))

    def write_history(self, rows: list[dict]) -> None:
        """Write history.csv, one row per epoch."""
        write_text(self.history_path, pd.DataFrame(rows).to_csv(index=False))

    def write_gradients(self, rows: list[dict]) -> None:
        """Write gradients.csv, one row per convolution and epoch."""
        write_text(self.gradients_path, pd.DataFrame(rows).to_csv(index=False))

    def finish(self, summary: dict) -> None:
        """Mark the run as finished; training writes no more files afterwards."""
        tables = (self.history_path, self.gradients_path)
        digests = {path.name: sha256(path) for path in tables if path.exists()}
        summary = summary | {"model_sha256": sha256(self.model_path), "tables": digests}
        write_json(self.path / "done.json", summary)
        self.tidy()

    def tidy(self) -> None:
        """Remove the checkpoints, whose optimiser state is twice as large as the network."""
        for path in (self.last_path, self.previous_path, *self.best_paths()):
            path.unlink(missing_ok=True)

    def diverge(self, epoch: int, error: str) -> None:
        """Mark the run as diverged in that epoch; `error` is one line on how, and what to try."""
        write_json(self.path / "diverged.json", {"epoch": epoch, "error": error, "when": iso_now()})
        self.tidy()

    @property
    def diverged(self) -> dict | None:
        """Content of diverged.json: epoch, error, when (ISO time); None if the run has not diverged."""
        path = self.path / "diverged.json"
        return read_json(path) if path.exists() else None

    # -- work in progress, and failures -------------------------------------------------------------------
    @contextmanager
    def at_work(self, doing: str) -> Iterator[None]:
        """Let one process at a time work on this run; leftovers of killed processes are removed first.

        Args:
            doing: "training" or "testing"

        Raises:
            SegnbError: another process is working on this run.
        """
        with held(self.lock_path, f"{doing} {self.variant}, seed {self.seed}"):
            sweep(self.path)
            yield
            self._failed_path.unlink(missing_ok=True)  # for instance of a process that was refused meanwhile

    def trainer(self) -> dict | None:
        """Return facts on the process working on this run, or None: pid, host, since, what ("training …")."""
        return holder(self.lock_path)

    @contextmanager
    def step(self, name: str, log: Path | None = None) -> Iterator[None]:
        """Record a failure of a step ("train", "measure") until the step succeeds, see `failure`."""
        self._failed_path.unlink(missing_ok=True)
        try:
            yield
        except Exception as error:  # an interrupt is not a failure
            reason = one_line(str(error).strip() or type(error).__name__)
            with suppress(SegnbError, OSError):  # for instance on a full disk; `error` matters more
                write_json(
                    self._failed_path,
                    {"step": name, "error": reason, "log": str(log) if log else None, "when": iso_now()},
                )
            raise

    @property
    def failure(self) -> dict | None:
        """Content of failed.json: step, error (one line), log (its path, or None), when (ISO time)."""
        return read_json(self._failed_path) if self._failed_path.exists() else None

    # -- after training -------------------------------------------------------------------------------
    @property
    def done(self) -> bool:
        """Whether the run is finished."""
        return (self.path / "done.json").exists()

    @property
    def summary(self) -> dict:
        """Content of done.json: best_epoch, best_val_miou, epochs, seconds, and SHA-256 of files."""
        return read_json(self.path / "done.json")

    @property
    def provenance(self) -> dict:
        """Content of provenance.json, see `segnb.study.provenance.provenance`."""
        return read_json(self.provenance_path)

    def history(self) -> pd.DataFrame:
        """Return history.csv, one row per epoch, see `segnb.training.loop.fit`; empty during the first epoch.

        Raises:
            SegnbError: the run is finished and the file has changed since.
        """
        return self._table(self.history_path)

    def gradients(self) -> pd.DataFrame:
        """Return gradients.csv, one row per convolution and epoch: epoch, layer, ratio.

        `ratio` is the norm of the gradient divided by the norm of the weight. Rows without a logarithm are
        left out: in fp16, a step that is skipped may have infinite gradients.

        Raises:
            SegnbError: the run is finished and the file has changed since.
        """
        table = self._table(self.gradients_path)
        return table[(table["ratio"] > 0) & np.isfinite(table["ratio"])] if len(table) else table

    def _table(self, path: Path) -> pd.DataFrame:
        try:
            content = path.read_bytes() if path.exists() else b""
            known = self.summary["tables"] if self.done else {}
            if path.name in known and hashlib.sha256(content).hexdigest() != known[path.name]:
                raise ValueError
            return pd.read_csv(io.BytesIO(content)) if content else pd.DataFrame()
        except ValueError:  # raised above, or by pandas
            if not self.done:  # training writes it again when it resumes
                return pd.DataFrame()
            raise SegnbError(
                f"{path}: the file is damaged. Delete {self.path} and run 'make report' to train it again."
            ) from None

    # -- files of `segnb measure`, by test image in the order of names ----------------------------------
    def write_arrays(self, path: Path, **arrays: np.ndarray) -> None:
        """Write a compressed .npz file of the arrays."""
        with atomic(path) as file:
            np.savez_compressed(file, **arrays)

    def test(self) -> dict[str, np.ndarray]:
        """Return confusion int64 (N, C, C), ground truth by row; names (N,); loss, as_published and code."""
        return self._arrays(self.confusion_path)

    def evaluated_by(self) -> str:
        """Return the digest of the code that evaluated the run."""
        return str(self._arrays(self.confusion_path, "code")["code"])

    def predictions(self) -> dict[str, np.ndarray]:
        """Return K evenly spread test images: index (K,), names (K,), images uint8 (K, S, S, 3), labels and
        predictions uint8 (K, S, S)."""
        return self._arrays(self.predictions_path)

    def predicted(self) -> np.ndarray:
        """Return the predicted classes of every test image, uint8 (N, S, S)."""
        return self._arrays(self.predicted_path)["classes"]

    def boundary(self) -> dict[str, np.ndarray]:
        """Return distances (D,) and trimap_edges (B + 1,) in px, and sums per image, (N, …), see
        `segnb.metrics.boundaries.statistics` and `segnb.metrics.softness.Softness`."""
        return self._arrays(self.boundary_path)

    def objects(self) -> pd.DataFrame:
        """Return one row per object of the ground truth, columns as in `segnb.metrics.objects.components`."""
        return pd.DataFrame(self._arrays(self.objects_path))

    def gates(self, *names: str) -> dict[str, np.ndarray]:
        """Return the arrays of `segnb.evaluation.ablation.Openness`, index (K,) of the images with stored
        maps, and neutral_confusion int64 (L + 1, N, C, C), see `ablation.neutral_confusion`.

        With names, only these arrays are read: the maps are most of the file.
        """
        return self._arrays(self.gates_path, *names)

    def ablation(self) -> dict[str, np.ndarray]:
        """Return names (K,) of parts; confusion int64 (K, N, C, C) without each (`ablation.confusions`)."""
        return self._arrays(self.ablation_path)

    def shifts(self) -> dict[str, np.ndarray]:
        """Return kinds (K,) of shifts; confusion int64 (K, N', C, C) of the first N' test scenes."""
        return self._arrays(self.shifts_path)

    def _arrays(self, path: Path, *names: str) -> dict[str, np.ndarray]:
        """Return the arrays of a file, by default all of them."""
        if not path.exists():
            raise SegnbError(f"{path}: the file is missing. Run 'segnb measure {self.path}' to write it.")
        try:
            with np.load(path) as arrays:
                return {name: arrays[name] for name in names or arrays}
        except (*UNREADABLE, KeyError):
            raise SegnbError(
                f"{path}: the file is damaged. Run 'segnb measure {self.path}' to write it again."
            ) from None
