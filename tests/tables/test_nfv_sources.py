"""Inventories from what people have: hwloc's XML, lscpu's JSON, libvirt's capabilities, sheets."""

from pathlib import Path

import pytest

from isthmus import errors
from isthmus.facts.source import document
from isthmus.model.host.host_inventory import HostInventory
from isthmus.model.host.host_plan import HostPlan
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.host import plan_host

DEMAND = (
    "physical_networks: [{name: fast, by: ovs-dpdk, nics: [ens1]}]\n"
    "flavors: [{name: f, vcpus: 2, ram_mib: 2048, networks: [fast]}]"
)


def _pu(cpu: int) -> str:
    return f'<object type="PU" os_index="{cpu}" cpuset="{hex(1 << cpu)}"/>'


def _core(core: int, *cpus: int) -> str:
    return f'<object type="Core" os_index="{core}">{"".join(map(_pu, cpus))}</object>'


def _package(number: int, cpuset: str, node: str, inside: str) -> str:
    return (
        f'<object type="Package" os_index="{number}" cpuset="{cpuset}" nodeset="{node}">'
        '<info name="CPUVendor" value="GenuineIntel"/>'
        f'<object type="NUMANode" os_index="{number}" cpuset="{cpuset}" '
        f'local_memory="{32 << 30}"><page_type size="4096" count="1"/>'
        '<page_type size="2097152" count="0"/><page_type size="1073741824" count="0"/></object>'
        f'<object type="L3Cache" cpuset="{cpuset}" cache_size="33554432">{inside}</object></object>'
    )


PCI = (
    '<object type="Bridge"><object type="PCIDev" pci_busid="0000:3b:00.0" '
    'pci_type="0200 [8086:158b] [8086:0001] 02"><object type="OSDev" name="ens1" osdev_type="2">'
    '<info name="Address" value="02:00:00:00:00:01"/></object></object></object>'
)
#: Two packages of two cores with two threads; the port hangs from the second.
LSTOPO = f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc2.dtd">
<topology version="2.0"><object type="Machine" os_index="0" cpuset="0x000000ff">
<info name="HostName" value="rack1"/><info name="OSRelease" value="6.8.0"/>
{_package(0, "0x00000033", "0x1", _core(0, 0, 4) + _core(1, 1, 5))}
{_package(1, "0x000000cc", "0x2", _core(0, 2, 6) + _core(1, 3, 7))[: -len("</object>")]}{PCI}
</object></object>
<distances2 type="NUMANode" nbobjs="2" kind="5" name="NUMALatency" indexing="os">
<indexes length="4">0 1 </indexes><u64values length="12">10 21 21 10 </u64values></distances2>
</topology>
"""
CAPABILITIES = """<capabilities><host><uuid>4c4c</uuid><cpu><arch>x86_64</arch>
<model>Cascadelake-Server</model><vendor>Intel</vendor><pages unit='KiB' size='4'/>
<pages unit='KiB' size='2048'/><pages unit='KiB' size='1048576'/></cpu><iommu support='yes'/>
<topology><cells num='2'>
<cell id='0'><memory unit='KiB'>33554432</memory><pages unit='KiB' size='4'>8388608</pages>
<pages unit='KiB' size='1048576'>0</pages><distances><sibling id='0' value='10'/>
<sibling id='1' value='21'/></distances><cpus num='4'>
<cpu id='0' socket_id='0' die_id='0' core_id='0' siblings='0,4'/>
<cpu id='4' socket_id='0' die_id='0' core_id='0' siblings='0,4'/>
<cpu id='1' socket_id='0' die_id='0' core_id='1' siblings='1,5'/>
<cpu id='5' socket_id='0' die_id='0' core_id='1' siblings='1,5'/></cpus></cell>
<cell id='1'><memory unit='KiB'>33554432</memory><distances><sibling id='0' value='21'/>
<sibling id='1' value='10'/></distances><cpus num='4'>
<cpu id='2' socket_id='1' die_id='0' core_id='0' siblings='2,6'/>
<cpu id='6' socket_id='1' die_id='0' core_id='0' siblings='2,6'/>
<cpu id='3' socket_id='1' die_id='0' core_id='1' siblings='3,7'/>
<cpu id='7' socket_id='1' die_id='0' core_id='1' siblings='3,7'/></cpus></cell>
</cells></topology><cache><bank id='0' level='3' type='both' size='32' unit='MiB' cpus='0-1,4-5'/>
</cache></host></capabilities>
<device><name>pci_0000_3b_00_0</name><driver><name>i40e</name></driver>
<capability type='pci'><class>0x020000</class><domain>0</domain><bus>59</bus><slot>0</slot>
<function>0</function><product id='0x158b'>x</product><vendor id='0x8086'>Intel</vendor>
<capability type='virt_functions' maxCount='64'/><iommuGroup number='9'/><numa node='1'/>
</capability></device>
<device><name>net_ens1</name><parent>pci_0000_3b_00_0</parent><capability type='net'>
<interface>ens1</interface><address>02:00:00:00:00:01</address>
<link speed='25000' state='up'/></capability></device>
"""
LSCPU_TABLE = """$ lscpu -J
{"lscpu": [{"field": "Vendor ID:", "data": "GenuineIntel", "children": [
 {"field": "Thread(s) per core:", "data": "2"}, {"field": "Flags:", "data": "fpu pse pdpe1gb"}]}]}
