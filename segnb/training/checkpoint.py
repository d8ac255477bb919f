"""Weights and checkpoints on disk: files are complete or absent, and damage is always detected."""

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
    """Write a checkpoint, preceded by its SHA-256, because torch alone does not notice a flipped byte."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with atomic(path) as file:
        file.write(hashlib.sha256(buffer.getbuffer()).hexdigest().encode())
        file.write(buffer.getbuffer())


def load_state(path: Path, device: str) -> dict:
    """Read a checkpoint onto `device`.

    Raises:
        SegnbError: if the file is damaged or is not a checkpoint.
    """
    with open(path, "rb", buffering=0) as file:  # a buffered file, or a slice, would copy the body
        digest, body = file.read(_DIGEST_LENGTH), file.readall()
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise SegnbError(f"{path}: damaged file (SHA-256 differs).")
    try:
        return torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise SegnbError(f"{path}: not a checkpoint of segnb ({reason}).") from None


def save_model(path: Path, model: torch.nn.Module) -> None:
    """Write a network's weights as safetensors, in NCHW order."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic(path) as file:
        file.write(save(tensors))


def load_model(path: Path, model: torch.nn.Module) -> None:
    """Load weights into a network.

    Raises:
        SegnbError: if the file is unreadable or contains the weights of another network.
    """
    try:
        model.load_state_dict(load_file(path))
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise SegnbError(
            f"{path}: not the weights of this network ({reason}). Train the run again."
        ) from None


class Progress:
    """The checkpoints of a run: of the last two epochs, each with the best weights so far.

    The epoch is part of the file name of the best weights. If the newer checkpoint is damaged, training
    resumes from the older one, whose best weights may be of another epoch. Both are stored, because a GPU may
    not compute the same weights again.
    """

    def __init__(self, run: RunFolder):
        self.run = run
        self.best: dict | None = None  # epoch and sha256 of the best weights so far
        self.earlier: dict | None = None  # the same for the older checkpoint

    def save_best(self, epoch: int, model: torch.nn.Module) -> None:
        """Write the weights of the epoch that has just ended; the next `save` refers to them."""
        path = self.run.best_path(epoch)
        save_model(path, model)
        self.best = {"epoch": epoch, "sha256": sha256(path)}

    def save(self, state: dict) -> None:
        """Write a checkpoint, and keep the one before and the best weights of both."""
        if self.run.last_path.exists():
            os.replace(self.run.last_path, self.run.previous_path)
        save_state(self.run.last_path, state | {"best": self.best})
        current = {self.run.best_path(best["epoch"]) for best in (self.best, self.earlier) if best}
        for path in set(self.run.best_paths()) - current:
            path.unlink()
        self.earlier = self.best

    def load(self, device: str) -> dict | None:
        """Read the newest checkpoint that is not damaged onto `device`, and check its best weights.

        Returns:
            The state; None if training has not begun.

        Raises:
            SegnbError: if all checkpoints are damaged.
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
                print(f"{damaged[0]} Resuming from {path.name}, one epoch earlier.", flush=True)
                self.run.last_path.unlink()  # otherwise the next `save` would keep it as the older checkpoint
            self.best = self.earlier = state["best"]
            return state
        if damaged:
            raise SegnbError(f"{damaged[0]} Delete {self.run.path} to train this run from the start.")
        return None

    def _check(self, best: dict | None) -> None:
        """Raise SegnbError if the best weights are missing or damaged."""
        if best is None:
            return
        path = self.run.best_path(best["epoch"])
        if not path.exists() or sha256(path) != best["sha256"]:
            raise SegnbError(f"{path}: missing or damaged file (SHA-256 differs).")

    def keep_best(self) -> None:
        """Copy the best weights to their final name.

        Raises:
            SegnbError: if the weights are missing or damaged.
        """
        self._check(self.best)
        with open(self.run.best_path(self.best["epoch"]), "rb") as best, atomic(self.run.model_path) as file:
            shutil.copyfileobj(best, file)
