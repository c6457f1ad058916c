"""A host full of known secrets: none is in what `inspect --facts` saves, nor in a finding."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from isthmus.facts import allow, dump, registry, script
from isthmus.facts.document import to_document
from isthmus.facts.fact import How
from isthmus.facts.host import libvirt, oslo_conf
from isthmus.nfv.check import host as checks
from isthmus.nfv.check import state as states

AWKS = [name for name in ("mawk", "gawk", "busybox") if shutil.which(name)]
#: Where people and programs keep secrets on a compute host, and what must be seen all the same.
FILES = {
    "etc/nova/nova.conf": """\
[DEFAULT]
transport_url = rabbit://nova:SECRET-1@mq:5672/
my_ip = 192.0.2.1
vcpu_pin_set = 2-4
metadata_proxy_shared_secret=SECRET-2
notification_transport_url =
  rabbit://nova:SECRET-3@mq/
  vcpu_pin_set = SECRET-4
# password = SECRET-5
[placement]
password: SECRET-6
cpu_dedicated_set = SECRET-7
[ key_manager ]
fixed_key = SECRET-8
[compute]
cpu_dedicated_set = 2-4,
  6-9
[workarounds]
[neutron_physnet_fast]
numa_nodes = 0
  password = SECRET-33
    admin_token: SECRET-34
[SECRET-9 !]
reserved_host_cpus = SECRET-10
""",
    "etc/nova/nova.conf.d/10-vault.conf": "[vault]\nroot_token_id = SECRET-11\n",
    "etc/nova/nova-compute.conf": "[libvirt]\nlive_migration_uri = qemu+ssh://SECRET-12@%s\n",
    "etc/kolla/nova-compute/nova.conf": "[api_database]\nconnection = mysql://n:SECRET-13@db/n\n",
    "etc/neutron/neutron-openvswitch-agent.conf.d/60-isthmus-nfv.conf": "[ovs]\n"
    "datapath_type = netdev\nssl_key_file = SECRET-14\n"
    "bridge_mappings =\n  fast:br-fast,\n  slow:br-slow\n  # password = SECRET-35\n"
    "  a:SECRET-36 b\n",
    "etc/neutron/plugins/ml2/sriov_agent.ini": """\
[sriov_nic]
physical_device_mappings = fast:enp1s0f0,
  fast:enp1s0f1
  my-token = SECRET-37
  fast:enp1s0f2
[ovs]
bridge_mappings = fast:br-fast
  secret.token: SECRET-38
  password:SECRET-39
""",
    "etc/nova/nova.conf.d/20-pci.conf": """\
[pci]
device_spec = { "vendor_id": "8086",
  "product_id": "154d", "physical_network": "fast" }
  # "password": "SECRET-40"
alias = { "name": "a",
  password: "SECRET-41" }
""",
    "etc/default/grub": 'GRUB_CMDLINE_LINUX="quiet isolcpus=1-4 rd.iscsi.password=SECRET-15"\n'
    "GRUB_PASSWORD=SECRET-16\n",
    "proc/cmdline": "BOOT_IMAGE=/vmlinuz netroot=iscsi:u:SECRET-17@192.0.2.9 hugepages=4 "
    "ipa-agent-token=SECRET-18 isolcpus=1-4\n",
    "run/libvirt/qemu/i1.xml": """\
<domstatus state='running' pid='2000'><monitor path='/SECRET-19'/>
<vcpus><vcpu id='0' pid='2010'/></vcpus><cookie>SECRET-20</cookie>
<domain type='kvm' id='1' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
 <name>instance-00000001</name>
 <metadata><nova:instance xmlns:nova="x"><nova:name>SECRET-21</nova:name>
  <name>SECRET-22</name></nova:instance></metadata>
 <!-- <name>SECRET-23</name> -->
 <cputune><vcpupin vcpu='0' cpuset='2'/><emulatorpin cpuset='0'/></cputune>
 <devices><disk type='network'><auth username='SECRET-24'><secret type='ceph' uuid='SECRET-25'/>
  </auth><source protocol='rbd'><config name='SECRET-26'/></source></disk>
  <interface type='vhostuser'><mac address='02:00:00:00:00:01'/>
   <source type='unix' path='/var/lib/vhost_sockets/vhu1' mode='server'/></interface>
  <graphics type='vnc' passwd='SECRET-27'/></devices>
 <qemu:commandline><qemu:arg value='SECRET-28'/></qemu:commandline>
