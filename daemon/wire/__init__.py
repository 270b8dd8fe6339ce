"""Spells: bytes and documents to values and back, without ever doing I/O itself."""
