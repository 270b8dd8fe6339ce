"""Touches: one third-party library or system-call family a module, strangers to one another."""
