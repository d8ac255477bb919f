"""From the study's sentences to verdicts: ledger, contrasts, metrics, effects, decisions, words."""
