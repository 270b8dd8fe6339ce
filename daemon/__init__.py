"""Nightpress: one writer, one ledger, one GPU; panels and LoRA trainings made overnight."""

__version__ = "0.2.0"
