"""What needs rows behind Neutron's back, or objects of its own."""

import socket
import struct
import time
from collections.abc import Iterator

from bench.injected.scene import Scene, fault
from isthmus.clients.machine import shell


@fault("an address twice", "port.address_twice", "far", touches="twice")
def share_address(s: Scene) -> Iterator[None]:
    made = _another(s)
    s.sql(s.b.site, f"UPDATE ipallocations SET ip_address = '{s.a.address}' "
          f"WHERE port_id = '{made}' AND ip_address LIKE '%.%'")  # fmt: skip
    yield
    s.call("DELETE", f"ports/{made}", s.b.site)


@fault("a MAC address twice", "port.mac_twice", "far", touches="twice")
def share_mac(s: Scene) -> Iterator[None]:
    made = _another(s)
    s.sql(s.b.site, f"UPDATE ports SET mac_address = '{s.a.mac}' WHERE id = '{made}'")
    yield
    s.call("DELETE", f"ports/{made}", s.b.site)


def _another(s: Scene) -> str:
    """Make a port at the receiver's site."""
    body = {"network_id": s.b.network, "name": "twice"}
    made = str(s.call("POST", "ports", s.b.site, port=body)["port"]["id"])
    s.cloud.await_jobs()
    return made


@fault("RBAC, or a network of another project", "network.not_shared", "pair", touches="owner")
def give_away(s: Scene) -> Iterator[None]:
    (before,) = s.sql("central", f"SELECT project_id FROM networks WHERE id = '{s.a.network}'")
    change = f"UPDATE networks SET project_id = '%s' WHERE id = '{s.a.network}'"
    s.sql("central", change % "another")
    yield
    s.sql("central", change % before[0])


@fault("a network is not at the site", "network.not_present", "far", touches="presence")
def forget_presence(s: Scene) -> Iterator[None]:
    row = (
        "UPDATE isthmus_site_mappings SET withdrawn = %d WHERE type = 'network' AND "
        f"resource_id = '{s.b.network}' AND site = '{s.b.site}'"
    )
    s.sql("central", row % 1)
    yield
    s.sql("central", row % 0)


@fault("no gateway in the availability zone", "router.not_at_site", "routed", alone=True)
def hint_elsewhere(s: Scene) -> Iterator[None]:
    other = next(one for one in s.cloud.hosts if one != s.a.site)
    zones = s.call("GET", f"sites/{other}")["site"]["availability_zones"]
    network = s.make("network", name="hinted")["id"]
    subnet = s.make("subnet", network_id=network, ip_version=4, cidr="10.240.0.0/24")["id"]
    router = s.make("router", name="hinted", availability_zone_hints=zones)["id"]
    path = f"routers/{router}/%s_router_interface"
    s.call("PUT", path % "add", subnet_id=subnet)
    try:
        row = s.lab.create_server(name="hinted", site=s.a.site, network=network)
        s.asked = (row["port_id"], "external")
        yield
        s.lab.delete_server("hinted")
    finally:
        s.call("PUT", path % "remove", subnet_id=subnet)
        s.delete(f"routers/{router}")
        s.delete(f"networks/{network}")


@fault("checksums that a NIC leaves out", "host.checksums", "across", touches="checksums",
       lasting=True)  # fmt: skip
def break_checksums(s: Scene) -> Iterator[None]:
    code = (
        "import socket\n"
        "one = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)\n"
        f"for _ in range(4000): one.sendto({_datagram()!r}, ('127.0.0.1', 0))\n"
    )
    netns = s.lab.find_netns(s.a.host)
    shell.run(["ip", "link", "set", "lo", "up"], netns=netns)
    shell.run(["python3", "-c", code], netns=netns)
    yield


@fault("no metadata namespace on the hypervisor", "metadata.not_plugged", "pair",
       touches="metadata agent")  # fmt: skip
def lose_namespace(s: Scene) -> Iterator[None]:
    yield from _agent(s, 0)


@fault("the metadata agent hangs", "metadata.agent_behind", "pair", touches="metadata agent")
def hang_agent(s: Scene) -> Iterator[None]:
    yield from _agent(s, -9)


def _agent(s: Scene, behind: int) -> Iterator[None]:
    """Let the hypervisor's row say what an agent for metadata writes there: the lab has none."""
    key = "neutron\\:ovn-metadata-sb-cfg"
    row = s.find(s.sb, s.a.site, "Chassis_Private", f"name={s.a.host}")
    asked = int(s.sb(s.a.site, "get", "SB_Global", ".", "nb_cfg"))
    s.sb(s.a.site, "set", "Chassis_Private", row, f"external_ids:{key}={asked + behind}")
    yield
    s.sb(s.a.site, "remove", "Chassis_Private", row, "external_ids", key)


@fault("BFD goes up and down", "bfd.down", "across", touches="bfd")
def watch_alone(s: Scene) -> Iterator[None]:
    row = s.find(s.vs, s.a.host, "Interface", f"options:remote_ip={s.encap(s.b.host)}")
    s.vs(s.a.host, "set", "Interface", row, "bfd:enable=true")
    yield
    s.vs(s.a.host, "clear", "Interface", row, "bfd")


@fault("an external port stands on another gateway (SR-IOV)", "lsp.external_elsewhere", "out here",
       touches="lsp of a")  # fmt: skip
def stand_elsewhere(s: Scene) -> Iterator[None]:
    site = s.a.site
    gateway = f"cr-lrp-{s.gateway()['id']}"
    row = s.find(s.sb, site, "Port_Binding", f"logical_port={gateway}", column="chassis")
    holder = s.sb(site, "get", "Chassis", row, "name").strip('"')
    other = next(one for one in s.cloud.hosts[site] if one != holder)
    s.nb(site, "ha-chassis-group-add", "bench")
    s.nb(site, "ha-chassis-group-add-chassis", "bench", other, "10")
    group = s.find(s.nb, site, "HA_Chassis_Group", "name=bench")
    s.nb(site, "set", "Logical_Switch_Port", s.a.port, "type=external", f"ha_chassis_group={group}")
    yield
    s.nb(site, "clear", "Logical_Switch_Port", s.a.port, "ha_chassis_group")
    s.nb(site, "lsp-set-type", s.a.port, "")
    s.nb(site, "ha-chassis-group-del", "bench")


@fault("a subport of a trunk without its parent, or with another VLAN", "lsp.no_parent", "routed",
       alone=True)  # fmt: skip
def lose_parent(s: Scene) -> Iterator[None]:
    s.isthmus("network", "extend", s.b.network, s.a.site, "--wait", "60")
    made = str(s.make("port", network_id=s.b.network)["id"])
    part = {"port_id": made, "segmentation_type": "vlan", "segmentation_id": 7}
    trunk = s.make("trunk", port_id=s.a.port, sub_ports=[part])["id"]
    try:
        s.cloud.await_jobs()
        for _ in range(100):
            if s.find(s.nb, s.a.site, "Logical_Switch_Port", f"name={made}", column="parent_name"):
                break
            time.sleep(0.2)
        s.nb(s.a.site, "clear", "Logical_Switch_Port", made, "parent_name", "tag", "tag_request")
        s.asked = (made, s.b.port)
        yield
    finally:
        s.delete(f"trunks/{trunk}")
        s.delete(f"ports/{made}")


def _datagram() -> bytes:
    """Return a datagram whose checksum is wrong."""
    return struct.pack("!HHHH", 9, 9, 12, socket.htons(1) or 1) + b"isth"
