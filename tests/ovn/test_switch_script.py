"""The program that answers for Open vSwitch, with played tools of Open vSwitch beside it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest

from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.until import until

pytestmark = [pytest.mark.ovn]

_VSCTL = """#!/bin/sh
echo h1
cat {folder}/remote
echo >>{folder}/told
"""
_APPCTL = """#!/bin/sh
[ ! -e {folder}/hangs ]
"""


class Switch:
    """A hypervisor whose ovs-vswitchd hangs while a file is there."""

    def __init__(self, databases: OvnDatabases, folder: Path) -> None:
        self.databases, self.folder = databases, folder
        self._running: list[subprocess.Popen[bytes]] = []
        for name, text in (("ovs-vsctl", _VSCTL), ("ovs-appctl", _APPCTL)):
            (folder / name).write_text(text.format(folder=folder))
            (folder / name).chmod(0o755)
        databases.sbctl("create", "Chassis_Private", "name=h1", "external_ids:of-others=kept")
        self.ask(7)

    def ask(self, number: int) -> None:
        self.databases.nbctl("set", "NB_Global", ".", f"nb_cfg={number}")  # northd carries it

    def start(self) -> None:
        self.stop()
        path = f"{self.folder}:{os.environ['PATH']}"
        script = resources.files("isthmus.services") / "answer_switch.sh"
        found = {**os.environ, "PATH": path, "EVERY": "0.1", "LIMIT": "5"}
        self._running.append(subprocess.Popen(["sh", str(script)], env=found))

    def stop(self) -> None:
        for one in self._running:
            one.kill()
            one.wait()
        self._running.clear()

    def said(self) -> dict[str, str]:
        words = ("--bare", "--columns=external_ids", "find", "Chassis_Private", "name=h1")
        return dict(one.split("=", 1) for one in self.databases.sbctl(*words).split())


@pytest.fixture
def switch(databases: OvnDatabases, tmp_path: Path) -> Iterator[Switch]:
    made = Switch(databases, tmp_path)
    yield made
    made.stop()


def await_said(switch: Switch, wanted: Callable[[dict[str, str]], bool], what: str) -> None:
    until(lambda: wanted(switch.said()), what=what, timeout_s=60)


def test_the_last_answer_stays_where_it_is_started_while_one_hangs(switch: Switch) -> None:
    """With a smaller number the audit would count from then since when it owes an answer."""
    (switch.folder / "remote").write_text(switch.databases.sb_remote)
    switch.start()
    await_said(switch, lambda said: said.get("isthmus:switch") == "7", "an answer")
    (switch.folder / "hangs").touch()
    switch.start()
    await_said(switch, lambda said: "isthmus:switch-silent" in said, "who is silent")
    assert switch.said()["isthmus:switch"] == "7"
    switch.ask(8)
    (switch.folder / "hangs").unlink()
    await_said(switch, lambda said: said.get("isthmus:switch") == "8", "an answer again")
    assert switch.said() == {"isthmus:switch": "8", "of-others": "kept"}


def test_it_follows_where_the_southbound_database_is(switch: Switch) -> None:
    (switch.folder / "remote").write_text("unix:/nowhere")
    switch.start()
    until((switch.folder / "told").exists, what="it knows of one that is away", timeout_s=60)
    (switch.folder / "remote").write_text(switch.databases.sb_remote)
    await_said(switch, lambda said: said.get("isthmus:switch") == "7", "an answer there")
