"""The report: first page, chapters, figures and tables, and the HTML file with all of them."""

# Chapters in the order of the report: notebooks/<name>.ipynb.
CHAPTERS = ("claims", "dataset", "fcn", "unet", "audit", "methods")
