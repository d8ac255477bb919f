"""Weights and training state on disk: whole or not there, and never silently altered."""

import hashlib
import io
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from segnb.errors import SegnbError
from segnb.files import atomic

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
        raise SegnbError(
            f"{path} is damaged (its SHA-256 differs); delete it to train this run from the start"
        )
    return torch.load(io.BytesIO(body), map_location=device, weights_only=True)


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
        told = str(error).splitlines()[0]
        raise SegnbError(
            f"{path} does not hold this network's weights ({told}); train the run again"
        ) from None
