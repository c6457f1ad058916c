"""Commands in places of a lab."""

import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from isthmus.cli import lab as lab_cli
from isthmus.clients.machine import shell
from isthmus.lab.plan import LabPlan, plan_lab
from isthmus.lab.status import ovn_variables
from isthmus.lab.topology import default_topology

PLAN: LabPlan = plan_lab(default_topology(2, 1), name="lab", number=0, folder=Path("/labs/lab"))


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("site1", {"OVN_NB_DB": "unix:/labs/lab/tier/site1/nb.sock"}),
        ("site2-h1", {"OVN_SB_DB": "unix:/labs/lab/tier/site2/sb.sock"}),
        ("site2-h1", {"OVS_RUNDIR": "/labs/lab/host/site2-h1"}),
        ("central", {}),
        ("wan", {}),
    ],
)
def test_the_tools_of_ovn_find_the_daemons_of_a_place(place: str, found: dict[str, str]) -> None:
    said = ovn_variables(PLAN, place)
    assert found.items() <= said.items()
    assert bool(said) == bool(found)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["site1"], ()),
        (["site1", "--", "ovn-nbctl", "--no-leader-only", "show"],
         ["ovn-nbctl", "--no-leader-only", "show"]),
        (["--name", "other", "site1", "ls", "-l"], ["ls", "-l"]),
    ],
)  # fmt: skip
def test_a_command_is_handed_on_and_its_exit_code_is_ours(
    monkeypatch: pytest.MonkeyPatch, words: list[str], command: Any
) -> None:
    seen = []

    class Lab:
        def shell(self, place: str, command: Any) -> int:
            seen.append((place, command))
            return 37

    monkeypatch.setattr(lab_cli, "open_lab", lambda name: Lab())
    done = CliRunner().invoke(lab_cli.app, ["shell", *words])
    assert (done.exit_code, seen) == (37, [("site1", command)]), done.output


@pytest.mark.parametrize(
    ("script", "code"),
    [("raise SystemExit(5)", 5), ("import os; os.kill(os.getpid(), 9)", 128 + 9)],
)
def test_how_a_command_ended_shows(script: str, code: int) -> None:
    assert shell.interact([sys.executable, "-c", script]) == code


def test_ctrl_c_is_for_the_command_alone() -> None:
    """A command that goes on after Ctrl-C is not left behind, nor killed."""
    script = "import os, signal; signal.signal(2, lambda *_: os._exit(7)); os.kill(os.getppid(), 2)"
    script += "; os.kill(os.getpid(), 2)"
    assert shell.interact([sys.executable, "-c", script]) == 7
