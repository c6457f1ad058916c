"""One process that imports Neutron and Keystone once, and forks a service wherever one is wanted.

Importing is most of what a service does at its start, and most of its memory. A child shares both:
it moves into its tier's network namespace, reads its own configuration and goes on from there.

Run as `python -m isthmus.lab.process.zygote --preload MODULE ...`. Standard input takes one `Birth`
as JSON a line; standard output answers each with `{"name", "pid"}`. It ends when its input ends;
the children live on. It must have one thread only: a lock that another thread holds would stay
locked in the child for ever, so more than one is refused.
"""

import argparse
import ctypes
import gc
import importlib
import json
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn, Self

#: setns(2) and its flag for a network namespace (Source: linux/sched.h).
_CLONE_NEWNET = 0x40000000
#: The kernel keeps 15 bytes of a process's name.
_COMM_BYTES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """One service to fork: a WSGI application with its port, or a program's `main`."""

    name: str
    netns: str = ""  #: path of a network namespace; empty: the zygote's own
    log: str  #: file that takes its output
    env: Mapping[str, str] = field(default_factory=dict)
    argv: Sequence[str] = ()
    prepare: Sequence[str] = ()  #: MODULE:FUNCTION to call first
    application: str = ""  #: MODULE:NAME of a WSGI application
    bind: str = ""
    port: int = 0
    main: str = ""  #: MODULE:FUNCTION, where it is no WSGI application

    def to_line(self) -> str:
        """Return the line that the zygote reads."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Read such a line."""
        body = json.loads(line)
        return cls(**{**body, "argv": tuple(body["argv"]), "prepare": tuple(body["prepare"])})


def preload(names: Sequence[str]) -> None:
    """Import modules, and call what is named as MODULE:FUNCTION.

    What is not named is loaded, or done, by each child that needs it.
    """
    # Here, since it brings a web server that whoever only writes a `Birth` has no use for.
    from isthmus.lab.process import serve

    for name in names:
        if ":" in name:
            serve.load(name)()
        else:
            importlib.import_module(name)
    # Nothing made so far is garbage: the collector must not touch (and so copy) the shared pages.
    gc.collect()
    gc.freeze()


def give_birth(birth: Birth) -> int:
    """Fork a service and give its pid."""
    if threading.active_count() > 1:
        names = ", ".join(thread.name for thread in threading.enumerate())
        raise SystemExit(f"the zygote has more than one thread ({names}) and must not fork")
    pid = os.fork()
    if pid == 0:
        _live(birth)
    return pid


def _live(birth: Birth) -> NoReturn:
    """Be the service. Never comes back into the zygote's loop."""
    try:
        from isthmus.lab.process import serve

        os.setsid()
        _redirect(birth.log)
        _name_process(birth.name)
        if birth.netns:
            enter_netns(birth.netns)
        os.environ.update(birth.env)
        # Neutron marks its process group by a file there, and Python has chosen the folder already.
        tempfile.tempdir = None
        sys.argv = list(birth.argv) or [birth.name]
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        serve.prepare(birth.prepare)
        if birth.main:
            serve.run_main(birth.main, sys.argv)
        else:
            serve.serve(birth.application, birth.bind, birth.port)
    except BaseException:  # noqa: BLE001  (the last words of a process go to its log)
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def enter_netns(path: str) -> None:
    """Move this process into a network namespace.

    Raises:
        OSError: there is none, or this process may not.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(handle)


def _redirect(log: str) -> None:
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    void = os.open(os.devnull, os.O_RDONLY)
    os.dup2(void, 0)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.close(void)
    os.close(sink)


def _name_process(name: str) -> None:
    with open("/proc/self/comm", "w", encoding="ascii") as comm:  # noqa: PTH123  (no Path yet)
        comm.write(name[:_COMM_BYTES])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(prog="python -m isthmus.lab.process.zygote")
    parser.add_argument("--preload", action="append", default=[], metavar="MODULE")
    wanted = parser.parse_args(arguments)
    # Ctrl-C on the terminal is for the person's command, which then ends our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Children are nobody's to wait for: the kernel buries them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sys.argv = sys.argv[:1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        preload(wanted.preload)
    for line in sys.stdin:
        birth = Birth.from_line(line)
        answer: dict[str, Any] = {"name": birth.name, "pid": give_birth(birth)}
        print(json.dumps(answer), flush=True)  # noqa: T201  (the protocol)


if __name__ == "__main__":
    main()
