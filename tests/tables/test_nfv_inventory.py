"""Whatever describes a host becomes one inventory, or one clear sentence."""

import json
from typing import Any

import pytest

from isthmus import errors
from isthmus.facts.document import to_document
from isthmus.facts.source import document
from isthmus.model.host.host_inventory import HostInventory
from isthmus.testing.nfv.nfv_shapes import PUBLISHED, by_name

LSCPU = """\
$ lscpu -p=CPU,CORE,SOCKET,NODE
# The following is the parsable format, which can be fed to other
# programs.
# CPU,Core,Socket,Node
0,0,0,0
1,1,0,0
2,2,1,1
3,3,1,1
4,0,0,0
5,1,0,0
6,2,1,1
7,3,1,1
"""
NUMACTL = """\
available: 2 nodes (0-1)
node 0 cpus: 0 1 4 5
node 0 size: 48329 MB
node 0 free: 31798 MB
node 1 cpus: 2 3 6 7
node 1 size: 48379 MB
node 1 free: 25995 MB
node distances:
node   0   1
  0:  10  20
  1:  20  10
"""
LSPCI = """\
Slot:\t0000:3b:00.0
Class:\tEthernet controller [0200]
Vendor:\tIntel Corporation [8086]
Device:\tEthernet Controller XXV710 [158b]
Driver:\ti40e
NUMANode:\t0

Slot:\t0000:00:1f.0
Class:\tISA bridge [0601]
Vendor:\tIntel Corporation [8086]
Device:\tbridge [a1c1]

Slot:\taf:00.0
Class:\tEthernet controller [0200]
Vendor:\tMellanox [15b3]
Device:\tMT27800 [1017]
NUMANode:\t1
"""


def introspection() -> dict[str, Any]:
    """As ironic-python-agent's numa-topology and pci-devices collectors give it."""
    return {
        "inventory": {
            "hostname": "node-7",
            "cpu": {
                "model_name": "Intel(R) Xeon(R) Gold",
                "architecture": "x86_64",
                "flags": ["pse", "pdpe1gb"],
            },
            "interfaces": [
                {
                    "name": "ens1f0",
                    "mac_address": "3c:fd:fe:00:00:01",
                    "vendor": "0x8086",
                    "product": "0x158b",
                    "pci_address": "0000:3b:00.0",
                    "speed_mbps": 25000,
                    "driver": "i40e",
                }
            ],
        },
        "numa_topology": {
            "ram": [{"numa_node": 1, "size_kb": 99070000}, {"numa_node": 0, "size_kb": 98970000}],
            "cpus": [
                # `cpu` is a core number that repeats on every node.
                {"cpu": 1, "numa_node": 0, "thread_siblings": [5, 1]},
                {"cpu": 0, "numa_node": 0, "thread_siblings": [0, 4]},
                {"cpu": 0, "numa_node": 1, "thread_siblings": [2, 6]},
                {"cpu": 1, "numa_node": 1, "thread_siblings": [3, 7]},
            ],
            "nics": [{"name": "ens1f0", "numa_node": 0}, {"name": "eno1", "numa_node": -1}],
        },
        "pci_devices": [{"bus": "0000:3b:00.0", "vendor_id": "8086", "product_id": "158b"}],
    }


def test_introspection_data() -> None:
    host = document.parse_inventory(json.dumps(introspection()), name="x")
    assert (host.name, host.source, host.cpu_vendor) == ("node-7", "ironic", "GenuineIntel")
    assert [core.cpus for core in host.cores] == [(0, 4), (1, 5), (2, 6), (3, 7)]
    assert [core.node for core in host.cores] == [0, 0, 1, 1]
    assert [node.memory_mib for node in host.nodes] == [96650, 96748]
    assert [(nic.name, nic.node, nic.vendor_id) for nic in host.nics] == [
        ("eno1", None, ""),
        ("ens1f0", 0, "8086"),
    ]
    assert host.page_sizes_kib == (2048, 1048576)


def test_introspection_data_in_its_newer_form() -> None:
    body = introspection()
    newer = {"inventory": body.pop("inventory"), "plugin_data": body}
    assert document.parse_inventory(json.dumps(newer), name="x") == document.parse_inventory(
        json.dumps(introspection()), name="x"
    )


def test_the_output_of_three_commands() -> None:
    for text in (LSCPU + NUMACTL + LSPCI, LSPCI + "\n" + NUMACTL + "\n" + LSCPU):
        host = document.parse_inventory(text, name="mailed")
        assert (host.name, host.source) == ("mailed", "commands")
        assert [core.cpus for core in host.cores] == [(0, 4), (1, 5), (2, 6), (3, 7)]
        assert [(node.memory_mib, node.distances) for node in host.nodes] == [
            (48329, (10, 20)),
            (48379, (20, 10)),
        ]
        assert [(nic.pci_address, nic.node, nic.vendor_id, nic.driver) for nic in host.nics] == [
            ("0000:3b:00.0", 0, "8086", "i40e"),
            ("0000:af:00.0", 1, "15b3", ""),
        ]


