"""The report as HTML: executed notebooks in, files that open without a network out."""

from segnb.report.html.page import export_page, export_report

__all__ = ["export_page", "export_report"]
