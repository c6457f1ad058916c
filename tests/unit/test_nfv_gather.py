"""What the script of facts tells of processes: the kernel's own, others', and those that hide."""

import base64
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from isthmus.facts import script
from isthmus.facts.dump import WHOLE, HostFacts
from isthmus.facts.fact import Absent, Fact, Why
from isthmus.facts.host import libvirt, oslo_conf, procfs

#: /proc/PID/stat: pid, (name), state, ppid, pgrp, session, tty, tpgid, flags.
PROGRAM, KERNEL, ENDED = 4194560, 2129984, 4228100


def run(text: str) -> subprocess.CompletedProcess[str]:
    whole = f"{script.render_functions()}\n{text}\n"
    return subprocess.run(["sh", "-s"], input=whole, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("stat", "said"),
    [
        (f"12 (nova-compute) S 1 12 12 0 -1 {PROGRAM} 1 2", "1 0"),
        (f"12 (a) b (c) S 1 12 12 0 -1 {PROGRAM} 1 2", "1 0"),
        (f"12 (kworker/0:1) I 2 0 0 0 -1 {KERNEL} 0 0", "1 1"),
        (f"12 (gone) Z 1 12 12 0 -1 {ENDED} 0 0", "0"),
        ("12 (cut off", "0"),
    ],
)
def test_a_program_that_may_not_be_looked_at_is_none_of_the_kernels(
    tmp_path: Path, stat: str, said: str
) -> None:
    """Who is not root cannot read /proc/PID/exe of others: that told nothing of whose they are."""
    (tmp_path / "stat").write_text(stat + "\n")
    done = run(f"k=$(of_kernel {tmp_path}) && echo 1 $k || echo 0")
    assert done.stdout.split() == said.split()


def test_the_threads_of_this_machine_are_told() -> None:
    done = run("threads")
    mine = [one for one in procfs.parse_threads(done.stdout) if one.pid == os.getpid()]
    assert done.returncode == 0
    assert mine
    assert not any(one.is_kernel for one in mine)


def facts(**commands: str) -> HostFacts:
    return HostFacts(commands={"depth": WHOLE, **commands})


@pytest.mark.parametrize("text", ["", "\n", "no table\n"])
def test_a_host_without_a_thread_was_not_seen(text: str) -> None:
    assert isinstance(procfs.THREADS.read(facts(threads=text)), Absent)


def test_where_proc_hides_others_nothing_is_told_of_them() -> None:
    line = next(
        one for one in script.render_script(settings=True).splitlines() if "(threads)" in one
    )
    hidden = 'threads() { echo "/proc/1/status: Permission denied"; return 1; }'
    done = run(f"{hidden}\n{line}")
    _, key, status, body = done.stdout.split()
    assert (key, status) == ("threads", "1")
    seen = HostFacts(failures={"threads": base64.b64decode(body).decode()})
    absent = procfs.THREADS.read(seen)
    assert isinstance(absent, Absent)
    assert absent.why is Why.NOT_PERMITTED


ELSEWHERE: dict[str, tuple[Fact[Any], str, str]] = {
    "Nova in a snap": (oslo_conf.NOVA, "nova-compute", "--layout"),
    "libvirt in a snap": (libvirt.DOMAINS, "qemu-system-x86", "/run/libvirt/qemu"),
    "libvirt of Red Hat's": (libvirt.DOMAINS, "qemu-kvm", "/run/libvirt/qemu"),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_runs_and_keeps_its_files_elsewhere_is_not_absent(name: str) -> None:
    fact, process, said = ELSEWHERE[name]
    absent = fact.read(facts(threads=f"7\t7\t0\t0-3\t{process}\t{process}\n"))
    assert isinstance(absent, Absent)
    assert absent.why is Why.OUT_OF_REACH
    assert not absent.is_nothing_there
    assert said in absent.detail
    nothing = fact.read(facts(threads="7\t7\t0\t0-3\tcron\tcron\n"))
    assert nothing == () or (isinstance(nothing, Absent) and nothing.is_nothing_there)