def test_lspci_tells_iommu_groups() -> None:
    text = LSPCI.replace("Driver:\ti40e", "Driver:\ti40e\nIOMMUGroup:\t31")
    assert text != LSPCI
    host = document.parse_inventory(LSCPU + NUMACTL + text, name="mailed")
    assert [nic.iommu_group for nic in host.nics] == [31, None]


@pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: one.inventory.name)
def test_what_is_saved_reads_back(one: Any) -> None:
    text = json.dumps(to_document(one.inventory))
    assert document.parse_inventory(text, name="x") == one.inventory


def broken(**changes: Any) -> str:
    body = to_document(by_name("osa-xeon-2450l").inventory)
    for path, value in changes.items():
        target = body
        *way, last = path.split("__")
        for step in way:
            target = target[int(step) if step.isdigit() else step]
        target[int(last) if last.isdigit() else last] = value
    return json.dumps(body)


GARBAGE = {
    "nothing": ("", "describes no host"),
    "a number": ("42", "describes no host"),
    "a list": ("[1, 2]", "describes no host"),
    "binary": ("\x00\x01\x02", "neither JSON nor YAML|describes no host"),
    "half JSON": ('{"name": "x", "cores": [', "neither JSON nor YAML"),
    "another kind of YAML": ("a: {b: c}", "name: it is missing"),
    "no NUMA data": (
        '{"inventory": {"cpu": {"count": 4}}}',
        "has no numa_topology: run inspection with",
    ),
    "half introspection": ('{"numa_topology": {"ram": [{"numa_node": 0}]}}', "promised form near"),
    "introspection of strings": ('{"numa_topology": "much"}', "promised form near"),
    "no memory told": (LSCPU, "memory of NUMA node 0, 1 is not told"),
    "odd columns": ("# CPU,Core\n0,0\n", "has no 'socket'"),
    "facts of another kind": ("# isthmus host facts 1\nX\n# end of facts\n", "garbled"),
    "facts cut off": ("# isthmus host facts 1\n", "end early"),
    "empty facts": ("# isthmus host facts 1\n# end of facts\n", "no CPU or no memory"),
    "a word for a number": (broken(nodes__0__memory_mib="much"), r"nodes\.0\.memory_mib"),
    "an unknown key": (broken(cpu_speed=3), "cpu_speed: nothing is called so here"),
    "no cores": (broken(cores=[]), "it has no CPU"),
    "no nodes": (
        broken(nodes=[]),
        "cores sit on NUMA node 0, 1, which is not there; it has no NUMA node",
    ),
    "a CPU twice": (broken(cores__0__cpus=[1, 17]), "CPU 1, 17 belongs to two cores"),
    "a core without CPU": (broken(cores__0__cpus=[]), "a core has no CPU"),
    "a CPU from nowhere": (broken(cores__0__cpus=[-1, 99999]), "CPU numbers outside 0 to 8191"),
    "a node from nowhere": (broken(cores__0__node=7), "cores sit on NUMA node 7, which is not"),
    "negative memory": (broken(nodes__0__memory_mib=-5), "node 0 has -5 MiB of memory"),
    "no memory at all": (
        broken(nodes__0__memory_mib=0, nodes__1__memory_mib=0),
        "no NUMA node has memory",
    ),
    "a distance too many": (broken(nodes__0__distances=[10, 20, 30]), "3 distances for 2 nodes"),
    "a distance too near": (broken(nodes__0__distances=[10, 5]), "under 10, which ACPI forbids"),
    "nodes out of order": (broken(nodes__0__id=3), "not listed once each in ascending order"),
    "more pages than memory": (
        broken(nodes__0__hugepages=[{"size_kib": 1048576, "total": 900, "free": None}]),
        "node 0 has more huge pages than memory",
    ),
    "a port from nowhere": (broken(nics__0__node=9), "dpdk1 sits on NUMA node 9, which is not"),
    "too many functions": (broken(nics__0__vfs=99), "has 99 virtual functions of at most 64"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_told_in_a_sentence(name: str) -> None:
    text, said = GARBAGE[name]
    with pytest.raises((errors.Invalid, errors.ProtocolError), match=said) as caught:
        document.parse_inventory(text, name="bad")
    assert "Traceback" not in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 1500


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(errors.Invalid) as caught:
        document.parse_inventory(
            broken(nodes__0__memory_mib=-5, cores__0__node=7, nics__0__node=9), name="bad"
        )
    assert all(word in caught.value.message for word in ("-5 MiB", "NUMA node 7", "NUMA node 9"))


def test_a_saved_inventory_that_is_yaml() -> None:
    host = document.parse_noun(
        HostInventory,
        document.read_document(
            "name: y\ncores: [{socket: 0, id: 0, node: 0, cpus: [0]}]\n"
            "nodes: [{id: 0, memory_mib: 1024}]\n",
            what="y",
        ),
        what="y",
    )
    assert host.cpus == (0,)
