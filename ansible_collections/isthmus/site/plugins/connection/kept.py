"""SSH as Ansible has it, and a Python on each host that is kept for the time of the play."""

from __future__ import annotations

DOCUMENTATION = """
name: kept
author: The Isthmus developers (!UNKNOWN)
short_description: SSH with a Python on each host that is kept for the time of the play
description:
  - Connects by SSH as C(ansible.builtin.ssh) does, with the same options.
  - The first task on a host leaves a Python there that forks for each further task, and that ends by
    itself when no task came for a while. It is reached over the connection that SSH keeps.
  - Where that cannot be, and for tasks with C(become), everything goes as with C(ansible.builtin.ssh).
version_added: 0.1.0
extends_documentation_fragment:
  - isthmus.site.ssh_options
  - ansible.builtin.connection_pipelining
options:
  kept_python:
    description: The Python of the host that is kept.
    type: string
    default: /usr/bin/python3
    vars:
      - name: ansible_python_interpreter
  kept_idle_s:
    description: Seconds without a task after which it ends.
    type: int
    default: 120
    vars:
      - name: ansible_kept_idle_s
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ssh
from ansible.utils.display import Display
from ansible_collections.isthmus.site.plugins.plugin_utils import kept_server

display = Display()
#: How Ansible has a shell start a Python that reads a module from its input.
_MODULE = re.compile(r"(\S+) && sleep 0")
#: What is larger goes by SSH's own transfer of files.
_LARGEST_PUT = 8 << 20
#: For so long a host where it could not be is not tried again.
_GIVEN_UP_S = 600
_GREETED_S = 30


class Connection(ssh.Connection):
    """A connection to a host."""

    def exec_command(
        self, cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        """Run a command on the host, or a module where that is what the command would do."""
        if not (sudoable and self.become):
            answer = self._ask(self._plan(cmd, in_data), in_data or b"")
            if answer is not None:
                return answer
        return super().exec_command(cmd, in_data=in_data, sudoable=sudoable)

    def put_file(self, in_path: str, out_path: str) -> Any:
        """Put a file on the host."""
        source = Path(in_path)
        if not self.become and source.is_file() and source.stat().st_size <= _LARGEST_PUT:
            answer = self._ask({"kind": kept_server.PUT, "path": out_path}, source.read_bytes())
            if answer is not None:
                if answer[0]:
                    why = answer[2].decode(errors="replace")
                    raise AnsibleError(f"cannot put {in_path} to {out_path}: {why}")
                return answer
        return super().put_file(in_path, out_path)

    def reset(self) -> None:
        """Forget the connection; the next task makes a new one."""
        self.host = self.get_option("host") or self._play_context.remote_addr
        self._place.unlink(missing_ok=True)
        super().reset()

    def _plan(self, cmd: str, in_data: bytes | None) -> dict[str, Any]:
        words = shlex.split(cmd)
        if words[:2] != ["/bin/sh", "-c"] or len(words) != 3:
            return {"kind": kept_server.PROGRAM, "words": ["/bin/sh", "-c", cmd]}
        found = _MODULE.fullmatch(words[2])
        if in_data and found and found[1] == self.get_option("kept_python"):
            return {"kind": kept_server.MODULE}
        return {"kind": kept_server.PROGRAM, "words": words}

    def _ask(self, request: dict[str, Any], data: bytes) -> tuple[int, bytes, bytes] | None:
        """Have the host's Python do it; None where there is none."""
        self.host = self.get_option("host") or self._play_context.remote_addr
        server = self._reach()
        if server is None:
            return None
        with server, server.makefile("rb") as answers:
            head = json.dumps({**request, "size": len(data)}).encode()
            try:
                server.sendall(head + b"\n" + data)
                line = answers.readline()
                told = json.loads(line) if line.endswith(b"\n") else None
                out = answers.read(told["out"]) if told else b""
                err = answers.read(told["err"]) if told else b""
            except OSError as exc:
                raise AnsibleConnectionFailure(
                    f"the connection to {self.host} broke: {exc}"
                ) from exc
        if told is None or len(out) < told["out"] or len(err) < told["err"]:
            raise AnsibleConnectionFailure(f"the connection to {self.host} ended during a task")
        return told["code"], out, err

    @property
    def _place(self) -> Path:
        """Return the file that says where the socket of this host is; its folder is there."""
        folder = Path(os.path.expanduser(self.get_option("control_path_dir")))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        who = (self.host, self.get_option("port"), self.get_option("remote_user"))
        name = json.dumps([*map(str, who), self.get_option("kept_python")])
        return folder / f"k{hashlib.sha256(name.encode()).hexdigest()[:12]}"

    def _reach(self) -> socket.socket | None:
        place = self._place
        given_up = place.with_suffix(".ssh")
        if given_up.exists() and time.time() - given_up.stat().st_mtime < _GIVEN_UP_S:
            return None
        found = self._connect_to(place)
        if found is None:
            with _locked(place.with_suffix(".lock")):
                found = self._connect_to(place) or self._start(place)
        if found is None:
            display.vvv("no Python can be kept; each task starts one", host=self.host)
            given_up.touch()
        return found

    def _connect_to(self, place: Path) -> socket.socket | None:
        try:
            local = place.read_text()
        except FileNotFoundError:
            return None
        server = socket.socket(socket.AF_UNIX)
        try:
            server.settimeout(_GREETED_S)
            server.connect(local)
            # SSH takes the connection in any case, and ends it where nobody listens.
            if server.recv(len(kept_server.GREETING)) == kept_server.GREETING:
                server.settimeout(None)
                return server
        except OSError:
            pass
        server.close()
        return None

    def _start(self, place: Path) -> socket.socket | None:
        """Leave a Python on the host, and forward a socket to it."""
        source = Path(kept_server.__file__).read_bytes()
        python = self.get_option("kept_python")
        command = f"{python} - {self.get_option('kept_idle_s')}"
        code, out = super().exec_command(command, in_data=source, sudoable=False)[:2]
        remote = out.decode(errors="replace").strip()
        if code or not remote.startswith("/"):
            return None
        with contextlib.suppress(FileNotFoundError):
            Path(place.read_text()).unlink(missing_ok=True)
        # A name of its own each time: SSH still holds the one before, whose Python has ended.
        local = f"{place}{Path(remote).parent.name[-8:]}"
        way = ("-O", "forward", "-L", f"{local}:{remote}", self.host)
        words = self._build_command(self.get_option("ssh_executable"), "ssh", *way)
        done = subprocess.run(words, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            display.vvv(f"cannot forward: {done.stderr.decode(errors='replace')}", host=self.host)
            return None
        place.write_text(local)
        return self._connect_to(place)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
