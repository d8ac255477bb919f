"""The report: the executed chapters of a study as one page, and one page per training run."""

import os
from pathlib import Path

from segnb import __version__
from segnb.claims.related_studies import origin
from segnb.claims.wording import counted
from segnb.models.pretrained import SOURCES
from segnb.models.registry import VARIANTS
from segnb.params import ReportParams
from segnb.report import CHAPTERS
from segnb.report.html.page import export_page
from segnb.report.text import image_counts, network_count
from segnb.storage import root
from segnb.study.provenance import check
from segnb.study.study import Run, Study, open_study

PUBLISHED = "docs/report/index.html"  # the report that the README links


def publish_study(params: ReportParams) -> bool:
    """Write the report of a study, without the pages of its runs, to PUBLISHED if its chapters are executed.

    Returns:
        Whether it is written.
    """
    folder = open_study(params.study).path / "chapters"
    chapters = [folder / f"{name}.ipynb" for name in CHAPTERS]
    if not all(chapter.exists() for chapter in chapters):
        return False
    export_study(params, chapters, root() / PUBLISHED, alone=True)
    return True


def export_study(params: ReportParams, chapters: list[Path], out: Path, alone: bool = False) -> Path:
    """Write the report and, next to it, one page per training notebook.

    Args:
        params: Study, networks and seeds.
        chapters: Executed chapters, in the order of the report.
        out: File to write.
        alone: Whether to write the report only.

    Returns:
        `out`.
    """
    study = open_study(params.study)
    runs = study.measured(params.variants, params.seeds)
    check(study, runs)
    pages = out.parent / "training"
    for old in pages.glob("*-seed*.html"):  # of another study
        old.unlink()
    links = []
    for run in (run for run in runs if run.notebook_path.exists() and not alone):
        page = pages / f"{run.variant}-seed{run.seed}.html"
        title = f"{VARIANTS[run.variant].label}, seed {run.seed}"
        export_page([run.notebook_path], page, title=title, home=os.path.relpath(out, page.parent))
        links.append((title, Path(os.path.relpath(page, out.parent))))
    return export_page(
        chapters,
        out,
        # The classes of a user's folder need not be those of a street.
        title=f"{'S' if study.classes.key == 'own' else 'Street-scene s'}egmentation: which claims hold?",
        subtitle="The FCNs and U-Nets of a student's course report, trained and evaluated again",
        facts=facts(study, runs),
        warnings=study.warnings,
        pages=links,
    )


def facts(study: Study, runs: list[Run]) -> dict[str, str]:
    """Summarise data, settings, machine and software of a study.

    Returns:
        {name: value}, as the end of the page shows them.
    """
    settings, machine = study.settings, study.machine
    fcn, unet = study.preset.fcn, study.preset.unet
    seeds = sorted({run.seed for run in runs})
    days = sorted({run.provenance["started"][:10] for run in runs})
    return {
        "Data": f"{origin(settings['data'])}: {image_counts(study)}",
        "Preset": f"{study.preset.name}: FCN {fcn.size} px, head of {64 * fcn.width} channels,"
        f" {counted(fcn.epochs, 'epoch')}; U-Net {unet.size} px, width {unet.width},"
        f" {counted(unet.epochs, 'epoch')}",
        "Runs": f"{network_count(runs)}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
        if runs
        else "none yet",
        "Backbone weights": _described(settings["weights"]["source"]),
        "Machine": f"{machine.device_name}, {counted(machine.threads, 'thread')} per run, {machine.precision}"
        + "".join(f", {name}={value}" for name, value in machine.environment.items()),
        "Trained": " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "nothing yet",
        "Software": f"segnb {__version__}, torch {settings['versions']['torch']}",
    }


def _described(source: str) -> str:
    """Join a source of weights and its description."""
    known = SOURCES.get(source.removesuffix("+fc6"))
    return f"{source}: {known.what}" if known else source