$ lscpu -J -e=CPU,CORE,SOCKET,NODE
{"cpus": [
 {"cpu": 0, "core": 0, "socket": 0, "node": 0}, {"cpu": 1, "core": 1, "socket": 0, "node": 0},
 {"cpu": "4", "core": "0", "socket": "0", "node": "0"},
 {"cpu": "5", "core": "1", "socket": "0", "node": "0"},
 {"cpu": 2, "core": 2, "socket": 1, "node": 1}, {"cpu": 3, "core": 3, "socket": 1, "node": 1},
 {"cpu": 6, "core": 2, "socket": 1, "node": 1}, {"cpu": 7, "core": 3, "socket": 1, "node": 1},
 {"cpu": 8, "core": "-", "socket": "-", "node": "-", "online": "no"}]}
available: 2 nodes (0-1)
node 0 size: 32768 MB
node 1 size: 32768 MB
node distances:
node   0   1
  0:  10  21
  1:  21  10

Slot:	0000:3b:00.0
Class:	Ethernet controller [0200]
Vendor:	Intel Corporation [8086]
Device:	XXV710 [158b]
NUMANode:	1

"""
SHEET = """name,sockets,numa_nodes,cores_per_socket,threads_per_core,numbering,memory_gib,cpu_vendor
rack1,2,2,2,2,halves,64,Intel Corp

