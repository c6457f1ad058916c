"""`isthmus cell move-host`: what a person sees of it."""

import json
from pathlib import Path

import pytest
from tests.cells.test_health_cli import Nova
from tests.cells.test_life_cli import read

from isthmus.cli import main


@pytest.fixture
def nova(tmp_path: Path) -> Nova:
    made = Nova(tmp_path)
    made.run("c2", "UPDATE instances SET host = 'h3', task_state = NULL, id = id + 1000")
    made.run("c2", "UPDATE instances SET deleted = id WHERE deleted != 0")
    made.run("c1", "UPDATE instances SET host = 'h1'")
    made.run("c2", "UPDATE services SET topic = 'compute'")
    return made


def call(nova: Nova, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    files = ("--nova-conf", nova.file, "--placement-conf", nova.file)
    with pytest.raises(SystemExit) as end:
        main.run(["cell", "move-host", *words, *files])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, " ".join(said.err.split())


def set_up(nova: Nova, cell: str, *, down: bool) -> None:
    nova.run(cell, f"UPDATE services SET forced_down = {int(down)} WHERE host = 'h3'")


def verify(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main.run(["cell", "verify", "--nova-conf", nova.file, "--placement-conf", nova.file])
    assert end.value.code in {0, None}, capsys.readouterr().out
    capsys.readouterr()


def test_a_host_is_moved_and_opened(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = call(nova, capsys, "h3", "--to", "cell1", "--yes")
    assert (code, "nova-compute of h3 is up: stop it first" in said) == (2, True)
    set_up(nova, "c2", down=True)
    code, out, said = call(nova, capsys, "h3", "--to", "cell1", "--plan", "-o", "json")
    row = json.loads(out)
    assert (code, said, row["from"], row["to"]) == (0, "", "cell2", "cell1")
    assert row["rows"]["instances"] == 6
    assert row["rows"]["services"] == 1
    code, _, said = call(nova, capsys, "h3", "--to", "cell1", "--yes")
    assert code == 0, said
    assert "isthmus cell move-host h3 --resume" in said
    assert read(nova, "SELECT cell_id FROM host_mappings WHERE host = 'h3'") == [(2,)]
    code, _, said = call(nova, capsys, "h3", "--resume")
    assert (code, "start nova-compute with that cell's queue" in said) == (2, True)
    set_up(nova, "c1", down=False)
    code, _, said = call(nova, capsys, "h3", "--resume")
    assert (code, said.startswith("Host h3 is in cell cell1.")) == (0, True)
    assert "Restart each nova-scheduler" in said
    assert call(nova, capsys, "h3", "--resume")[0] == 2
    verify(nova, capsys)


def test_a_host_that_arrived_goes_the_way_back(
    nova: Nova, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(nova, "c2", down=True)
    assert call(nova, capsys, "h3", "--to", "cell1", "--yes")[0] == 0
    code, _, said = call(nova, capsys, "h3", "--roll-back")
    assert code == 0
    assert "with the queue of cell cell2" in said
    assert read(nova, "SELECT cell_id FROM host_mappings WHERE host = 'h3'") == [(3,)]
    set_up(nova, "c2", down=False)
    assert call(nova, capsys, "h3", "--resume")[0] == 0
    verify(nova, capsys)


def test_a_move_that_ended_halfway_is_undone(
    nova: Nova, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(nova, "c2", down=True)

    def end(_databases: object, _host: str, _servers: list[str], _cell: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("isthmus.store.nova.moving.MoveDatabases.switch", end)
        assert call(nova, capsys, "h3", "--to", "cell1", "--yes")[0] == 130
    code, _, said = call(nova, capsys, "h3", "--to", "cell1", "--yes")
    assert (code, "on its way already" in said) == (2, True)
    code, _, said = call(nova, capsys, "h3", "--roll-back")
    assert (code, "Host h3 is as it was" in said) == (0, True)
    set_up(nova, "c2", down=False)
    verify(nova, capsys)


REFUSED = (
    (("h3",), "give one of"),
    (("h3", "--to", "cell1", "--resume"), "give one of"),
    (("h3", "--to", "cell9"), "there is no cell"),
    (("h3", "--to", "cell0"), "stays as it is"),
    (("h3", "--to", "cell2"), "is in that cell"),
    (("h9", "--to", "cell1"), "mapped to no cell"),
    (("h3", "--roll-back"), "not on its way"),
)


def test_what_makes_no_sense_is_refused(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    for words, text in REFUSED:
        code, _, said = call(nova, capsys, *words)
        assert (code, text in said) == (2, True), said
