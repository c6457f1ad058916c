"""One host through its client: the real script over a made-up /sys, and ssh that cannot connect."""

import itertools
from pathlib import Path

import pytest

from isthmus import errors
from isthmus.clients.machine.host import LocalHost, SshHost, open_host
from isthmus.facts import dump, script
from isthmus.facts.gather import collect_facts, inspect_host
from isthmus.facts.host import sysfs
from isthmus.facts.protocols import HostClient
from isthmus.model.host.host_inventory import Cache, Core, HugePages, Nic


def put(root: Path, path: str, text: str) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text + "\n")


def link(root: Path, path: str, to: str) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    (root / to).mkdir(parents=True, exist_ok=True)
    target.symlink_to(root / to)


def make_tree(root: Path) -> None:
    """Two nodes of two cores of two threads, a port bound to its driver, one held by DPDK, a VF."""
    put(
        root,
        "proc/cpuinfo",
        "processor : 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon (made up)",
    )
    put(root, "proc/cmdline", "root=/dev/sda1 quiet")
    put(root, "proc/sys/kernel/hostname", "made-up")
    put(root, "proc/sys/kernel/osrelease", "6.8.0")
    put(root, "sys/devices/system/cpu/online", "0-7")
    for cpu in range(8):
        core = cpu % 4
        top = f"sys/devices/system/cpu/cpu{cpu}"
        put(root, f"{top}/topology/physical_package_id", str(core // 2))
        put(root, f"{top}/topology/core_id", str(core % 2))
        put(root, f"{top}/topology/thread_siblings_list", f"{core},{core + 4}")
        put(root, f"{top}/cache/index3/size", "16384K")
        put(root, f"{top}/cache/index3/shared_cpu_list", "0-1,4-5" if core < 2 else "2-3,6-7")
    for node, cpus in ((0, "0-1,4-5"), (1, "2-3,6-7")):
        top = f"sys/devices/system/node/node{node}"
        put(root, f"{top}/cpulist", cpus)
        put(root, f"{top}/distance", "10 21" if node == 0 else "21 10")
        put(root, f"{top}/meminfo", f"Node {node} MemTotal:  8388608 kB\nNode {node} MemFree: 1 kB")
        for size, count in ((2048, 0), (1048576, 4)):
            put(root, f"{top}/hugepages/hugepages-{size}kB/nr_hugepages", str(count))
            put(root, f"{top}/hugepages/hugepages-{size}kB/free_hugepages", str(count // 2))
    make_devices(root)


def make_devices(root: Path) -> None:
    for address, node, driver, net in (
        ("0000:3b:00.0", 0, "i40e", "ens1f0"),
        ("0000:af:00.0", 1, "vfio-pci", ""),
        ("0000:3b:02.0", 0, "iavf", "ens1f0v0"),
    ):
        top = f"sys/bus/pci/devices/{address}"
        put(root, f"{top}/class", "0x020000")
        put(root, f"{top}/vendor", "0x8086")
        put(root, f"{top}/device", "0x158b")
        put(root, f"{top}/numa_node", str(node))
        link(root, f"{top}/driver", f"sys/bus/pci/drivers/{driver}")
        link(root, f"{top}/iommu_group", f"sys/kernel/iommu_groups/{node + 40}")
        if net:
            put(root, f"sys/class/net/{net}/address", "3c:fd:fe:00:00:01")
            put(root, f"sys/class/net/{net}/mtu", "9000")
            put(root, f"sys/class/net/{net}/speed", "25000")
            link(root, f"sys/class/net/{net}/device", top)
    put(root, "sys/bus/pci/devices/0000:3b:00.0/sriov_totalvfs", "64")
    put(root, "sys/bus/pci/devices/0000:3b:00.0/sriov_numvfs", "1")
    put(root, "sys/bus/pci/devices/0000:3b:00.0/sriov_vf_device", "154c")
    link(root, "sys/bus/pci/devices/0000:3b:02.0/physfn", "sys/bus/pci/devices/0000:3b:00.0")
    put(root, "sys/bus/pci/devices/0000:00:1f.0/class", "0x060100")
    link(root, "sys/class/iommu/dmar0", "sys/devices/virtual/iommu/dmar0")
    put(root, "sys/class/net/lo/address", "00:00:00:00:00:00")


def test_a_made_up_sys_is_read_whole(tmp_path: Path) -> None:
    make_tree(tmp_path)
    output = LocalHost().run_script(script.render_script(root=str(tmp_path)))
    assert output.exit_code == 0
    assert output.stderr == ""
    host = sysfs.parse_host(dump.parse_facts(output.stdout))
    assert (host.name, host.cpu_vendor, host.cpu_model) == (
        "made-up",
        "GenuineIntel",
        "Xeon (made up)",
    )
    assert host.cores == (
        Core(socket=0, id=0, node=0, cpus=(0, 4)),
        Core(socket=0, id=1, node=0, cpus=(1, 5)),
        Core(socket=1, id=0, node=1, cpus=(2, 6)),
        Core(socket=1, id=1, node=1, cpus=(3, 7)),
    )
    assert [node.memory_mib for node in host.nodes] == [8192, 8192]
    assert host.nodes[1].distances == (21, 10)
    assert host.nodes[0].hugepages == (
        HugePages(size_kib=2048, total=0, free=0),
        HugePages(size_kib=1048576, total=4, free=2),
    )
    assert host.caches == (
        Cache(level=3, size_kib=16384, cpus=(0, 1, 4, 5)),
        Cache(level=3, size_kib=16384, cpus=(2, 3, 6, 7)),
    )
    assert host.nics == (
        Nic(
            name="ens1f0",
            pci_address="0000:3b:00.0",
            node=0,
            driver="i40e",
            vendor_id="8086",
            product_id="158b",
            vf_product_id="154c",
            mac="3c:fd:fe:00:00:01",
            speed_mbps=25000,
            mtu=9000,
            max_vfs=64,
            vfs=1,
            iommu_group=40,
        ),
        Nic(
            name="0000:af:00.0",
            pci_address="0000:af:00.0",
            node=1,
            driver="vfio-pci",
            vendor_id="8086",
            product_id="158b",
            iommu_group=41,
        ),
    )
    assert host.iommu is True
    assert host.page_sizes_kib == (2048, 1048576)


def test_a_cpu_that_is_offline_is_not_there(tmp_path: Path) -> None:
    make_tree(tmp_path)
    (tmp_path / "sys/devices/system/cpu/online").write_text("0-6\n")
    for cpu in (3, 7):
        siblings = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        siblings.write_text("3\n") if cpu == 3 else siblings.unlink()
    output = LocalHost().run_script(script.render_script(root=str(tmp_path)))
    host = sysfs.parse_host(dump.parse_facts(output.stdout))
    assert host.cpus == (0, 1, 2, 3, 4, 5, 6)
    assert host.cores_of(1)[-1].cpus == (3,)


def test_this_very_host() -> None:
    client: HostClient = open_host("local")
    host = inspect_host(client)
    assert host.cpus
    assert all(node.memory_mib > 0 for node in host.nodes)
    seen = dump.parse_facts(collect_facts(client, settings=True))
    lines = seen.commands["threads"].splitlines()
    assert len(lines) > 1
    assert all(len(line.split("\t")) == 6 for line in lines)


def test_facts_that_were_cut_off_are_refused() -> None:
    text = LocalHost().run_script(script.render_script()).stdout
    with pytest.raises(errors.ProtocolError, match="end early"):
        dump.parse_facts(text[: len(text) // 2])
    lines = text.splitlines()
    lines.insert(3, "X what is this")
    with pytest.raises(errors.ProtocolError, match="line 4"):
        dump.parse_facts("\n".join(lines))


def test_nobody_listens() -> None:
    client = open_host("root@127.0.0.1:1")
    assert isinstance(client, SshHost)
    with pytest.raises(errors.Unreachable, match="ssh to root"):
        client.run_script("true")


def test_the_ssh_command() -> None:
    client = open_host("admin@[fd00::1]:2222", identity="/k", options=["ProxyJump=j"])
    assert isinstance(client, SshHost)
    pairs = set(itertools.pairwise(client.argv))
    assert {("-p", "2222"), ("-l", "admin"), ("-i", "/k"), ("-o", "ProxyJump=j")} <= pairs
    assert client.argv[-2:] == ("--", "fd00::1")


@pytest.mark.parametrize("target", ["-oProxyCommand=x", "a b", "user@", "host:port", "a;b"])
def test_no_host_at_all(target: str) -> None:
    with pytest.raises(errors.Invalid, match="is no host"):
        open_host(target)
