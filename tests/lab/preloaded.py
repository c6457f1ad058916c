"""The stock `openstack` command, whose modules are imported once for all commands.

It is the same code with the same arguments, environment, working directory and files. Only the
second of processor time that its imports take is spared, of which the pages have about two hundred.
"""

import contextlib
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isthmus.testing.until import until

#: What the commands of the pages import, with all that is below.
_MODULES = (
    "openstackclient.network.v2",
    "openstackclient.common",
    "openstackclient.network.client",
)
_COMMAND = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as to:
    to.connect({socket!r})
    asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(to, [b" "], [0, 1, 2])
    to.sendall(asked)
    to.shutdown(socket.SHUT_WR)
    sys.exit(int(to.recv(9) or b"70"))
"""


@contextlib.contextmanager
def preloaded(folder: Path) -> Iterator[Path]:
    """Have the command in a folder for a while; gives the folder."""
    where = folder / "socket"
    command = folder / "openstack"
    command.write_text(_COMMAND.format(python=sys.executable, socket=str(where)))
    command.chmod(0o755)
    log = (folder / "log").open("w")
    words = [sys.executable, "-W", "ignore", str(Path(__file__)), str(where)]
    with log, subprocess.Popen(words, stdout=log, stderr=log) as process:
        try:
            until(lambda: where.exists() or process.poll() is not None, what="openstack is loaded")
            assert process.poll() is None, (folder / "log").read_text()
            yield folder
        finally:
            process.terminate()


def serve(where: str) -> None:
    """Run one command for each caller, until the process is ended."""
    sys.argv = ["openstack"]
    main = importlib.import_module("openstackclient.shell").main
    for name in _MODULES:
        module = importlib.import_module(name)
        for below in pkgutil.iter_modules(getattr(module, "__path__", ())):
            importlib.import_module(f"{name}.{below.name}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # each says itself how it ended
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{where}.new")
        listener.listen(16)
        Path(f"{where}.new").rename(where)
        while True:
            caller, _ = listener.accept()
            with caller:
                if os.fork() == 0:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    run(main, caller)


def run(main: Any, caller: socket.socket) -> None:
    """Be the command of a caller, and end."""
    _, files, _, _ = socket.recv_fds(caller, 1, 3)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    with caller.makefile("rb") as asked:
        words, folder, env = json.loads(asked.read())
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["openstack", *words]
    code: object = 70
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:  # whatever it raises, this process does not go on to the next caller
        sys.stdout.flush()
        sys.stderr.flush()
        caller.sendall(str(code or 0).encode())
        os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
