"""segnb retrains the networks of a study on semantic segmentation and tests its claims."""

__version__ = "0.1.0"
