"""Tools for data folders, not needed for training: `download`, `check` and `prepare`."""
