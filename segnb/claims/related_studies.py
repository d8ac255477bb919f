"""Related studies: the same networks and recipe, trained on other data."""

import re

from segnb.runtime.machine import Machine
from segnb.study.study import Study

# Named by their data or label set.
FALSE_COLOURS, CARS, PHOTOGRAPHS = "streets-false-colours", "streets-car", "camvid"
DRIVES, INTERLEAVED = "streets-drives", "streets-drives-interleaved"
COMPANIONS = {
    FALSE_COLOURS: "the scenes in false colours",
    CARS: "the scenes with two classes, cars and the rest",
    PHOTOGRAPHS: "photographs (CamVid)",
    DRIVES: "rendered drives split by drive",
    INTERLEAVED: "rendered drives split within drives",
}


def origin(data: dict) -> str:
    """Describe the images of a study, without the module that renders them.

    Args:
        data: entry `data` of study.json
    """
    if data["name"] == PHOTOGRAPHS:
        return COMPANIONS[PHOTOGRAPHS]
    return re.sub(r" \(segnb\.[\w.]+\)$", "", data["origin"])


class Missing(Exception):
    """Missing evidence; the message gives the reason as half a sentence."""


def alike(study: Study, place: str) -> list[Study]:
    """Return the studies that differ from this one only in their data, newest first."""
    created = sorted(study.path.parent.glob("*/study.json"), key=lambda path: -path.stat().st_mtime)
    others = [Study(path.parent) for path in created]
    data = [(other, other.settings.get("data", {})) for other in others]  # missing in older versions
    there = [other for other, of in data if place in (of.get("name"), of.get("label_set"))]
    return [other for other in there if _shared(other) == _shared(study)]


def _shared(study: Study) -> list:
    """Return the settings that two comparable studies share: all except the data."""
    settings = study.settings
    machine = [settings["machine"].get(key) for key in Machine.__dataclass_fields__ if key != "device_name"]
    weights = [settings["weights"].get(key) for key in ("source", "sha256")]
    return [machine, weights, *(settings.get(key) for key in ("preset", "code", "versions"))]


def companion(study: Study, place: str) -> Study:
    """Return the newest related study with evaluated runs that fits.

    Raises:
        Missing: if the study does not use the rendered streets, or if no related study fits: the numbers of
            training images, and so of steps, differ, or other code evaluated it.
    """
    if study.settings["request"]["data"] != "streets":
        raise Missing(f"only studies of the rendered streets are compared with {COMPANIONS[place]}")
    reasons = []
    for other in alike(study, place):
        images, here = (one.settings["data"]["counts"]["train"] for one in (other, study))
        if not other.measured():
            continue
        if len({run.evaluated_by() for run in other.measured() + study.measured()}) > 1:
            reasons.append(f"another version of segnb evaluated the study of {COMPANIONS[place]}")
        elif images != here:
            reasons.append(
                f"the study of {COMPANIONS[place]} has {images} training images and this study has {here}, so"
                " images and steps do not match"
            )
        else:
            return other
    nothing = (
        f"there is no study of {COMPANIONS[place]} with the same preset, backbone weights, machine and code"
    )
    raise Missing(next(iter(reasons), nothing))
