"""Processes, told apart for good."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A pid and when it began: the kernel gives pids away again, but never both the same."""

    pid: int
    started: int  #: clock ticks since boot (proc(5), /proc/PID/stat, field 22)
