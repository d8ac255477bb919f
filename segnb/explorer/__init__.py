"""Looking through a study's predictions by hand: what notebooks/explore.ipynb shows."""

from segnb.explorer.widget import Explorer as Explorer
