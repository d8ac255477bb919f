# Chapters in the order of the report: notebooks/<name>.ipynb.
CHAPTERS = ("claims", "dataset", "fcn", "unet", "audit", "methods")
