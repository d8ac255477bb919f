"""From the study's sentences to verdicts: ledger, metrics, effects, decisions, wording and files."""
