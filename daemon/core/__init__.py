"""Decides: what follows from a command, where a job stands, what the world should be doing;
pure.
"""
