"""What is said of a task that failed, and the key of a build's passwords."""

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.lab.test_build_site import FLEET

from isthmus import errors
from isthmus.clients.build.ansible import explain, run_playbook
from isthmus.wiring.build_configure import alone, make_secrets


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"msg": "non-zero return code", "stderr": "warned\n\n gone \n"}, "warned gone"),
        ({"msg": "non-zero return code", "stdout": "out"}, "out"),
        ({"msg": "non-zero return code"}, "non-zero return code"),
        ({"msg": "no such group"}, "no such group"),
        ({"msg": "some failed", "results": [{"msg": "fine"}, {"failed": True, "msg": "x"}]}, "x"),
        ({"msg": "All items completed", "results": [{"unreachable": True, "msg": "x"}]}, "x"),
        ({}, ""),
    ],
)
def test_a_failure_says_why(answer: dict[str, object], said: str) -> None:
    assert explain(answer) == said


def test_long_words_are_cut_at_their_begin() -> None:
    said = explain({"msg": "a" * 500 + "the end"})
    assert said.startswith("...aaa")
    assert said.endswith("the end")
    assert len(said) == 403


def test_hidden_words_and_changed_keys_are_named() -> None:
    assert "passwords may be in it" in explain({"censored": "the output has been hidden"})
    rows = [{"censored": "the output has been hidden", "failed": True}]
    assert "passwords may be in it" in explain({"msg": "some failed", "results": rows})
    banner = "@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n@@@"
    assert explain({"msg": banner}).startswith("its SSH host key is not the one")


def test_a_machine_without_terminals_is_told_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError("out of pty devices")

    monkeypatch.setattr(pty, "openpty", refuse)
    (playbook := tmp_path / "play.yaml").write_text("[]")
    with pytest.raises(errors.Unsupported, match="mount -t devpts"):
        run_playbook(playbook, tmp_path, settings=tmp_path, say=print, stop=threading.Event())


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE", raising=False)
    # Nothing of Ansible is on the path: what stands beside this Python is taken.
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (tmp_path / "fleet.yaml").write_text(FLEET)
    return tmp_path / "fleet.yaml"


def test_passwords_whose_key_is_gone_are_not_made_anew(fleet: Path) -> None:
    state = fleet.parent / "state"
    assert make_secrets(fleet, state)
    assert not make_secrets(fleet, state)
    key = state / "ansible/vault-password"
    kept = key.read_text()
    key.unlink()
    with pytest.raises(
        errors.NotFound, match=r"there is no .*vault-password, with which .*yaml is"
    ):
        make_secrets(fleet, state)
    assert not key.exists()
    key.write_text("another\n")
    with pytest.raises(errors.StepFailed, match="ansible-vault"):
        make_secrets(fleet, state)
    # What a builder left that was killed while it made a key.
    key.with_name(".vault-password.part").write_text("half")
    key.write_text(kept)
    assert not make_secrets(fleet, state)


def test_a_key_that_was_named_has_to_be_there(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = fleet.with_name("key")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(named))
    with pytest.raises(errors.NotFound, match=f"there is no {named}"):
        make_secrets(fleet, fleet.parent / "state")
    named.write_text("mine\n")
    assert make_secrets(fleet, fleet.parent / "state")
    assert not (fleet.parent / "state/ansible/vault-password").exists()
    file = fleet.parent / "state/ansible/inventory/group_vars/all/passwords.yaml"
    tool = Path(sys.executable).with_name("ansible-vault")
    shown = subprocess.run(
        [tool, "view", file],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "neutron-north: " in shown.stdout


def test_one_at_a_time_runs_ansible_over_a_build(tmp_path: Path) -> None:
    said = r"another one runs Ansible in .*ansible"
    with alone(tmp_path), pytest.raises(errors.Busy, match=said), alone(tmp_path):
        raise AssertionError
    with alone(tmp_path):
        pass


def test_what_a_killed_builder_left_is_ended_and_nothing_else(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "ansible").mkdir(parents=True)
    (tmp_path / "ansible-playbook").write_text(
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\nsys.stdin.read()\n"
    )

    def begin(program: str, folder: str) -> subprocess.Popen[str]:
        (tmp_path / "keeper").write_text((tmp_path / "ansible-playbook").read_text())
        begun = subprocess.Popen(
            [sys.executable, tmp_path / program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={**os.environ, "ISTHMUS_BUILD": folder},
        )  # fmt: skip
        assert begun.stdout
        assert begun.stdout.readline() == "up\n"
        return begun

    own = str((state / "ansible").resolve())
    left, other, kept = (
        begin("ansible-playbook", own),
        begin("ansible-playbook", own + "2"),
        begin("keeper", own),
    )
    with alone(state):
        assert left.wait(60) == -9  # it did not hear the first signal
        assert (other.poll(), kept.poll()) == (None, None)
    for one in (left, other, kept):
        one.communicate("", timeout=60)
