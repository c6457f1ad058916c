"""Inventories and facts that somebody made to hurt: a sentence at once, no traceback, no hour."""

import base64
import json
from pathlib import Path

import pytest

from isthmus import errors
from isthmus.facts import cpuset
from isthmus.facts.source.document import parse_inventory
from isthmus.model.verdict import Answer
from isthmus.nfv.check.live import check_facts
from isthmus.nfv.plan.demand import parse_demand

SAVED = {
    "name": "x",
    "cores": [{"socket": 0, "id": 0, "node": 0, "cpus": [0]}],
    "nodes": [{"id": 0, "memory_mib": 1024}],
}
MANY = "f" * 2_000_000
TREE = '<topology version="2.0"><object type="Machine" cpuset="{0}"><object type="NUMANode" \
os_index="0" local_memory="9" cpuset="{0}"/></object></topology>'
LAUGHS = "a: &a [x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
INVENTORIES = {
    "a number of more digits than Python reads": json.dumps(SAVED).replace("1024", "9" * 50_000),
    "such a number in what looks like lscpu's": '{"lscpu": ' + "9" * 50_000 + "}",
    "no number": json.dumps(SAVED).replace("1024", "NaN"),
    "a set of eight million CPUs": TREE.format(f"0x{MANY}"),
    "the same in words": TREE.format("0xffffffff," * 200_000),
    "an entity of a file": '<!DOCTYPE t [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    '<topology version="2.0"><object type="Machine">&a;</object></topology>',
    "a billion laughs": LAUGHS + "name: x\ncores: *i\nnodes: *i\n",
    "a list in itself": "name: x\ncores: &a [*a]\nnodes: *a\n",
    "a call": "!!python/object/apply:os.system ['true']",
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", INVENTORIES)
def test_a_hostile_inventory_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises((errors.Invalid, errors.ProtocolError)) as refused:
        parse_inventory(INVENTORIES[name], name="x")
    assert "root:" not in str(refused.value)


@pytest.mark.timeout(30)
def test_a_demand_of_a_billion_laughs_is_refused() -> None:
    with pytest.raises(errors.Invalid):
        parse_demand(LAUGHS + "physical_networks: *i\n")


@pytest.mark.timeout(30)
def test_a_mask_is_read_in_its_length_and_not_in_the_square_of_it() -> None:
    with pytest.raises(errors.Invalid, match="more CPUs than any host"):
        cpuset.parse_mask(MANY)
    assert cpuset.parse_mask("0x" + "f" * 16384) == tuple(range(65536))
    assert cpuset.list_bits(0) == ()


CLEAN = (Path(__file__).with_name("nfv") / "cases" / "c00-clean.facts").read_text()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("start", ['{"headings": ["name"], "data": [', "["])
def test_a_table_that_nests_too_deep_was_not_seen(start: str) -> None:
    table = base64.b64encode((start + "[" * 100_000).encode()).decode()
    lines = [
        f"C64 ovs-interfaces 0 {table}" if line.startswith("C64 ovs-interfaces ") else line
        for line in CLEAN.splitlines()
    ]
    report = check_facts("\n".join(lines))
    answers = {one.check: one.answer for one in report.rulings}
    assert answers["errors"] is Answer.NOT_SEEN
