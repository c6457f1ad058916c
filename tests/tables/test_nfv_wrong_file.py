"""Files that are given in the place of others, and keys that are nearly right: what is said."""

import dataclasses
import json

import pytest

from isthmus import errors
from isthmus.facts.document import to_document
from isthmus.facts.source import document, kind
from isthmus.nfv.plan.demand import parse_demand
from isthmus.testing.nfv.nfv_shapes import by_name
from isthmus.testing.nfv.nfv_state import make_plan

HOST = by_name("epyc-7742-nps1").inventory
DEMAND = """
physical_networks: [{name: fast, by: ovs-dpdk, nics: [dpdk1]}]
flavors: [{name: f, vcpus: 2, ram_mib: 2048, networks: [fast]}]
"""
PLAN = json.dumps(to_document(make_plan(HOST, DEMAND)))

#: What is given as an inventory, and what the refusal says of it.
NO_INVENTORY = {
    "a plan": (PLAN, "x is a plan, not an inventory; isthmus nfv inspect HOST -o json"),
    "a demand": (DEMAND, "x is a demand, not an inventory"),
    "flavors alone": ("flavors: []", "x is a demand, not an inventory"),
    "findings": ('{"findings": [], "rulings": []}', "x is what nfv check found, not an inventory"),
    "a refusal": (
        '{"host": "h", "constraints": [], "alternatives": []}',
        "x is a refusal: it says why there is no plan, not an inventory",
    ),
    "lscpu": (
        "Architecture:            x86_64\nCPU(s):                  2\n",
        "x describes no host yet: take lscpu -p=CPU,CORE,SOCKET,NODE in the place of lscpu alone",
    ),
    "lspci": (
        "Slot:\t0000:18:00.0\nClass:\tEthernet controller [0200]\n",
        "x describes no host yet: the output of lscpu -p=CPU,CORE,SOCKET,NODE is missing",
    ),
    "numactl": ("available: 1 nodes (0)\nnode 0 cpus: 0 1\n", "lscpu -p=CPU,CORE,SOCKET,NODE is"),
    "devices": ("<device>\n <name>pci_0000_18_00_0</name>\n</device>\n", "virsh capabilities is"),
    "a drawing": ("Machine (13GB total)\n  Package L#0\n", "take lstopo --of xml in the place"),
    "a sheet of something": (
        "Name,Status,Site\ncmp1,Active,ams\n",
        "a sheet needs the columns name, sockets, cores_per_socket, threads_per_core, numbering",
    ),
    "a sheet with semicolons": ("name;sockets\ncmp1;2\n", "and memory_gib, with commas between"),
    "broken JSON": ('{"name": "h",\n "cores": [', "x is neither JSON nor YAML: line 2, column 12"),
}


@pytest.mark.parametrize("name", NO_INVENTORY)
def test_what_is_no_inventory_is_called_by_its_name(name: str) -> None:
    text, said = NO_INVENTORY[name]
    with pytest.raises(errors.Invalid) as refused:
        document.parse_inventory(text, name="h", what="x")
    assert said in refused.value.message


#: What is given as a demand, and what the refusal says of it.
NO_DEMAND = {
    "an inventory": (json.dumps(to_document(HOST)), "x is an inventory, not a demand"),
    "a plan": (PLAN, "x is a plan, not a demand; docs/howto/nfv.md has one"),
    "facts": ("# isthmus host facts 1\n", "x has the facts of a host, not a demand"),
    "a key that is nearly right": (
        DEMAND.replace("flavors", "flavours"),
        "flavours: nothing is called so here (did you mean flavors?)",
    ),
    "one further down": (
        DEMAND.replace("vcpus", "vcpu"),
        "flavors.0.vcpu: nothing is called so here (did you mean vcpus?)",
    ),
    "one of a port": (
        DEMAND.replace("nics", "mtuu: 9000, nics"),
        "physical_networks.0.mtuu: nothing is called so here (did you mean mtu?)",
    ),
    "a dotted key": (
        "host.cores_per_node: 2" + DEMAND,
        "host.cores_per_node: nothing is called so here (write host: {cores_per_node: ...})",
    ),
    "one below a part": (
        "host: {core_per_node: 2}" + DEMAND,
        "host.core_per_node: nothing is called so here (did you mean cores_per_node, shared_cores",
    ),
    "one like nothing": ("zzz: 1" + DEMAND, "zzz: nothing is called so here"),
    "a key that comes twice": (DEMAND + "flavors: []\n", "line 4, column 1: the key flavors is"),
    "an indent": (
        "physical_networks:\n  - name: fast\n  by: x\n",
        "x is neither JSON nor YAML: line 3, column 3: expected <block end>",
    ),
    "a value out of range": (
        DEMAND.replace("nics", "mtu: 90000, nics"),
        "x has faults: physical network fast has MTU 90000, outside 68 to 9710",
    ),
}


@pytest.mark.parametrize("name", NO_DEMAND)
def test_what_is_no_demand_is_called_by_its_name(name: str) -> None:
    text, said = NO_DEMAND[name]
    with pytest.raises(errors.Invalid) as refused:
        parse_demand(text, name="x")
    assert said in refused.value.message
    assert name != "one like nothing" or "(" not in refused.value.message


def test_a_key_may_come_once_in_each_entry_and_after_a_merge() -> None:
    text = (
        "physical_networks: [{name: a, by: kernel, nics: [a0]}, {name: b, by: kernel, nics: [b0]}]"
        "\nflavors: [&one {name: f, vcpus: 2, ram_mib: 2048}, {<<: *one, name: g}]\n"
    )
    assert [one.name for one in parse_demand(text).flavors] == ["f", "g"]


def test_every_noun_is_known_from_the_others_and_nothing_else() -> None:
    bodies = {
        "an inventory": to_document(HOST),
        "a plan": json.loads(PLAN),
        "a demand": to_document(parse_demand(DEMAND)),
    }
    for name, body in bodies.items():
        assert kind.find_kind(body) == name
        kind.refuse_other(body, name, what="x")
    assert kind.find_kind({"name": "h"}) == kind.find_kind([1]) == ""
    assert kind.find_kind(to_document(dataclasses.replace(HOST, cores=()))) == "an inventory"
