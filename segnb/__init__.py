"""segnb retrains the networks of a study on semantic segmentation and tests its claims."""

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segnb.prediction import Network

__version__ = "0.1.0"


def load(run: str | PathLike) -> "Network":
    """Load a trained network with its normalisation.

        network = segnb.load("latest")
        mask = network("photo.jpg")  # class ids, uint8 (H, W)

    Args:
        run: folder of a run, "STUDY/VARIANT/seedN", or "latest": the run that finished last

    Returns:
        A function of an image, which is a path, an image of Pillow, or an array uint8 (H, W, 3) RGB.
        `network.probabilities(image)` has the probability of each class, `network.classes` their names and
        colours. Each call computes on all cores and leaves the settings of torch as they were.

    Raises:
        SegnbError: the run is unknown or not finished, or its weights are missing or damaged.
    """
    from segnb import prediction  # imports torch, which takes seconds

    return prediction.load(run)
