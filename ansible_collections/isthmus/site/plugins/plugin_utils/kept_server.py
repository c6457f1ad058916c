"""A Python that stays on a host for the time of a play and runs Ansible's modules there.

The connection `isthmus.site.kept` sends this file to the host's own Python once, over SSH. It opens
a socket that its user alone can reach, says where, and goes to the background. For each task it
forks: no further Python starts, imports its library and compiles the same modules again, which is
most of what a task costs. After a while without a task it ends and leaves nothing.

A request is a line of JSON and as many bytes as it says; so is the answer.
"""

from __future__ import annotations

import atexit
import base64
import io
import json
import os
import pwd
import re
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import threading
import traceback
import zipfile
import zipimport

#: What is asked: a module's code for this Python, a program, or that a file is put there.
MODULE, PROGRAM, PUT = "module", "program", "put"
#: What is said to who connects, so that a forwarded socket with nobody behind it is known.
GREETING = b"isthmus\n"
#: Who does not take its answer for so long is given up.
SEND_S = 60
CHUNK = 1 << 16
#: What modules of Ansible import: here it is loaded once.
PRELOADED = (
    "__future__ _datetime argparse ast bz2 copy ctypes dataclasses datetime decimal difflib"
    " email.utils enum errno fcntl filecmp getpass glob grp hashlib http.client importlib.util"
    " inspect itertools locale logging lzma mimetypes ntpath operator pathlib pkgutil platform"
    " pwd queue random runpy shlex ssl stat string struct subprocess syslog tarfile tempfile"
    " textwrap time types typing unicodedata urllib.request uuid warnings xml.etree.ElementTree"
).split()
#: Where Ansible's wrapper of a module holds the archive of all that it needs.
ARCHIVE = re.compile(rb"^zip_data='([A-Za-z0-9+/=]+)',$", re.MULTILINE)


class Codes:
    """Compiled files of modules' archives, by their text."""

    def __init__(self) -> None:
        """Have the import of archives use them."""
        self._codes: dict[bytes, object] = {}
        self._known: set[bytes] = set()
        compile_source = getattr(zipimport, "_compile_source", None)
        if compile_source is None:
            return  # another Python: it compiles as ever

        def look(path: str, source: bytes) -> object:
            found = self._codes.get(source)
            return compile_source(path, source) if found is None else found

        zipimport._compile_source = look

    def learn(self, module: bytes) -> None:
        """Compile what a module's archive has and was not seen before."""
        found = ARCHIVE.search(module)
        if found is None or found[1] in self._known:
            return
        self._known.add(found[1])
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(found[1]))) as archive:
            for name in archive.namelist():
                source = archive.read(name)
                if name.endswith(".py") and source not in self._codes:
                    try:
                        self._codes[source] = compile(source, name, "exec", dont_inherit=True)
                    except (SyntaxError, ValueError):
                        continue  # who imports it will say so


