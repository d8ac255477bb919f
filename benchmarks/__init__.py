"""Benchmarks, not installed with segnb: training speed, and transfer from rendered to real frames."""
