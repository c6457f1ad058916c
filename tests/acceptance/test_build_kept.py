"""`isthmus.site.kept` over a real SSH server: one Python serves all tasks of a host."""

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from isthmus.build.configure.package import find_collections
from isthmus.build.configure.settings import Places, Tuning, render_settings
from isthmus.testing.needed import skip_without
from isthmus.testing.until import until

BIN = Path(sys.executable).parent
NEEDED = {"sshd", "ssh", "ps"}
#: Of the process that forked the module, which a plain Python is for nobody.
_KEEPER = "ps -o ppid= $PPID"
EVERY_KIND = """\
- hosts: all
  tasks:
  - {name: keeper, ansible.builtin.shell: "KEEPER"}
  - name: A file is put there
    ansible.builtin.copy: {dest: "{{ out }}/copied", content: "line {{ 1 + 1 }}", mode: "0640"}
  - name: What a program says is told apart
    ansible.builtin.command: {argv: [sh, -c, 'cat; echo err >&2; exit 3'], stdin: told}
    register: told
    failed_when: (told.rc, told.stdout, told.stderr) != (3, 'told', 'err')
  - name: A variable is set
    ansible.builtin.shell: 'echo "$ISTHMUS_TOLD"'
    environment: {ISTHMUS_TOLD: "it's $HOME"}
    register: variable
    failed_when: variable.stdout != "it's $HOME"
  - name: Ends later
    ansible.builtin.command: 'true'
    async: 60
    poll: 1
  - name: A script is run
    ansible.builtin.script: script.sh two words
    register: script
    failed_when: script.stdout | trim != 'words two'
  - name: A module fails
    ansible.builtin.file: {path: "{{ out }}/none/none", state: directory, recurse: false, mode: "9"}
    register: failing
    failed_when: failing is succeeded
  - name: No module at all
    ansible.builtin.raw: echo raw; exit 4
    register: raw
    failed_when: (raw.rc, raw.stdout | trim) != (4, 'raw')
  - name: A file is fetched
    ansible.builtin.fetch: {src: "{{ out }}/copied", dest: "{{ out }}/fetched", flat: true}
  - {name: keeper, ansible.builtin.shell: "KEEPER"}
  - ansible.builtin.meta: reset_connection
  - name: And after all
    ansible.builtin.ping:
""".replace("KEEPER", _KEEPER)
TWO_TASKS = f"""\
- hosts: all
  tasks:
  - {{name: keeper, ansible.builtin.shell: "{_KEEPER}"}}
  - {{name: keeper, ansible.builtin.shell: "{_KEEPER}"}}
"""
KILLED = """\
- hosts: all
  tasks:
  - name: Kill who keeps it
    ansible.builtin.shell: kill -9 $(ps -o ppid= $PPID); sleep 600
"""


@dataclass(frozen=True)
class Host:
    """A host behind an SSH server, and the builder's folder."""

    folder: Path

    def play(self, text: str, idle_s: int = 120) -> subprocess.CompletedProcess[str]:
        """Run a playbook over it; nothing is asserted."""
        (self.folder / "play.yaml").write_text(text)
        env = {
            **os.environ,
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
        }
        extra = f"out={self.folder} ansible_kept_idle_s={idle_s}"
        return subprocess.run(
            [BIN / "ansible-playbook", "-v", "-e", extra, self.folder / "play.yaml"],
            env=env, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def list_kept(self) -> list[Path]:
        """List the folders of those that are kept."""
        return list((self.folder / "tmp").glob("isthmus-kept-*"))


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    skip_without(NEEDED - {one for one in NEEDED if shutil.which(one)})
    # Short: sockets of SSH are below it.
    folder = Path(tempfile.mkdtemp(prefix="kept-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in ("host", "id"):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(made, check=True)
    (folder / "tmp").mkdir()
    (folder / "script.sh").write_text('#!/bin/sh\necho "$2 $1"\n')
    more = getattr(request, "param", "")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/id.pub\nUsePAM no\nStrictModes no\n"
        f"SetEnv TMPDIR={folder}/tmp\nSubsystem sftp internal-sftp\n{more}\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    program = shutil.which("sshd")
    assert program
    with (folder / "sshd.log").open("w") as log:
        server = subprocess.Popen([program, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
    variables = {
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "ansible_user": getpass.getuser(),
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": str(folder / "id"),
    }
    for name in ("inventory", "facts", "cp"):
        (folder / name).mkdir()
    (folder / "inventory/hosts.yaml").write_text(
        yaml.safe_dump({"all": {"hosts": {"h1": variables}}})
    )
    places = Places(collections=find_collections())
    (folder / "ansible.cfg").write_text(render_settings(Tuning(forks=1), folder, places))
    try:
        until(lambda: "listening" in (folder / "sshd.log").read_text(), what="sshd listens")
        yield Host(folder)
    finally:
        server.terminate()
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def keepers(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Read which processes forked the tasks that ask for it."""
    assert done.returncode == 0, done.stdout + done.stderr
    return re.findall(r"^ *stdout: '? *(\d+)'?$", done.stdout, re.M)


def test_every_kind_of_task_goes_through_one_python(host: Host) -> None:
    first, last = keepers(host.play(EVERY_KIND))
    assert first == last
    assert (host.folder / "copied").read_text() == "line 2"
    assert (host.folder / "copied").stat().st_mode & 0o777 == 0o640
    assert (host.folder / "fetched").read_text() == "line 2"
    kept = host.list_kept()
    assert len(kept) == 2  # the connection was reset once
    assert [one.stat().st_mode & 0o777 for one in kept] == [0o700, 0o700]
    # The next play finds the second, by what the connection before left.
    after, same = keepers(host.play(TWO_TASKS))
    assert after == same != first


def test_it_ends_by_itself_and_is_begun_anew(host: Host) -> None:
    before = set(keepers(host.play(TWO_TASKS, idle_s=1)))
    until(lambda: not host.list_kept(), what="nothing is left on the host")
    after = set(keepers(host.play(TWO_TASKS, idle_s=1)))
    assert len(before) == len(after) == 1
    assert before != after


def test_one_that_is_killed_is_told_and_the_next_run_goes_on(host: Host) -> None:
    done = host.play(KILLED)
    assert done.returncode == 4, done.stdout  # unreachable
    assert "ended during a task" in done.stdout
    assert len(set(keepers(host.play(TWO_TASKS)))) == 1


@pytest.mark.parametrize("host", ["AllowStreamLocalForwarding no"], indirect=True)
def test_without_forwarded_sockets_all_goes_as_with_ssh(host: Host) -> None:
    first, second = keepers(host.play(TWO_TASKS, idle_s=1))
    assert first != second
    until(lambda: not host.list_kept(), what="nothing is left on the host")
