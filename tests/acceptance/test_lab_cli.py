"""What `isthmus lab` says to somebody who asks for what cannot be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus import errors
from isthmus.clients.machine import shell
from isthmus.lab.capability import check_space


def isthmus(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from isthmus.cli.main import run; run()", "lab", *words],
        env={**os.environ, "ISTHMUS_STATE": str(state)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status"], "lab 'lab' is not up"),
        (["down"], "nothing to take down"),
        (["exec", "a", "--", "true"], "lab 'lab' is not up"),
        (["link", "cut", "site1"], "lab 'lab' is not up"),
        (["up", "--sites", "0"], "choose between 1 and 200"),
        (["up", "--name", "Bad-Name"], "cannot be the name of a lab"),
        (["up", "--topology", "/nowhere.yaml"], "there is no file /nowhere.yaml"),
        (["up", "--topology", "/dev/null", "--sites", "2"], "leave out --sites and --hosts"),
        (["up", "--topology", "/dev/null"], "has no sites"),
    ],
)
def test_one_clear_sentence_and_exit_code_2(tmp_path: Path, words: list[str], said: str) -> None:
    done = isthmus(tmp_path, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir()), "something half made was left behind"


def test_without_root_one_sentence(tmp_path: Path) -> None:
    words = ["up", "--name", "noroot"]
    if os.geteuid() != 0:
        done = isthmus(tmp_path, *words)
        assert done.returncode == 2
        assert "needs root" in done.stderr
        return
    script = (
        "from isthmus.wiring.lab import machine_tools;"
        "from isthmus.lab.capability import check_machine;"
        "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534);"
        "check_machine(machine_tools())"
    )
    failed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert failed.returncode != 0
    assert "a lab needs root" in failed.stderr


def test_a_disk_that_is_nearly_full_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=12 << 20)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(errors.Exhausted, match="has 12 MiB left, and such a lab needs 48: free"):
        check_space(tmp_path, 3)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=48 << 20))
    check_space(tmp_path, 3)


def test_no_lab_is_an_empty_list(tmp_path: Path) -> None:
    done = isthmus(tmp_path, "list", "-o", "json")
    assert (done.returncode, done.stdout.strip()) == (0, "[]")


def test_a_services_environment_lets_python_compile_and_hides_the_persons_cloud(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OS_PASSWORD", "secret")
    env = shell.clean_environment({"A": "b"})
    assert "PYTHONDONTWRITEBYTECODE" not in env
    assert "OS_PASSWORD" not in env
    assert env["A"] == "b"
