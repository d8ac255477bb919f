"""Weights and training state on disk: whole or not there, and never silently altered."""

import hashlib
import io
import os
import pickle
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from segnb.errors import SegnbError
from segnb.storage.checksums import sha256
from segnb.storage.files import atomic
from segnb.storage.run_folder import RunFolder

_DIGEST_LENGTH = 64  # hex digits of SHA-256, ahead of the torch file


def save_state(path: Path, state: dict) -> None:
    """Training state for resuming, with its SHA-256 in front: torch alone loads a flipped byte silently."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with atomic(path) as file:
        file.write(hashlib.sha256(buffer.getbuffer()).hexdigest().encode())
        file.write(buffer.getbuffer())


def load_state(path: Path, device: str) -> dict:
    """The state back on `device`. Raises SegnbError if the file is not what was written."""
    content = path.read_bytes()
    digest, body = content[:_DIGEST_LENGTH], memoryview(content)[_DIGEST_LENGTH:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise SegnbError(f"{path} is damaged (its SHA-256 differs)")
    try:
        return torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise SegnbError(f"{path} is no training state of segnb ({reason})") from None


def save_model(path: Path, model: torch.nn.Module) -> None:
    """Weights as safetensors in plain NCHW order."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic(path) as file:
        file.write(save(tensors))


def load_model(path: Path, model: torch.nn.Module) -> None:
    """Load weights into a network of the same shape. Raises SegnbError that names the file."""
    try:
        model.load_state_dict(load_file(path))
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise SegnbError(
            f"{path} does not hold this network's weights ({reason}); train the run again"
        ) from None


class Progress:
    """Resumable state of a training: checkpoints of the last two epochs, each with the best weights so far.

    The best weights have the epoch in their name, because the state that refers to them may turn out to be
    the older one, and a GPU does not find the same weights twice.
    """

    def __init__(self, run: RunFolder):
        self.run = run
        self.best: dict | None = None  # epoch and sha256 of the best weights so far
        self.earlier: dict | None = None  # those of the state before

    def save_best(self, epoch: int, model: torch.nn.Module) -> None:
        """Keep the weights of the epoch that has just ended; they count with the next `save`."""
        path = self.run.best_path(epoch)
        save_model(path, model)
        self.best = {"epoch": epoch, "sha256": sha256(path)}

    def save(self, state: dict) -> None:
        """Keep a state, the one before as a second generation, and the best weights of both."""
        if self.run.last_path.exists():
            os.replace(self.run.last_path, self.run.previous_path)
        save_state(self.run.last_path, state | {"best": self.best})
        current = {self.run.best_path(best["epoch"]) for best in (self.best, self.earlier) if best}
        for path in set(self.run.best_paths()) - current:
            path.unlink()
        self.earlier = self.best

    def load(self, device: str) -> dict | None:
        """The newest sound state on `device`, with its best weights; None if training has not begun.

        Raises SegnbError if there are states, and none is sound.
        """
        damaged: list[SegnbError] = []
        for path in (self.run.last_path, self.run.previous_path):
            if not path.exists():
                continue
            try:
                state = load_state(path, device)
                self._check(state["best"])
            except SegnbError as error:
                damaged.append(error)
                continue
            if damaged:
                print(f"{damaged[0]}; going on from {path.name}, an epoch earlier", flush=True)
                self.run.last_path.unlink()  # or the next `save` would take it for the second generation
            self.best = self.earlier = state["best"]
            return state
        if damaged:
            raise SegnbError(f"{damaged[0]}; delete {self.run.path} to train this run from the start")
        return None

    def _check(self, best: dict | None) -> None:
        if best is None:
            return
        path = self.run.best_path(best["epoch"])
        if not path.exists() or sha256(path) != best["sha256"]:
            raise SegnbError(f"{path} is damaged (its SHA-256 differs)")

    def keep_best(self) -> None:
        """The best weights under their final name. Raises SegnbError if they have changed on the disk."""
        self._check(self.best)
        with open(self.run.best_path(self.best["epoch"]), "rb") as best, atomic(self.run.model_path) as file:
            shutil.copyfileobj(best, file)