class Server:
    """Takes requests and forks for each."""

    def __init__(self, listener: socket.socket, idle_s: float) -> None:
        """Bind it to a socket that listens; it ends when nobody asked for `idle_s`."""
        self._listener, self._idle_s = listener, idle_s
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._codes = Codes()
        self._busy = 0

    def serve(self) -> None:
        """Serve until nobody has asked for a while."""
        while True:
            events = self._selector.select(None if self._busy else self._idle_s)
            if not events:
                return
            for key, _events in events:
                key.data()

    def _accept(self) -> None:
        client = self._listener.accept()[0]
        client.setblocking(False)
        heard = bytearray()
        self._busy += 1
        self._selector.register(client, selectors.EVENT_READ, lambda: self._hear(client, heard))
        try:
            client.send(GREETING)
        except OSError:
            pass  # it went: that is heard next

    def _hear(self, client: socket.socket, heard: bytearray) -> None:
        try:
            part = client.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        heard += part
        at = heard.find(b"\n")
        request = json.loads(heard[:at]) if part and at >= 0 else None
        if part and (request is None or len(heard) - at - 1 < request["size"]):
            return
        self._selector.unregister(client)
        if request is None:
            self._forget(client)  # it went before it had said all
            return
        try:
            self._begin(client, request, bytes(memoryview(heard)[at + 1 :]))
        except OSError as exc:  # no process or file more can be had
            self._answer(client, 1, b"", str(exc).encode())

    def _forget(self, client: socket.socket) -> None:
        client.close()
        self._busy -= 1

    def _begin(self, client: socket.socket, request: dict, data: bytes) -> None:
        if request["kind"] == PUT:
            self._answer(client, *put(request["path"], data))
            return
        if request["kind"] == MODULE:
            self._codes.learn(data)
        out, err = os.memfd_create("out"), os.memfd_create("err")
        pid = os.fork()
        if pid == 0:
            work(request, data, out, err)
        watched = os.pidfd_open(pid)

        def end() -> None:
            self._selector.unregister(watched)
            os.close(watched)
            status = os.waitpid(pid, 0)[1]
            code = os.waitstatus_to_exitcode(status)
            # As a shell says it of a program that a signal ended.
            self._answer(client, code if code >= 0 else 128 - code, take(out), take(err))

        self._selector.register(watched, selectors.EVENT_READ, end)

    def _answer(self, client: socket.socket, code: int, out: bytes, err: bytes) -> None:
        head = json.dumps({"code": code, "out": len(out), "err": len(err)}).encode()
        client.settimeout(SEND_S)
        try:
            client.sendall(head + b"\n" + out + err)
        except OSError:
            pass  # who asked is gone
        self._forget(client)


def put(path: str, data: bytes) -> tuple[int, bytes, bytes]:
    """Write a file that its owner alone can read."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "wb") as file:
            file.write(data)
    except OSError as exc:
        return 1, b"", str(exc).encode()
    return 0, b"", b""


def take(handle: int) -> bytes:
    """Read what was written to a file in memory, and let go of it."""
    with open(handle, "rb") as file:
        file.seek(0)
        return file.read()


def work(request: dict, data: bytes, out: int, err: int) -> None:
    """Do what was asked, in a process of its own; never returns."""
    code = 1
    try:
        os.setsid()
        source = os.memfd_create("in")
        if request["kind"] == PROGRAM:
            with open(source, "wb", closefd=False) as file:
                file.write(data)
            os.lseek(source, 0, os.SEEK_SET)
        for handle, number in ((source, 0), (out, 1), (err, 2)):
            os.dup2(handle, number)
        os.closerange(3, 1024)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if request["kind"] == PROGRAM:
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            words = request["words"]
            os.execvp(words[0], words)
        code = run_module(data)
    except BaseException:  # noqa: BLE001  (nothing may get back into the server's loop)
        traceback.print_exc()
    finally:
        os._exit(code)


def run_module(data: bytes) -> int:
    """Run a module as if this Python had read it from its input; give the exit code."""
    sys.stdin = open(0, closefd=False)
    sys.argv = [""]
    code = 0
    try:
        exec(compile(data, "<stdin>", "exec"), {"__name__": "__main__"})
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        if code and not isinstance(exc.code, int):
            sys.stderr.write(f"{exc.code}\n")
    except BaseException:  # noqa: BLE001  (as a Python that ends)
        traceback.print_exc()
        code = 1
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code & 0xFF


def main() -> None:
    """Open the socket, say where it is, and serve in the background."""
    if not hasattr(os, "pidfd_open") or not hasattr(os, "memfd_create"):
        raise SystemExit("this Python cannot keep itself for tasks: it needs 3.9 and Linux")
    for name in PRELOADED:
        try:
            __import__(name)
        except ImportError:
            continue  # a Python without that part
    folder = tempfile.mkdtemp(prefix="isthmus-kept-")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/socket")
    listener.listen(64)
    if os.fork():
        sys.stdout.write(f"{folder}/socket\n")
        sys.stdout.flush()
        os._exit(0)
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        os.chdir(pwd.getpwuid(os.getuid()).pw_dir)
        Server(listener, float(sys.argv[1])).serve()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
