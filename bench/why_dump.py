"""`isthmus why` from a dump of 1,000 hypervisors and 100,000 ports: time and memory of a question.

The dump is generated: two sites, networks of 100 ports, half of them at each site, a security group
a project; ten networks share ten hypervisors, which have tunnels to each other. It is written, read
as `--from` reads it, and asked. The peer is the same question of a dump that holds two ports.
"""

import argparse
import io
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isthmus.diagnose.collect.world import collect_scene
from isthmus.diagnose.dump.file import read_file
from isthmus.diagnose.dump.form import Dump, write_dump
from isthmus.diagnose.dump.recorded import Recorded
from isthmus.diagnose.judge import Diagnosis, Word, judge
from isthmus.diagnose.question import parse_service
from isthmus.diagnose.world import Source

TARGET_S, TARGET_MIB = 2.0, 300.0
SITES = ("s1", "s2")
A_NETWORK = 100  #: ports of a network, at both sites together
_SERVICE = parse_service("tcp/443")

Row = dict[str, Any]


class Cloud:
    """Where everything is, by number."""

    def __init__(self, hosts: int, ports: int) -> None:
        self.hosts, self.ports = hosts, ports
        self.networks = range(max(1, ports // A_NETWORK))
        self.by_host: dict[int, list[int]] = {}
        for number in range(ports):
            self.by_host.setdefault(self.host(number), []).append(number)

    def port_id(self, number: int) -> str:
        """Return the id of a port."""
        return f"00000000-0000-4000-8000-{number:012x}"

    def network_id(self, number: int) -> str:
        """Return the id of a port's network."""
        return f"11111111-0000-4000-8000-{number // A_NETWORK:012x}"

    def group_id(self, number: int) -> str:
        """Return the id of a port's security group."""
        return f"22222222-0000-4000-8000-{number // A_NETWORK:012x}"

    def site(self, number: int) -> str:
        """Return the site of a port."""
        return SITES[number % 2]

    def host(self, number: int) -> int:
        """Return the number of a port's hypervisor, of ten; even ones are at the first site."""
        return (number // A_NETWORK // 10 * 10 + number % 10) % self.hosts

    def mac(self, number: int) -> str:
        """Return the MAC address of a port."""
        raw = f"{number:06x}"
        return f"fa:16:3e:{raw[:2]}:{raw[2:4]}:{raw[4:]}"

    def address(self, number: int) -> str:
        """Return the address of a port."""
        network, last = number // A_NETWORK, number % A_NETWORK + 10
        return f"10.{network // 256}.{network % 256}.{last}"

    def cidr(self, network: int) -> str:
        """Return the prefix of a network."""
        return f"10.{network // 256}.{network % 256}.0/24"

    def tunnel(self, host: int) -> str:
        """Return the tunnel address of a hypervisor."""
        return f"172.{16 + host // 65536}.{host // 256 % 256}.{host % 256}"


def port(cloud: Cloud, number: int, host: str) -> Row:
    return {
        "id": cloud.port_id(number), "name": f"p{number}", "admin_state_up": True,
        "network_id": cloud.network_id(number), "status": "ACTIVE",
        "mac_address": cloud.mac(number), "device_owner": "compute:nova", "device_id": "srv",
        "fixed_ips": [{"subnet_id": f"s-{number // A_NETWORK}",
                       "ip_address": cloud.address(number)}],
        "security_groups": [cloud.group_id(number)], "port_security_enabled": True,
        "allowed_address_pairs": [], "binding:host_id": host, "binding:vif_type": "ovs",
        "project_id": f"project-{number // A_NETWORK}",
    }  # fmt: skip


def group(cloud: Cloud, network: int) -> Row:
    ident = cloud.group_id(network * A_NETWORK)
    bare = {"ethertype": "IPv4", "protocol": None, "port_range_min": None, "port_range_max": None,
            "remote_ip_prefix": None, "remote_group_id": None, "remote_address_group_id": None,
            "security_group_id": ident}  # fmt: skip
    return {
        "id": ident, "name": "default", "stateful": True, "project_id": f"project-{network}",
        "security_group_rules": [
            {**bare, "id": f"e-{network}", "direction": "egress"},
            {**bare, "id": f"i-{network}", "direction": "ingress", "remote_group_id": ident},
        ],
    }  # fmt: skip


def of_tiers(cloud: Cloud) -> Iterator[tuple[Source, str, str, list[Row]]]:
    """Yield what Neutron has, at central and at the sites."""
    numbers, networks = range(cloud.ports), cloud.networks
    nets = [{"id": cloud.network_id(n * A_NETWORK), "name": f"n{n}", "mtu": 1442,
             "admin_state_up": True} for n in networks]  # fmt: skip
    subnets = [{"id": f"s-{n}", "network_id": cloud.network_id(n * A_NETWORK), "ip_version": 4,
                "cidr": cloud.cidr(n), "enable_dhcp": True} for n in networks]  # fmt: skip
    groups = [group(cloud, n) for n in networks]
    central = (Source.CENTRAL, "central")
    yield *central, "port", [port(cloud, n, f"{cloud.site(n)}/h{cloud.host(n)}") for n in numbers]
    yield *central, "network", nets
    yield *central, "subnet", subnets
    yield *central, "security_group", groups
    yield *central, "site", [{"id": one, "name": one, "region": one, "state": "enabled",
                              "reachability": "reachable"} for one in SITES]  # fmt: skip
    yield *central, "site_presence", [
        {"id": f"{net['id']}/{one}", "network_id": net["id"], "site": one, "withdrawn": False,
         "datapath_key": 16711690 + at} for at, net in enumerate(nets) for one in SITES
    ]  # fmt: skip
    yield *central, "site_mapping", [
        {"id": f"m{n}", "type": "port", "resource_id": cloud.port_id(n), "site": cloud.site(n),
         "withdrawn": False} for n in numbers
    ]  # fmt: skip
    for table in ("router", "floatingip", "router_exit", "site_job", "site_refusal", "server",
                  "address_group"):  # fmt: skip
        yield *central, table, []
    for site in SITES:
        here = (Source.NEUTRON, site)
        yield (
            *here,
            "port",
            [port(cloud, n, f"h{cloud.host(n)}") for n in numbers if cloud.site(n) == site],
        )
        yield *here, "network", nets
        yield *here, "subnet", subnets
        yield *here, "security_group", groups
        yield *here, "site_shadow", [
            {"id": cloud.port_id(n), "network_id": cloud.network_id(n), "site": cloud.site(n),
             "chassis": f"c{cloud.host(n)}", "port_key": n % A_NETWORK + 1,
             "mac_address": cloud.mac(n), "addresses": [cloud.address(n)]}
            for n in numbers if cloud.site(n) != site
        ]  # fmt: skip


def of_ovn(cloud: Cloud, site: str) -> Iterator[tuple[Source, str, str, list[Row]]]:
    """Yield what a site's OVN has."""
    numbers, networks, nb, sb = range(cloud.ports), cloud.networks, Source.NB, Source.SB
    yield nb, site, "NB_Global", [{"nb_cfg": 7, "sb_cfg": 7, "hv_cfg": 7}]
    yield nb, site, "Logical_Switch", [
        {"_uuid": f"ls{n}", "name": f"neutron-{cloud.network_id(n * A_NETWORK)}", "acls": [],
         "ports": [], "other_config": {"requested-tnl-key": str(16711690 + n)}} for n in networks
    ]  # fmt: skip
    yield nb, site, "Logical_Switch_Port", [
        {"_uuid": f"lsp{n}", "name": cloud.port_id(n), "enabled": True, "up": True,
         "type": "" if cloud.site(n) == site else "remote",
         "options": {"requested-tnl-key": str(n % A_NETWORK + 1),
                     "requested-chassis": f"h{cloud.host(n)}" if cloud.site(n) == site
                     else f"c{cloud.host(n)}"},
         "addresses": [f"{cloud.mac(n)} {cloud.address(n)}"],
         "port_security": [f"{cloud.mac(n)} {cloud.address(n)}"] if cloud.site(n) == site else [],
         "dhcpv4_options": "dhcp"} for n in numbers
    ]  # fmt: skip
    groups = [f"pg_{cloud.group_id(n * A_NETWORK).replace('-', '_')}" for n in networks]
    yield nb, site, "Port_Group", [
        *({"_uuid": f"pg{n}", "name": name, "acls": [f"out{n}", f"in{n}"],
           "ports": [f"lsp{p}" for p in range(n * A_NETWORK, (n + 1) * A_NETWORK)]}
          for n, name in enumerate(groups)),
        {"_uuid": "pgd", "name": "neutron_pg_drop", "acls": ["dout", "din"],
         "ports": [f"lsp{p}" for p in numbers if cloud.site(p) == site]},
    ]  # fmt: skip
    acl = {"priority": 1002, "action": "allow-related", "external_ids": {}}
    drop = {"priority": 1001, "action": "drop", "external_ids": {}}
    yield nb, site, "ACL", [
        *({**acl, "_uuid": f"out{n}", "direction": "from-lport",
           "match": f"inport == @{name} && ip4"}
          for n, name in enumerate(groups)),
        *({**acl, "_uuid": f"in{n}", "direction": "to-lport",
           "match": f"outport == @{name} && ip4 && ip4.src == ${name}_ip4"}
          for n, name in enumerate(groups)),
        {**drop, "_uuid": "dout", "direction": "from-lport",
         "match": "inport == @neutron_pg_drop && ip"},
        {**drop, "_uuid": "din", "direction": "to-lport",
         "match": "outport == @neutron_pg_drop && ip"},
    ]  # fmt: skip
    yield sb, site, "Address_Set", [
        {"name": f"{name}_ip4",
         "addresses": [cloud.address(p) for p in range(n * A_NETWORK, (n + 1) * A_NETWORK)]}
        for n, name in enumerate(groups)
    ]  # fmt: skip
    for table in ("Address_Set", "Logical_Router", "Logical_Router_Port", "NAT",
                  "Logical_Router_Static_Route", "Logical_Router_Policy", "Load_Balancer",
                  "HA_Chassis_Group", "HA_Chassis", "Gateway_Chassis"):  # fmt: skip
        yield nb, site, table, []
    hosts = range(cloud.hosts)
    mine = [SITES[h % 2] == site for h in hosts]
    yield sb, site, "SB_Global", [{"nb_cfg": 7}]
    yield sb, site, "Chassis", [
        {"_uuid": f"uc{h}", "name": f"c{h}", "external_ids": {},
         "hostname": f"h{h}" if mine[h] else f"{SITES[h % 2]}/h{h}",
         "other_config": {} if mine[h] else {"is-remote": "true"}} for h in hosts
    ]  # fmt: skip
    yield (
        sb,
        site,
        "Encap",
        [
            {"_uuid": f"en{h}", "chassis_name": f"c{h}", "ip": cloud.tunnel(h), "type": "geneve"}
            for h in hosts
        ],
    )
    yield sb, site, "Chassis_Private", [
        {"name": f"c{h}", "nb_cfg": 7, "nb_cfg_timestamp": 0, "chassis": f"uc{h}"}
        for h in hosts if mine[h]
    ]  # fmt: skip
    yield sb, site, "Port_Binding", [
        {"_uuid": f"pb{n}", "logical_port": cloud.port_id(n), "datapath": f"dp{n // A_NETWORK}",
         "type": "" if cloud.site(n) == site else "remote", "tunnel_key": n % A_NETWORK + 1,
         "chassis": f"uc{cloud.host(n)}", "up": True, "options": {}} for n in numbers
    ]  # fmt: skip
    yield (
        sb,
        site,
        "Datapath_Binding",
        [{"_uuid": f"dp{n}", "tunnel_key": 16711690 + n} for n in networks],
    )
    yield sb, site, "MAC_Binding", []


def of_host(cloud: Cloud, host: int) -> Iterator[tuple[Source, str, str, list[Row]]]:
    """Yield what a hypervisor has: its ports, a tunnel to each other one, flows to its networks."""
    name, here = f"h{host}", Source.HOST
    ports = cloud.by_host.get(host, [])
    ids = {"ovn-is-interconn": "true", "ovn-encap-ip": cloud.tunnel(host),
           "ovn-encap-type": "geneve"}  # fmt: skip
    peers = sorted(
        {
            cloud.host(p)
            for own in ports
            for p in range(own - own % A_NETWORK, own - own % A_NETWORK + A_NETWORK)
        }
    )
    flows = sorted(
        {
            p
            for own in ports
            for p in range(own - own % A_NETWORK, own - own % A_NETWORK + A_NETWORK)
        }
    )
    yield here, name, "Open_vSwitch", [{"external_ids": ids, "ovs_version": "3.1"}]
    yield here, name, "Interface", [
        *({"name": f"tap{p}", "type": "", "external_ids": {"iface-id": cloud.port_id(p)},
           "options": {}, "ofport": 3, "error": [], "admin_state": "up", "link_state": "up",
           "mtu": 1442} for p in ports),
        *({"name": f"ovn-{h}", "type": "geneve", "external_ids": {}, "ofport": 9, "error": [],
           "options": {"remote_ip": cloud.tunnel(h)}} for h in peers if h != host),
    ]  # fmt: skip
    yield (
        here,
        name,
        "daemon",
        [
            {"name": "ovs-vswitchd", "state": "running", "said": "3.1"},
            {"name": "ovn-controller", "state": "connected", "said": "connected"},
        ],
    )
    yield here, name, "conntrack", [{"count": 70, "most": 3_000_000}]
    yield (
        here,
        name,
        "route",
        [{"to": cloud.tunnel(h), "dev": "br-phys", "mtu": 1500} for h in peers if h != host],
    )
    yield here, name, "flow", [
        {"match": f"metadata={16711690 + p // A_NETWORK:#x},reg15={p % A_NETWORK + 1:#x}",
         "count": 1} for p in flows
    ]  # fmt: skip


def make_dump(cloud: Cloud) -> Dump:
    """Generate a dump."""
    dump = Dump(at="2026-01-01T00:00:00Z", made_by="bench")
    for piece in of_tiers(cloud):
        dump.add(*piece)
    for site in SITES:
        for piece in of_ovn(cloud, site):
            dump.add(*piece)
    for host in range(cloud.hosts):
        for piece in of_host(cloud, host):
            dump.add(*piece)
    return dump


def ask(ways: Recorded, one: str, other: str) -> Diagnosis:
    """Ask as the command does."""
    scene = collect_scene(ways, one, other, timeout_s=600, now=ways.now, service=_SERVICE)
    return judge(scene.world, scene.source, scene.target, _SERVICE, scene.family)


def memory_mib() -> float:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(cloud: Cloud, packed: bytes, questions: int) -> tuple[float, float, list[float]]:
    """Return the seconds to load, the MiB that questions add to that, and the seconds of each."""
    began = time.perf_counter()
    with tempfile.NamedTemporaryFile(suffix=".dump") as file:
        file.write(packed)
        file.flush()
        ways = Recorded(read_file(Path(file.name)))
    loaded, before = time.perf_counter() - began, memory_mib()
    dice, times = random.Random(7), []
    for _ in range(questions):
        network = dice.choice(cloud.networks) * A_NETWORK
        most = min(A_NETWORK, cloud.ports)
        one, other = dice.sample(range(network, network + most), 2)
        began = time.perf_counter()
        found = ask(ways, cloud.port_id(one), cloud.port_id(other))
        times.append(time.perf_counter() - began)
        codes = [blocker.verdict.code for blocker in found.blockers]
        assert found.word is Word.REACHABLE, (codes, found.report.unseen)
    return loaded, memory_mib() - before, times


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--hosts", type=int, default=1000)
    words.add_argument("--ports", type=int, default=100_000)
    words.add_argument("--questions", type=int, default=50)
    words.add_argument("--write", metavar="FILE", help="write the dump there, and ask nothing")
    asked = words.parse_args()
    cloud = Cloud(asked.hosts, asked.ports)
    into = io.BytesIO()
    write_dump(make_dump(cloud), into)
    packed = into.getvalue()
    print(f"dump of {asked.hosts} hypervisors and {asked.ports} ports: {len(packed) >> 20} MiB")
    if asked.write:
        Path(asked.write).write_bytes(packed)
        return 0
    small = Cloud(2, 2)
    into = io.BytesIO()
    write_dump(make_dump(small), into)
    _, _, least = measure(small, into.getvalue(), asked.questions)
    loaded, more, times = measure(cloud, packed, asked.questions)
    rest = statistics.median(times[1:])
    print(f"load: {loaded:.1f} s; the first question: {times[0]:.2f} s (target {TARGET_S:g})")
    print(f"a question: median {rest * 1000:.1f} ms, at most {max(times[1:]) * 1000:.1f} ms; of "
          f"two ports: {statistics.median(least) * 1000:.1f} ms, ratio "
          f"{rest / statistics.median(least):.2f}")  # fmt: skip
    print(f"memory that questions add: {more:.0f} MiB (target {TARGET_MIB:g})")
    return 0 if times[0] <= TARGET_S and more <= TARGET_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
