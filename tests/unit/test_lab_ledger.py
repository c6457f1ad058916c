from pathlib import Path

import pytest

from isthmus import errors
from isthmus.lab.process.ledger import FILE, Ledger
from isthmus.lab.process.program import Program
from isthmus.lab.process.zygote import Birth
from isthmus.model.host.process import ProcessId


def make_program(name: str = "central.neutron") -> Program:
    birth = Birth(name=name, log="/log", env={"A": "b"}, argv=("x",), application="m:a", port=1)
    return Program(name=name, netns="n", log=Path("/log"), birth=birth, url="http://x/")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add("settings", values={"number": 3, "sites": []})
    ledger.add("netns", name="isthmus-lab-wan")
    ledger.add_process(make_program(), ProcessId(7, 70))
    ledger.add_process(make_program(), ProcessId(8, 80))
    ledger.add("server", name="a", netns="v", host="h")
    made = ledger.read()
    assert made.settings["number"] == 3
    assert made.netns == ["isthmus-lab-wan"]
    assert made.programs["central.neutron"].process == ProcessId(8, 80)
    assert made.programs["central.neutron"].program.birth.port == 1  # type: ignore[union-attr]
    assert not made.whole
    ledger.add("whole")
    assert ledger.read().whole


def test_a_server_that_went_takes_its_processes_along(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add("server", name="a", netns="v", host="h")
    ledger.add_process(make_program("vm-a.dhcp4"), ProcessId(7, 70))
    ledger.add_process(make_program("vm-ab.dhcp4"), ProcessId(8, 80))
    ledger.add("server-gone", name="a")
    made = ledger.read()
    assert made.servers == {}
    assert list(made.programs) == ["vm-ab.dhcp4"]


def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add("netns", name="one")
    with (tmp_path / FILE).open("a") as stream:
        stream.write('{"kind": "netns", "na')
    assert ledger.read().netns == ["one"]


def test_a_line_that_is_wrong_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"kind": "what"}\n{"kind": "whole"}\n')
    with pytest.raises(errors.Inconsistent, match=r"ledger.jsonl, line 1: unknown kind 'what'"):
        Ledger(tmp_path).read()


def test_no_ledger_means_no_lab(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound, match="is not up"):
        Ledger(tmp_path).read()
