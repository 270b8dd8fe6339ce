"""Touches the machine's memory, power and programs, as far as they can be seen without rights."""

from daemon.adapters.probe.machine import MachineProbe

__all__ = ["MachineProbe"]
