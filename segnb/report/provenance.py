"""The origin of the runs of a report: shared facts, differences, and the names of networks in files."""

import pandas as pd
from pandas.io.formats.style import Styler

from segnb.claims.wording import counted
from segnb.models.registry import label
from segnb.report import tables
from segnb.study.provenance import abridged, in_turn
from segnb.study.study import Run, by_variant


def sentence(runs: list[Run]) -> str:
    """Say when the runs were started and what they share; "" without runs."""
    if not runs:
        return ""
    days = sorted({run.provenance["started"][:10] for run in runs})
    facts = _by_value(runs)
    shared = [
        f"{fact} {value}"
        for fact, values in facts.items()
        for value, group in values.items()
        if len(group) == len(runs)
    ]
    varying = [fact for fact, values in facts.items() if len(values) > 1]
    study = runs[0].study
    started = f"from {days[0]} to {days[-1]}" if len(days) > 1 else f"on {days[0]}"
    text = (
        f"Study `{study.name}` on data set `{study.settings['data']['digest']}`:"
        f" {counted(len(runs), 'run')}, started {started}."
    )
    if shared:
        text += f" All runs have in common: {'; '.join(shared)}."
    if varying:
        text += f" They differ in: {'; '.join(varying)} (see [the table](#table-provenance))."
    return text


def identifiers(runs: list[Run]) -> Styler | None:
    """Show the name of each network in settings, commands and files; None without runs."""
    names = {label(name): {"identifier": name} for name in by_variant(runs)}
    return tables.table(
        "identifiers",
        pd.DataFrame.from_dict(names, orient="index"),
        "Settings, commands and files use these names for the networks.",
    )


def table(runs: list[Run]) -> Styler | None:
    """Show the facts that differ between runs, each value with its runs; None without differences.

    Facts that a run does not know do not count.
    """
    rows = {
        fact: {"runs": "; ".join(f"{value}: {_named(group, len(runs))}" for value, group in values.items())}
        for fact, values in _by_value(runs).items()
        if len(values) > 1
    }
    return tables.table(
        "provenance",
        pd.DataFrame.from_dict(rows, orient="index"),
        f"The runs differ in {counted(len(rows), 'fact')}. Each value is followed by"
        " its runs. Settings, data, backbone weights and training code are the same in all runs.",
    )


def _by_value(runs: list[Run]) -> dict[str, dict[str, list[Run]]]:
    """Group runs by fact and value, {fact: {value: [runs]}}, in order of appearance."""
    table: dict[str, dict[str, list[Run]]] = {}
    for run, packages in zip(runs, _varying_packages(runs), strict=True):
        for fact, value in (_facts(run.provenance) | {"packages": packages}).items():
            if value:
                table.setdefault(fact, {}).setdefault(value, []).append(run)
    return table


def _facts(origin: dict) -> dict[str, str | None]:
    """List the facts of a run's origin, without packages and dates."""
    machine, unlocked = origin["machine"], origin["unlocked"]
    return {
        "segnb": origin["segnb"],
        "commit": ", then ".join(commit[:12] for commit in in_turn(origin, "commit")) or "not known",
        "uncommitted changes": _changes(origin),
        "Python": origin["python"],
        "system": origin["platform"],
        "processor": ", then ".join(in_turn(origin, "processor")),
        "GPU": None if machine["device"] == "cpu" else machine["device_name"],
        "packages not as in requirements.lock": None if unlocked is None else abridged([*unlocked]) or "none",
    }


def _changes(origin: dict) -> str | None:
    files = origin["changed_files"]
    if not files:
        return "none" if files == [] else None  # without git
    return f"{abridged(files, 3)} ({origin['diff_sha256'][:8]})"


def _varying_packages(runs: list[Run]) -> list[str]:
    """List, per run, the packages whose versions differ between runs, such as "pillow 13.0.0"."""
    packages = [run.provenance["packages"] for run in runs]
    names = sorted(set.intersection(*map(set, packages))) if packages else []
    varying = [name for name in names if len({versions[name] for versions in packages}) > 1]
    return [abridged([f"{name} {versions[name] or 'missing'}" for name in varying]) for versions in packages]


def _named(runs: list[Run], total: int) -> str:
    """Name runs, as in "UNet_NoSkip_256 seeds 0 and 1", or count them if they are many."""
    if len(runs) > 6:
        return f"{len(runs)} of {total} runs"
    return ", ".join(
        f"{variant} seed{'s' * (len(group) > 1)} {' and '.join(str(run.seed) for run in group)}"
        for variant, group in by_variant(runs).items()
    )