</domain></domstatus>
""",
}
#: Rows as ovs-vsctl writes them, in one line each.
OWN_ROW = [
    ["uuid", "6b1d"],
    True,
    ["map", [["dpdk-init", "true"], ["x-key", "SECRET-29"]]],
    ["map", [["ovn-remote-token", "SECRET-30"], ["ovn-bridge-mappings", "fast:br-fast"]]],
]
INTERFACE_ROW = [
    *(["uuid", "77aa"], "ipsec0", "geneve"),
    ["map", [["psk", 'SECRET-31 "],["a'], ["a", "SECRET-32\\"], ["remote_ip", "192.0.2.7"]]],
    *(["map", []], ["set", []], ["set", []], ["set", []], ["map", [["rx_packets", 4]]]),
    *(["map", [["numa", "0"]]], "up"),
]


def render_table(columns: str, row: Sequence[object]) -> str:
    table = {"data": [row], "headings": columns.split(",")}
    return json.dumps(table, separators=(",", ":"))


COLUMNS = {
    source.what.split()[-1]: source.what.partition("--columns=")[2].split()[0]
    for fact in registry.HOST
    for source in fact.sources
    if source.how is How.ROWS
}
#: What answers in place of Open vSwitch and systemd.
PROGRAMS = {
    "ovs-vsctl": f"""#!/bin/sh
case "$*" in
*Open_vSwitch*) cat <<'END'
{render_table(COLUMNS["Open_vSwitch"], OWN_ROW)}
END
;;
*Interface*) cat <<'END'
{render_table(COLUMNS["Interface"], INTERFACE_ROW)}
END
;;
*) exit 1 ;;
esac
""",
    "ovs-appctl": "#!/bin/sh\necho ok\n",
    "systemctl": "#!/bin/sh\necho Id=nova-compute.service\necho LoadState=loaded\n",
    "podman": "#!/bin/sh\nexit 1\n",
}


def gather(folder: Path, awk: str, *, root: Path | None) -> str:
    """Run the script on the host made here, or for its commands with the programs made here."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name, text in PROGRAMS.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    words = f"{shutil.which(awk)} awk" if awk == "busybox" else shutil.which(awk)
    (programs / "awk").write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    (programs / "awk").chmod(0o755)
    text = script.render_script(root=str(root) if root else "", settings=True)
    done = subprocess.run(
        ["sh", "-s"],
        input=text,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "root"


def decoded(text: str) -> str:
    """All that facts hold, base64 read."""
    seen = dump.parse_facts(text)
    return repr((seen.files, seen.links, seen.commands, seen.failures))


@pytest.mark.parametrize("awk", AWKS)
def test_files_full_of_secrets(tmp_path: Path, root: Path, awk: str) -> None:
    text = gather(tmp_path, awk, root=root)
    assert "SECRET" not in decoded(text)
    seen = dump.parse_facts(text)
    nova = oslo_conf.parse_ini(seen.files["/etc/nova/nova.conf"])
    assert nova == {
        "DEFAULT/vcpu_pin_set": ("2-4",),
        "compute/cpu_dedicated_set": ("2-4,\n6-9",),
        "neutron_physnet_fast/numa_nodes": ("0",),
    }
    agent = "/etc/neutron/neutron-openvswitch-agent.conf.d/60-isthmus-nfv.conf"
    mappings = oslo_conf.parse_ini(seen.files[agent])["ovs/bridge_mappings"]
    assert [one.split() for one in mappings] == [["fast:br-fast,", "slow:br-slow"]]
    sriov = oslo_conf.parse_ini(seen.files["/etc/neutron/plugins/ml2/sriov_agent.ini"])
    assert sriov["sriov_nic/physical_device_mappings"][0].split() == [
        "fast:enp1s0f0,",
        "fast:enp1s0f1",
    ]
    pci = oslo_conf.parse_ini(seen.files["/etc/nova/nova.conf.d/20-pci.conf"])
    (spec,) = pci["pci/device_spec"]
    assert json.loads(spec)["product_id"] == "154d"
    assert seen.text("/proc/cmdline") == "hugepages=4 isolcpus=1-4"
    assert seen.text("/etc/default/grub") == "isolcpus=1-4"
    domain = libvirt.parse_domain(seen.files["/run/libvirt/qemu/i1.xml"])
    assert domain is not None
    assert (domain.name, domain.pins, domain.emulator) == ("instance-00000001", {0: (2,)}, (0,))
    assert domain.tids == {0: 2010}
    assert domain.vhost_user == ("vhu1",)


@pytest.mark.parametrize("awk", AWKS)
def test_commands_full_of_secrets(tmp_path: Path, awk: str) -> None:
    text = gather(tmp_path, awk, root=None)
    assert "SECRET" not in decoded(text)
    state = states.parse_state(dump.parse_facts(text))
    assert state.other_config == {"dpdk-init": "true"}
    assert state.external_ids == {"ovn-bridge-mappings": "fast:br-fast"}
    assert [one.name for one in state.interfaces] == ["ipsec0"]
    assert state.interfaces[0].status == {"numa": "0"}
    report = checks.check_host(state)
    assert "SECRET" not in repr(report)
    assert "SECRET" not in repr(to_document(state.inventory))


def test_the_names_that_facts_may_hold_are_not_names_of_secrets() -> None:
    names = " ".join((*allow.OPTIONS, *allow.KERNEL_WORDS, *allow.ELEMENTS, *allow.OVS_KEYS))
    for word in ("password", "passwd", "secret", "token", "transport_url", "connection", "psk"):
        assert word not in names.lower()
