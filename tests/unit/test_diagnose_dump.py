"""A dump answers as what it was made of; what is no dump, half of one or hostile is told."""

import gzip
import io
import json
import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.tables.recorded import AT, CENTRAL, ask_file, make_dump, pack, spoil
from tests.tables.world import A, B, healthy

from isthmus import errors
from isthmus.diagnose.collect import ovn, router_rows
from isthmus.diagnose.dump import form
from isthmus.diagnose.dump.allow import TABLES
from isthmus.diagnose.dump.file import read_file, write_new_file
from isthmus.diagnose.dump.form import Missing, parse_dump
from isthmus.diagnose.dump.recorded import Recorded, reading
from isthmus.diagnose.explain import document as explanation
from isthmus.diagnose.explain.picture import render_html, render_mermaid, render_svg
from isthmus.diagnose.explain.whole import explain
from isthmus.diagnose.judge import Word
from isthmus.diagnose.sweep.document import to_document
from isthmus.diagnose.sweep.health import examine
from isthmus.diagnose.world import Source
from isthmus.facts.ovsdb import Select, one_of, uuid


def lines_of(packed: bytes) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(packed).splitlines()]


def join(lines: list[Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


def test_a_healthy_world_is_reachable_from_its_dump() -> None:
    found = ask_file(pack(make_dump()))
    assert [one.verdict.code for one in found.blockers] == []
    assert found.word is Word.REACHABLE, found.report.unseen


@pytest.mark.parametrize(
    ("place", "table", "change", "code"),
    [
        (CENTRAL, "port", {"admin_state_up": False}, "port.admin_down"),
        ((Source.NB, "s1"), "Logical_Switch_Port", {"enabled": False}, "lsp.disabled"),
        ((Source.SB, "s2"), "Port_Binding", {"chassis": []}, "binding.no_chassis"),
        ((Source.NEUTRON, "s1"), "site_shadow", {"port_key": 99}, "shadow.key"),
        ((Source.HOST, "h1"), "daemon", {"state": "dead"}, "host.vswitchd_dead"),
        ((Source.HOST, "h2"), "daemon", {"state": "hung"}, "host.controller_hung"),
        ((Source.HOST, "h1"), "flow", {"count": 0}, "host.no_flow"),
        ((Source.HOST, "h1"), "route", {"mtu": 1400}, "mtu.too_large"),
        ((Source.HOST, "h1"), "Open_vSwitch", {"external_ids": {}}, "host.not_interconn"),
    ],
)
def test_a_fault_is_named_from_a_dump(place: Any, table: str, change: Any, code: str) -> None:
    tables = healthy()
    for tier in (place, *((key for key in tables if key[0] is Source.NEUTRON)
                          if place == CENTRAL else ())):  # fmt: skip
        for row in tables[tier][table]:
            row.update(change)
    found = ask_file(pack(make_dump(tables)))
    assert code in [one.verdict.code for one in found.blockers]


def test_a_server_of_a_lab_is_found_by_its_name_and_rows_bear_the_time_of_the_dump() -> None:
    found = ask_file(pack(make_dump()), source="web")
    assert found.ways[0].sender.id == A
    assert {seen.at for seen in found.world.seen.values()} == {AT}


def test_what_was_not_read_is_not_seen_with_the_reason_of_then() -> None:
    dump = make_dump()
    del dump.tables[Source.SB, "s2"]
    dump.tables[Source.NB, "s1"].pop("ACL")
    refused = errors.Unsupported("no way in to s2")
    dump.missing += [
        Missing(source=Source.SB, place="s2", table="", error=refused.code, reason="no way in"),
        Missing(source=Source.NB, place="s1", table="ACL", error=errors.Unreachable.code,
                reason="it does not answer"),
    ]  # fmt: skip
    found = ask_file(pack(dump))
    told = {(one.source, one.place): one.reason for one in found.unseen}
    assert told[Source.SB, "s2"] == "no way in"
    assert told[Source.NB, "s1"] == "rows: it does not answer"
    assert found.word is Word.UNDETERMINED


def test_an_end_that_is_not_there_is_refused() -> None:
    with pytest.raises(errors.NotFound, match="no port, server or address"):
        ask_file(pack(make_dump()), target="nobody")


def test_a_dump_is_the_same_after_it_was_written_and_read() -> None:
    dump = make_dump()
    dump.lab = "mine"
    dump.missing.append(Missing(source=Source.HOST, place="h9", table="", error="e", reason="gone"))
    assert parse_dump("d", io.BytesIO(pack(dump))) == dump


def test_many_rows_are_written_in_pieces_and_read_as_one_table() -> None:
    dump = make_dump()
    dump.add(
        Source.NB, "s1", "Address_Set", [{"name": f"a{n}", "addresses": []} for n in range(1200)]
    )
    packed = pack(dump)
    pieces = [one for one in lines_of(packed) if one.get("table") == "Address_Set"
              and one["place"] == "s1" and one["source"] == Source.NB]  # fmt: skip
    assert [len(one["rows"]) for one in pieces] == [500, 500, 200]
    assert parse_dump("d", io.BytesIO(packed)) == dump


PACKED = pack(make_dump())
LINES = lines_of(PACKED)


@pytest.mark.parametrize(
    ("packed", "says"),
    [
        (b"", "is empty"),
        (b"\x7fELF\x02\x01", "damaged, or no dump"),
        (b"{}\n", "no dump of isthmus gather"),
        (b"[1]\n", "damaged, or no dump"),
        (b"[" * 200_000, "damaged, or no dump"),
        (PACKED[: len(PACKED) // 2], "ends in the middle"),
        (PACKED[:500] + b"\xff" * 40 + PACKED[540:], "damaged, or no dump"),
        (join(LINES[:-1]), "ends in the middle"),
        (join([*LINES[:3], *LINES[4:]]), "lost some of its lines"),
        (join([*LINES, LINES[1]]), "lost some of its lines"),
        (join([{**LINES[0], "isthmus_dump": 2, "made_by": "9.1"}]), "Isthmus that made it, 9.1"),
        (join([LINES[0], {**LINES[1], "source": "moon"}, *LINES[2:]]), "damaged, or no dump"),
        (join([LINES[0], {**LINES[1], "place": "$(x)"}, *LINES[2:]]), "damaged, or no dump"),
        (join([LINES[0], {**LINES[1], "rows": 5}, *LINES[2:]]), "damaged, or no dump"),
    ],
)  # fmt: skip
def test_what_is_no_whole_dump_is_told_in_a_sentence(packed: bytes, says: str) -> None:
    with pytest.raises(errors.Invalid, match=says) as told:
        parse_dump("the.dump", io.BytesIO(packed))
    assert "the.dump" in told.value.message
    assert len(told.value.message) < 250


def test_a_dump_of_text_is_read_and_a_table_that_is_not_known_is_left_out() -> None:
    extra = {"source": "central", "place": "central", "table": "moons", "rows": [{"id": "m"}]}
    lines = [LINES[0], extra, *LINES[1:-1], {"end": len(LINES) - 1}]
    assert parse_dump("d", io.BytesIO(join(lines))) == parse_dump("d", io.BytesIO(PACKED))


def test_more_bytes_than_dumps_have_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.Invalid, match="larger than dumps are"):
        parse_dump("d", io.BytesIO(PACKED), most_bytes=1000)
    monkeypatch.setattr(form, "MOST_IN_LINE", 2000)
    bomb = gzip.compress(join([LINES[0]]) + b'"' + b"0" * 50_000_000)
    with pytest.raises(errors.Invalid, match="larger than dumps are"):
        parse_dump("d", io.BytesIO(bomb))


def test_more_values_than_dumps_have_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "MOST_VALUES", 100_000)
    piece = {"source": "central", "place": "central", "table": "port", "rows": [{"id": 1}] * 500}
    assert parse_dump("d", io.BytesIO(join([LINES[0], piece, {"end": 1}]))).tables
    with pytest.raises(errors.Invalid, match="d holds more than dumps do: more than 100,000"):
        parse_dump("d", io.BytesIO(gzip.compress(join([LINES[0], *[piece] * 30]))))


def test_rows_that_are_too_long_for_one_line_are_written_in_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dump = make_dump()
    addresses = [f"10.0.{n >> 8}.{n & 255}" for n in range(300)]
    rows = [{"name": f"a{n}", "addresses": addresses} for n in range(40)]
    dump.add(Source.NB, "s1", "Address_Set", rows)
    monkeypatch.setattr(form, "MOST_IN_LINE", 20_000)
    packed = pack(dump)
    assert max(map(len, gzip.decompress(packed).splitlines())) < 20_000
    assert parse_dump("d", io.BytesIO(packed)) == dump


@pytest.mark.parametrize("packed", [PACKED, join(LINES)])
def test_a_dump_is_read_from_a_pipe(packed: bytes, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writing = threading.Thread(target=pipe.write_bytes, args=(packed,))
    writing.start()
    assert read_file(pipe) == make_dump()
    writing.join()


def test_nothing_is_written_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(errors.Exists):
        write_new_file(tmp_path / "link", make_dump)
    assert not (tmp_path / "target").exists()


def answer(packed: bytes, source: str) -> str:
    """Return what a person is told."""
    try:
        found = ask_file(packed, source=source)
    except errors.IsthmusError as error:
        return error.message
    return " ".join(f"{one.verdict.message} {one.verdict.remedy}" for one in found.blockers)


def sweep(packed: bytes) -> str:
    """Return what a person is told who asks nothing."""
    try:
        with reading("the.dump"):
            return json.dumps(to_document(examine(parse_dump("the.dump", io.BytesIO(packed)))))
    except errors.IsthmusError as error:
        return error.message


def explained(packed: bytes, asked: str) -> str:
    """Return what a person is told who asks how an object is realised."""
    try:
        with reading("the.dump"):
            found = explain(parse_dump("the.dump", io.BytesIO(packed)), asked)
    except errors.IsthmusError as error:
        return error.message
    document = explanation.to_document(found)
    drawn = [render_mermaid(document), render_svg(document), render_html(document)]
    return "".join([*explanation.render_text(document), *drawn])


@pytest.mark.parametrize("seed", range(80))
def test_a_hostile_hand_gets_an_answer_or_a_sentence(seed: int) -> None:
    dice = random.Random(seed)
    lines = list(LINES)
    for _ in range(dice.choice((1, 1, 3, 30))):
        at = dice.randrange(1, len(lines) - 1)
        rows = lines[at].get("rows")
        if rows:
            lines[at] = {**lines[at], "rows": spoil(rows, dice)}
    for told in (
        answer(join(lines), dice.choice((A, "web", "10.0.0.5", "external"))),
        sweep(join(lines)),
        explained(join(lines), dice.choice((A, "net1", "web"))),
    ):
        assert "\x1b" not in told
        assert "$(reboot)" not in told


def test_a_dump_is_written_for_its_owner_and_over_nothing(tmp_path: Path) -> None:
    file = tmp_path / "one.dump"
    write_new_file(file, make_dump)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_file(file) == make_dump()
    with pytest.raises(errors.Exists):
        write_new_file(file, make_dump)
    with pytest.raises(errors.Invalid, match="cannot write"):
        write_new_file(tmp_path / "no" / "folder", make_dump)
    with pytest.raises(errors.Invalid, match="cannot read"):
        read_file(tmp_path / "none")

    def fail() -> Any:
        raise errors.Unreachable("central does not answer")

    with pytest.raises(errors.Unreachable):
        write_new_file(tmp_path / "two.dump", fail)
    assert not (tmp_path / "two.dump").exists()


def test_a_database_is_asked_by_values_and_by_what_sets_have() -> None:
    nb = Recorded(make_dump()).open_northbound("s1")
    (by_name, by_port, all_), (row,) = (
        nb.select([
            Select("Logical_Switch_Port", (("name", "==", B),), ("name", "up")),
            Select("Port_Group", (("ports", "includes", one_of(uuid(f"u-{B}"))),), ("name",)),
            Select("ACL"),
        ]),
        nb.select([Select("Logical_Switch", (("_uuid", "==", uuid("ls")),), ("name",))]),
    )  # fmt: skip
    assert by_name == [{"name": B, "up": []}]
    assert by_port == [{"name": "pg_sg_one"}]
    assert len(all_) == 4
    assert [one["name"] for one in row] == ["neutron-net"]


def test_all_columns_that_are_read_of_ovn_may_be_in_a_dump() -> None:
    class Something:
        """Has a row of each: with all columns, each a set of one reference."""

        def __init__(self) -> None:
            self.asked: list[Select] = []

        def read_server(self) -> dict[str, Any]:
            return {}

        def select(self, selects: Any) -> list[list[Any]]:
            self.asked += selects
            row = {"match": "ip4.src == $pg"}
            return [[{name: ["r"] for name in one.columns} | row] for one in selects]

    ports = [{"id": "p", "network_id": "n"}]
    wanted = router_rows.Wanted(routers=["r"], ports=["p"], externals=["n"], peers=["t"])
    nb, sb = Something(), Something()
    for task in (*ovn.tasks("s", nb, sb, ports), *router_rows.tasks("s", nb, sb, wanted)):
        task.read()
    assert len(nb.asked) > 15
    assert len(sb.asked) > 8
    for source, database in ((Source.NB, nb), (Source.SB, sb)):
        for select in database.asked:
            assert set(select.columns) <= set(TABLES[source][select.table]), select
