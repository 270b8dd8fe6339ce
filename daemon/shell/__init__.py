"""Conducts: turns decisions into port calls; runs unchanged inside the simulator."""
