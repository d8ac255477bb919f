"""Measurements next to the study, not shipped: how fast training is, and what rendered streets teach."""
