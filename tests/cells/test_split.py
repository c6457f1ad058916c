"""`isthmus cell split` on a real Nova, killed: it goes on, or is undone, and audits clean.

Hosts are drawn, with rows in all tables that a host has rows in; a hook stands for who runs their
nova-compute.
"""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.cells.draw_host import Drawing
from tests.cells.draw_servers import insert
from tests.cells.real_nova import NEW, RealNova
from tests.cells.test_numa import ask

from isthmus.cells.moving.rows import diff_copies
from isthmus.model.compute.host_tables import MOVED
from isthmus.model.compute.move import HostRows
from isthmus.store.nova.moving import CellTables

# A RabbitMQ is no part of what `./dev test` sets up; `./dev test all` has one.
pytestmark = [pytest.mark.db, pytest.mark.stress, pytest.mark.timeout(3000)]
HOOK = Path(__file__).parent / "hook.py"
OLD = "nova_cell1"
BACK = ("--roll-back", "--yes", "--confirm", "east")
STALE, KILLED = 3, -signal.SIGKILL
#: Drawn hosts were seen long before.
DOWN_S = 60


def forget_seen(rows: HostRows) -> HostRows:
    """Leave out when a service was last seen: it has been up meanwhile."""
    for one in rows["services"]:
        one["last_seen_up"] = None
    return rows


class Cloud:
    """A real Nova whose cell1 has three drawn hosts, of which two are to leave."""

    def __init__(self, nova: RealNova) -> None:
        self.nova = nova
        nova.verb = ("split", "cell1", "--to", "east")
        self.rows: dict[str, HostRows] = {}
        nova.sql(
            "UPDATE nova_api.cell_mappings SET transport_url = 'none:///' WHERE name = 'cell1'"
        )
        engine = sa.create_engine(nova.url(OLD))
        with engine.begin() as connection:
            drawing = Drawing(connection, 5)
            for number, host in enumerate(("h1", "h2", "h3"), start=1):
                drawing.insert(drawing.draw_host(host, 100 * number, 2))
                self.rows[host] = forget_seen(CellTables(connection, DOWN_S).read(host))
        engine.dispose()
        (cell,) = nova.sql("SELECT id FROM nova_api.cell_mappings WHERE name = 'cell1'")[0]
        api = nova.url("nova_api")
        insert(api, "host_mappings", [{"host": one, "cell_id": cell} for one in self.rows])
        for rows in self.rows.values():
            mappings = [
                {
                    "instance_uuid": one["uuid"],
                    "cell_id": cell,
                    "project_id": "p",
                    "queued_for_delete": bool(one["deleted"]),
                }
                for one in rows["instances"]
            ]
            insert(api, "instance_mappings", mappings)
        hook = nova.folder / "hook"
        hook.write_text(f'#!/bin/sh\nexec {sys.executable} -W ignore {HOOK} {nova.conf} "$@"\n')
        hook.chmod(0o700)
        self.words = ("--yes", "--compute-hook", str(hook), "--placement-conf", str(nova.conf))

    def split(self, *words: str, number: int | None = None) -> tuple[int, str]:
        """Split it, as far as that goes without a person."""
        own = () if self.nova.cell_file.exists() else ("--hosts", "h1,h3")
        code, out, said = self.nova.run(*own, *words, *self.words, number=number)
        return code, out + said

    def finish(self) -> None:
        """Do what a person does for the new conductor, and go on to the end."""
        code, said = self.split()
        if code == STALE:
            assert "no nova-conductor is up in cell east" in said
            self.nova.announce("nova-conductor", "c")
            code, said = self.split()
        assert code == 0, said

    def undo(self) -> None:
        code, said = self.split(*BACK[:1], *BACK[2:])
        assert code == 0, said

    def read(self, database: str, host: str) -> HostRows:
        engine = sa.create_engine(self.nova.url(database))
        with engine.connect() as connection:
            found = CellTables(connection, DOWN_S).read(host)
        engine.dispose()
        return forget_seen(found)

    def audit(self, moved: set[str]) -> None:
        """Check that each host is in one cell, whole, and that no mapping is wrong."""
        for host, rows in self.rows.items():
            here, there = (NEW, OLD) if host in moved else (OLD, NEW)
            assert diff_copies(rows, self.read(here, host)) == [], host
            if there in self.nova.databases():
                assert not any(self.read(there, host).values()), host
            found = self.read(here, host)
            kept = {one["uuid"]: one["id"] for one in found["instances"]}
            assert kept == {one["uuid"]: one["id"] for one in rows["instances"]}
            # What fences a host on its way is taken off again.
            assert not any(one["hidden"] for one in found["instances"]), host
            (service,) = found["services"]
            fence = [service[one] for one in ("disabled", "forced_down", "disabled_reason")]
            assert fence == [0, 0, None], host
        names: dict[str, list[str]] = {"cell1": [], "east": []} if moved else {"cell1": []}
        for host in sorted(self.rows):
            names["east" if host in moved else "cell1"].append(host)
        joined = "nova_api.host_mappings h JOIN nova_api.cell_mappings c ON c.id = h.cell_id"
        assert {
            name: [
                row[0]
                for row in self.nova.sql(
                    f"SELECT h.host FROM {joined} WHERE c.name = '{name}' ORDER BY h.host"
                )
            ]
            for name in names
        } == names
        code, out, said = self.verify()
        assert code == 0, (out, said)

    def verify(self) -> tuple[int, str, str]:
        before, self.nova.verb = self.nova.verb, ("verify",)
        try:
            return self.nova.run("--placement-conf", str(self.nova.conf), servers=False)
        finally:
            self.nova.verb = before

    def close(self) -> None:
        nova = self.nova
        nova.verb = RealNova.verb
        for one in reversed(MOVED):
            nova.sql(f"DELETE FROM {OLD}.{one.name}")
        nova.sql("DELETE FROM nova_api.host_mappings")
        nova.sql("DELETE FROM nova_api.instance_mappings")


