"""Trained networks on a user's own images: `segnb.load` and `segnb predict`."""

from segnb.prediction.network import Network as Network
from segnb.prediction.network import load as load
