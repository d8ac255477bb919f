"""Where the runs of a report come from: what they have in common, and what differs between them."""

import pandas as pd
from pandas.io.formats.style import Styler

from segnb.report import tables
from segnb.study.provenance import in_turn, listed, record
from segnb.study.study import Run, by_variant


def sentence(runs: list[Run]) -> str:
    """Say when the runs were made and what they have in common; "" if none has a record."""
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
    period = " to ".join(dict.fromkeys((days[0], days[-1])))
    text = f"{len(runs)} run{'s' * (len(runs) > 1)}, started {period}."
    if shared:
        text += f" The same in all: {'; '.join(shared)}."
    if varying:
        text += f" Not the same in all, see the table: {'; '.join(varying)}."
    return text


def table(runs: list[Run]) -> Styler | None:
    """Show `differences` as a table of the report; None if there are none."""
    return tables.table(
        differences(runs),
        "What is not the same in all runs, with the runs that each value belongs to. Scores are not expected"
        " to depend on it beyond their last digits; what else they depend on is the same in all runs.",
    )


def differences(runs: list[Run]) -> pd.DataFrame:
    """Tabulate what differs in where runs come from; what an old version did not record does not count.

    Returns:
        One row per fact (index), column "runs": each value with its runs.
    """
    rows = {
        fact: "; ".join(f"{value}: {_named(group, len(runs))}" for value, group in values.items())
        for fact, values in _by_value(runs).items()
        if len(values) > 1
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["runs"])


def _by_value(runs: list[Run]) -> dict[str, dict[str, list[Run]]]:
    """{fact: {value: [runs]}}, both in the order in which they come."""
    records = [record(run) for run in runs]
    table: dict[str, dict[str, list[Run]]] = {}
    for run, origin, packages in zip(runs, records, _varying_packages(records), strict=True):
        for fact, value in {**_facts(origin), "packages": packages}.items():
            if value:
                table.setdefault(fact, {}).setdefault(value, []).append(run)
    return table


def _facts(origin: dict) -> dict[str, str | None]:
    """What a reader may want to know of a run's origin, but for packages and dates."""
    machine = origin.get("machine") or {}
    device = machine.get("device_name")
    on_cpu = machine.get("device", "cpu") == "cpu"
    commits = ", then ".join(commit[:12] for commit in in_turn(origin, "commit"))
    processors = ", then ".join(in_turn(origin, "processor"))
    return {
        "segnb": origin.get("segnb"),
        "commit": commits or ("not known" if "commit" in origin else None),
        "uncommitted changes": _changes(origin),
        "Python": origin.get("python"),
        "system": origin.get("platform") or machine.get("system"),
        "processor": processors or (device if on_cpu else None),
        "GPU": None if on_cpu else device,
        "requirements.lock": _as_locked(origin.get("unlocked")),
    }


def _changes(origin: dict) -> str | None:
    files = origin.get("changed_files")
    if not files:
        return "none" if origin.get("commit") and files is not None else None
    digest = origin.get("diff_sha256")
    return listed(files, 3) + (f" ({digest[:8]})" if digest else "")


def _as_locked(unlocked: dict | None) -> str | None:
    if unlocked is None:
        return None
    return f"not met by {listed(list(unlocked))}" if unlocked else "met by all packages"


def _varying_packages(records: list[dict]) -> list[str]:
    """Per run, its versions of the packages that all runs recorded and that differ: "pillow 13.0.0"."""
    recorded = [packages for origin in records if (packages := origin.get("packages"))]
    names = set(recorded[0]).intersection(*recorded[1:]) if recorded else set()
    varying = sorted(name for name in names if len({packages[name] for packages in recorded}) > 1)
    return [
        listed([f"{name} {origin['packages'][name] or 'missing'}" for name in varying])
        if origin.get("packages")
        else ""
        for origin in records
    ]


def _named(runs: list[Run], total: int) -> str:
    """Which of `total` runs: "UNet_NoSkip_256 seeds 0 and 1", or how many if that would be long."""
    if len(runs) > 6:
        return f"{len(runs)} of {total} runs"
    return ", ".join(
        f"{variant} seed{'s' * (len(group) > 1)} {' and '.join(str(run.seed) for run in group)}"
        for variant, group in by_variant(runs).items()
    )
