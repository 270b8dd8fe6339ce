"""Measurements: each module prints one table; `python -m bench` runs them all."""
