"""The origin of the runs of a report: shared facts, differences, and the names of networks in files."""

import pandas as pd
from pandas.io.formats.style import Styler

from segnb.claims.wording import counted
from segnb.models.registry import label
from segnb.report import tables
from segnb.study.provenance import abridged, in_turn, record
from segnb.study.study import Run, by_variant


def sentence(runs: list[Run]) -> str:
    """Say when the runs were started and what they share; "" if none has a record."""
    records = [origin for run in runs if (origin := record(run))]
    if not records:
        return ""
    days = sorted({origin["started"][:10] for origin in records})
    facts = _by_value(runs)
    shared = [
        f"{fact} {value}"
        for fact, values in facts.items()
        for value, group in values.items()
        if len(group) == len(records)
    ]
    varying = [fact for fact, values in facts.items() if len(values) > 1]
    study = runs[0].study
    started = f"from {days[0]} to {days[-1]}" if len(days) > 1 else f"on {days[0]}"
    text = (
        f"Study `{study.name}` on data set `{study.settings['data']['digest']}`:"
        f" {counted(len(runs), 'run')}, started {started}."
    )
    if shared:
        which = "All runs" if len(records) == len(runs) else "Runs with a record"
        text += f" {which} have in common: {'; '.join(shared)}."
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
    """Show `differences` as a table of the report; None without differences."""
    rows = differences(runs)
    return tables.table(
        "provenance",
        rows,
        f"The runs differ in {counted(len(rows), 'fact')}. Each value is followed by"
        " its runs. These facts should change scores in their last digits only; everything else that scores"
        " depend on is the same in all runs.",
    )


def differences(runs: list[Run]) -> pd.DataFrame:
    """Tabulate the facts that differ between runs; facts that a run did not record do not count.

    Returns:
        One row per fact (index); the column "runs" has each value with its runs.
    """
    rows = {
        fact: "; ".join(f"{value}: {_named(group, len(runs))}" for value, group in values.items())
        for fact, values in _by_value(runs).items()
        if len(values) > 1
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["runs"])


def _by_value(runs: list[Run]) -> dict[str, dict[str, list[Run]]]:
    """Group runs by fact and value, {fact: {value: [runs]}}, in order of appearance."""
    records = [record(run) for run in runs]
    table: dict[str, dict[str, list[Run]]] = {}
    for run, origin, packages in zip(runs, records, _varying_packages(records), strict=True):
        for fact, value in {**_facts(origin), "packages": packages}.items():
            if value:
                table.setdefault(fact, {}).setdefault(value, []).append(run)
    return table


def _facts(origin: dict) -> dict[str, str | None]:
    """List the facts of a run's origin, without packages and dates."""
    machine = origin.get("machine") or {}
    device = machine.get("device_name")
    on_cpu = machine.get("device", "cpu") == "cpu"
    commits = ", then ".join(commit[:12] for commit in in_turn(origin, "commit"))
    processors = ", then ".join(in_turn(origin, "processor"))
    unlocked = origin.get("unlocked")
    return {
        "segnb": origin.get("segnb"),
        "commit": commits or ("not known" if "commit" in origin else None),
        "uncommitted changes": _changes(origin),
        "Python": origin.get("python"),
        "system": origin.get("platform") or machine.get("system"),
        "processor": processors or (device if on_cpu else None),
        "GPU": None if on_cpu else device,
        "packages not as in requirements.lock": None if unlocked is None else abridged([*unlocked]) or "none",
    }


def _changes(origin: dict) -> str | None:
    files = origin.get("changed_files")
    if not files:
        return "none" if origin.get("commit") and files is not None else None
    digest = origin.get("diff_sha256")
    return abridged(files, 3) + (f" ({digest[:8]})" if digest else "")


def _varying_packages(records: list[dict]) -> list[str]:
    """List, per run, the packages whose versions differ between runs, such as "pillow 13.0.0"."""
    recorded = [packages for origin in records if (packages := origin.get("packages"))]
    names = set(recorded[0]).intersection(*recorded[1:]) if recorded else set()
    varying = sorted(name for name in names if len({packages[name] for packages in recorded}) > 1)
    return [
        abridged([f"{name} {origin['packages'][name] or 'missing'}" for name in varying])
        if origin.get("packages")
        else ""
        for origin in records
    ]


def _named(runs: list[Run], total: int) -> str:
    """Name runs, as in "UNet_NoSkip_256 seeds 0 and 1", or count them if they are many."""
    if len(runs) > 6:
        return f"{len(runs)} of {total} runs"
    return ", ".join(
        f"{variant} seed{'s' * (len(group) > 1)} {' and '.join(str(run.seed) for run in group)}"
        for variant, group in by_variant(runs).items()
    )
