"""`segnb export`, apart from `segnb report`, which does without the writer of the page."""

import argparse
from pathlib import Path

from segnb.cli.options import add_command, add_report_options
from segnb.params import ReportParams
from segnb.report.report import export_study
from segnb.storage.files import write_text
from segnb.study.study import open_study


def add_commands(commands) -> None:
    page = add_command(commands, export)
    page.add_argument(
        "chapters", metavar="CHAPTER", nargs="+", help="executed notebooks, in the order of the report"
    )
    add_report_options(page)
    page.add_argument("--out", default="report/index.html", help="HTML file (default: report/index.html)")


def export(options: argparse.Namespace) -> None:
    """Join executed chapters into one HTML file.

    The training notebooks and claims.json go into the same folder.
    """
    params = ReportParams.from_attributes(options)
    out = export_study(params, [Path(path) for path in options.chapters], Path(options.out))
    verdicts = open_study(params.study).claims_path
    if verdicts.exists():
        write_text(out.parent / "claims.json", verdicts.read_text(encoding="utf-8"))
    print(out)
