"""Interactive explorer of a study's predictions, for notebooks/explore.ipynb."""

from segnb.explorer.widget import Explorer as Explorer
