"""The embedded engine against recordings of the real one, and its drawings and faults."""