@pytest.fixture
def cloud(real_nova: RealNova) -> Iterator[Cloud]:
    assert real_nova.is_clean()
    name = "nova_placement"
    if name not in real_nova.databases():
        real_nova.sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb3")
        ask(["tables", real_nova.url("nova_api"), real_nova.url(name)], [])
        more = f"[placement_database]\nconnection = {real_nova.url(name)}\n"
        real_nova.conf.write_text(real_nova.conf.read_text() + more)
    found = Cloud(real_nova)
    yield found
    found.close()
    real_nova.clean()


def test_a_cell_is_split_and_the_split_is_undone(cloud: Cloud) -> None:
    code, said = cloud.split("--dry-run", "-o", "json")
    assert code == 0, said
    steps = [(row["step"], row["state"]) for row in json.loads(said)]
    assert [one for one in steps if one[0] == "move"] == [("move", "to move")] * 2
    assert cloud.nova.is_clean()
    cloud.finish()
    cloud.audit({"h1", "h3"})
    assert cloud.nova.sql("SELECT disabled FROM nova_api.cell_mappings WHERE name = 'east'") == [
        (0,)
    ]
    cloud.undo()
    cloud.audit(set())
    assert cloud.nova.is_clean()


def test_what_makes_no_sense_is_refused(cloud: Cloud) -> None:
    def refuse(*words: str) -> str:
        code, _, said = cloud.nova.run(*words, *cloud.words)
        assert code == 2, said
        return said

    assert "name the hosts" in refuse()
    assert "h9: no host of cell cell1, which has h1, h2, h3" in refuse("--hosts", "h9")
    assert "without hosts" in refuse("--hosts", "h1,h2,h3")
    assert "was not split off" in refuse(*BACK[:1], *BACK[2:])
    cloud.nova.verb = ("split", "cell1", "--to", "cell1")
    assert "there is a cell 'cell1' already" in refuse("--hosts", "h1")
    assert cloud.nova.is_clean()


def kill_at(cloud: Cloud, number: int, *, back: bool) -> bool:
    """Kill it before its nth change, where a person had started the conductor; go on or back."""
    code, said = cloud.split()
    if code != STALE:
        raise AssertionError(said)
    cloud.nova.announce("nova-conductor", "c")
    code, said = cloud.split(number=number)
    if code == 0:
        cloud.audit({"h1", "h3"})
        cloud.undo()
        return False
    assert code == KILLED, said
    if not back:
        cloud.finish()
        cloud.audit({"h1", "h3"})
    cloud.undo()
    cloud.audit(set())
    assert cloud.nova.is_clean()
    return True


def test_killed_here_and_there_it_goes_on_or_back(cloud: Cloud) -> None:
    assert kill_at(cloud, 6, back=True)
    assert kill_at(cloud, 15, back=False)


def test_a_file_of_other_hosts_is_not_gone_on_with(cloud: Cloud) -> None:
    assert cloud.split()[0] == STALE
    code, _, said = cloud.nova.run("--hosts", "h2", *cloud.words)
    assert (code, "for other hosts (h1, h3)" in said) == (2, True), said
    cloud.undo()
    cloud.audit(set())