device,name,cf_pci_address,cf_numa_node,mac_address,vendor_id,product_id,max_vfs
rack1,ens1,0000:3B:00.0,1,02:00:00:00:00:01,8086,158b,64
"""
SOURCES = {"lstopo": LSTOPO, "capabilities": CAPABILITIES, "commands": LSCPU_TABLE, "sheet": SHEET}


def read(text: str) -> HostInventory:
    return document.parse_inventory(text, name="rack1")


@pytest.mark.parametrize("source", SOURCES)
def test_all_of_them_see_the_same_machine(source: str) -> None:
    host = read(SOURCES[source])
    assert (host.name, host.source, host.cpu_vendor) == ("rack1", source, "GenuineIntel")
    assert [core.cpus for core in host.cores] == [(0, 4), (1, 5), (2, 6), (3, 7)]
    assert [core.node for core in host.cores] == [0, 0, 1, 1]
    assert [core.socket for core in host.cores] == [0, 0, 1, 1]
    assert [node.memory_mib for node in host.nodes] == [32768, 32768]
    (nic,) = host.nics
    assert (nic.pci_address, nic.node, nic.vendor_id, nic.product_id) == (
        "0000:3b:00.0",
        1,
        "8086",
        "158b",
    )
    assert host.socket_nodes(0) == (0,)


def test_the_speed_of_a_link_is_told_where_the_link_is_up() -> None:
    def speed_of(link: str) -> int | None:
        return (
            read(CAPABILITIES.replace("<link speed='25000' state='up'/>", link)).nics[0].speed_mbps
        )

    assert speed_of("<link speed='25000' state='up'/>") == 25000
    for link in ("", "<link state='down'/>", "<link speed='-1'/>", "<link speed='0'/>"):
        assert speed_of(link) is None


@pytest.mark.parametrize("source", ["lstopo", "capabilities", "sheet"])
def test_a_plan_from_what_people_have(source: str) -> None:
    plan = plan_host(read(SOURCES[source]), parse_demand(DEMAND))
    assert isinstance(plan, HostPlan), plan
    assert plan.dpdk_ports[0].node == 1
    codes = {note.code for note in plan.notes}
    assert ("iommu-unknown" in codes) == (source != "capabilities")
    assert ("pages-unknown" in codes) == (source == "sheet")


def test_what_each_tells_besides() -> None:
    lstopo, libvirt = read(LSTOPO), read(CAPABILITIES)
    assert [node.distances for node in lstopo.nodes] == [(10, 21), (21, 10)]
    assert [node.distances for node in libvirt.nodes] == [(10, 21), (21, 10)]
    assert lstopo.page_sizes_kib == libvirt.page_sizes_kib == (2048, 1048576)
    assert [cache.cpus for cache in lstopo.caches] == [(0, 1, 4, 5), (2, 3, 6, 7)]
    assert libvirt.caches[0].size_kib == 32768
    assert (libvirt.nics[0].max_vfs, libvirt.nics[0].iommu_group) == (64, 9)
    assert (libvirt.iommu, lstopo.iommu) == (True, None)
    assert read(LSCPU_TABLE).page_sizes_kib == (2048, 1048576)


def test_the_summary_alone_is_enough_without_hyper_threading() -> None:
    text = (
        '{"lscpu": [{"field": "Thread(s) per core:", "data": "1"},'
        '{"field": "Socket(s):", "data": "1"},'
        '{"field": "NUMA node(s):", "data": "2"},'
        '{"field": "NUMA node0 CPU(s):", "data": "0,2"},'
        '{"field": "NUMA node1 CPU(s):", "data": "1,3"}]}\n'
        "node 0 size: 1024 MB\nnode 1 size: 1024 MB\n"
    )
    assert [(core.cpus, core.node) for core in read(text).cores] == [
        ((0,), 0),
        ((1,), 1),
        ((2,), 0),
        ((3,), 1),
    ]


def test_a_sheet_of_many() -> None:
    text = SHEET.replace("rack1,2,2", "rack0,1,1,4,1,pairs,32,\nrack1,2,2", 1)
    hosts = document.parse_inventories(text, name="sheet")
    assert [(host.name, len(host.cores), len(host.nics)) for host in hosts] == [
        ("rack0", 4, 0),
        ("rack1", 4, 1),
    ]
    with pytest.raises(errors.Invalid, match="lists 2 devices"):
        read(text)


def test_a_port_below_the_machine_has_no_node() -> None:
    text = LSTOPO.replace(PCI, "").replace(
        '<object type="Machine" os_index="0" cpuset="0x000000ff">',
        '<object type="Machine" os_index="0" cpuset="0x000000ff">' + PCI,
    )
    assert read(text).nics[0].node is None


BAD = {
    "half a topology": (LSTOPO[:900], "is no XML"),
    "a topology without threads": (
        '<topology><object type="Machine" cpuset="0x1"/></topology>',
        "no processing unit",
    ),
    "a set without an end": (
        '<topology><object type="Machine" cpuset="0xf...f"/></topology>',
        "has no end",
    ),
    "capabilities without NUMA": (
        "<capabilities><host><topology/></host></capabilities>",
        "no NUMA topology",
    ),
    "half of the capabilities": (CAPABILITIES[:300], "is no XML"),
    "lscpu with hyper-threading": (
        '{"lscpu": [{"field": "Thread(s) per core:", "data": "2"}]}',
        "not which CPUs are siblings",
    ),
    "lscpu without memory": (
        '{"cpus": [{"cpu": 0, "core": 0, "socket": 0, "node": 0}]}',
        "add the output of numactl",
    ),
    "lscpu without a core": ('{"cpus": [{"cpu": 0, "socket": 0}]}', "lacks CPU, CORE"),
    "a sheet without numbering": (SHEET.replace("halves", ""), "has no numbering"),
    "a sheet with another numbering": (SHEET.replace("halves", "odd"), "numbering is 'odd'"),
    "a sheet of words": (SHEET.replace("rack1,2,2,2,2", "rack1,two,2,2,2"), "sockets is 'two'"),
    "cores that do not split": (
        SHEET.replace("rack1,2,2,2,2", "rack1,2,3,2,2"),
        "do not split evenly",
    ),
    "a port of nobody": (SHEET.replace("rack1,ens1", "rack7,ens1"), "rack7, no device"),
    "a sheet of nothing": (SHEET.partition("\n")[0] + "\n", "lists no device"),
    "an endless machine": (SHEET.replace("rack1,2,2,2,2", "rack1,2,2,9999999,2"), "nobody builds"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_said(name: str) -> None:
    text, said = BAD[name]
    with pytest.raises((errors.Invalid, errors.ProtocolError), match=said):
        read(text)


def test_the_sheet_of_the_reference_holds_the_demand_of_the_howto() -> None:
    """Who reads the pages from the first line to the last has a plan at the end."""
    docs = Path(__file__).parents[2] / "docs"
    after = (docs / "reference/nfv.md").read_text().partition("\n    name,sockets,")[2]
    lines = ("name,sockets," + after).partition("\n#")[0].splitlines()
    host = document.parse_inventory("\n".join(line.strip() for line in lines), name="x")
    wanted = (docs / "howto/nfv.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    planned = plan_host(host, parse_demand(wanted))
    assert isinstance(planned, HostPlan)
    assert [(one.name, one.wanted) for one in planned.flavors] == [("router", 4), ("gateway", 2)]
