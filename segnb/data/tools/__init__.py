"""Tools for data folders that no training needs: `download` a public one, `check` one, `prepare` a copy."""
