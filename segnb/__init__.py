"""segnb: a street-scene segmentation study that checks its own sentences."""

__version__ = "0.1.0"
