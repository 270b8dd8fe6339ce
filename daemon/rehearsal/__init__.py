"""Rehearsal: the embedded default engine, a process of its own that speaks ComfyUI's protocol.

Its law: it imports nothing from the rest of ``daemon`` and nothing there imports it; it is started
as ``python -m daemon.rehearsal`` and known by its HTTP and WebSocket answers alone. It is the
engine of the demo and the stand-in of the tests, so it behaves as ComfyUI 0.3.64 was observed to
behave, defects included, and draws a storyboard frame where the real one would render. Beside it
stands ``daemon.rehearsal.trainer``, a process that behaves as sd-scripts' train_network.py does.
"""
