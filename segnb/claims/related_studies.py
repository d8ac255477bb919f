"""Studies that a claim compares with: the same networks and recipe, trained on other data."""

from segnb.runtime.machine import Machine
from segnb.study.study import Study

# By what they were trained on: the name of the data, or of the label set.
FALSE_COLOURS, CARS, PHOTOGRAPHS = "streets-false-colours", "streets-car", "camvid"
DRIVES, INTERLEAVED = "streets-drives", "streets-drives-interleaved"
COMPANIONS = {
    FALSE_COLOURS: "the scenes in false colours",
    CARS: "the scenes with cars against the rest",
    PHOTOGRAPHS: "photographs (CamVid)",
    DRIVES: "rendered drives split by drive",
    INTERLEAVED: "rendered drives split within drives",
}


class Missing(Exception):
    """Evidence that is not there; the message says why, as half a sentence."""


def alike(study: Study, place: str) -> list[Study]:
    """Return studies that differ from this one in nothing but a companion's data, the newest first."""
    created = sorted(study.path.parent.glob("*/study.json"), key=lambda path: -path.stat().st_mtime)
    others = [Study(path.parent) for path in created]
    return [other for other in others if place in _data(other) and _shared(other) == _shared(study)]


def _data(study: Study) -> tuple:
    data = study.settings.get("data", {})
    return data.get("name"), data.get("label_set")  # which old versions did not write


def _shared(study: Study) -> list:
    """Return what two studies must have in common to be compared: all that makes a study but its data."""
    settings = study.settings
    machine = [settings["machine"].get(key) for key in Machine.__dataclass_fields__ if key != "device_name"]
    weights = [settings["weights"].get(key) for key in ("source", "sha256")]
    return [machine, weights, *(settings.get(key) for key in ("preset", "code", "versions"))]


def companion(study: Study, place: str) -> Study:
    """Return the companion of rendered scenes created last that has evaluated runs.

    Raises:
        Missing: if there is none, or if it was trained on another number of images, and so of steps.
    """
    if study.settings["data"]["name"] != "streets":
        raise Missing(f"only a study of the rendered streets is compared with {COMPANIONS[place]}")
    tested = [other for other in alike(study, place) if other.measured()]
    if not tested:
        raise Missing(
            f"there is no study of {COMPANIONS[place]} with the same preset, trunk weights, machine and code"
        )
    images, here = (one.settings["data"]["counts"]["train"] for one in (tested[0], study))
    if images != here:
        raise Missing(
            f"{COMPANIONS[place]} were trained on {images} images and these scenes on {here}, so that neither"
            " images nor steps are matched"
        )
    return tested[0]
