"""A port, from its row at central to the tap, and how other sites reach it."""

from collections.abc import Iterator

from isthmus.diagnose.explain.rows import Rows, one_of
from isthmus.diagnose.explain.stage import Layer, Stage, at_site, on_host, openstack
from isthmus.diagnose.world import Row, Source
from isthmus.model.site import CENTRAL

_DROP = "neutron_pg_drop"  #: Neutron's port group of all filtered ports (neutron ovn/constants)


def explain_port(rows: Rows, port: Row) -> Iterator[Stage]:
    """Yield the stages of a port, place by place."""
    port_id, network_id = str(port["id"]), str(port["network_id"])
    home, host = find_home(rows, port)
    fixed = ", ".join(str(one.get("ip_address")) for one in port.get("fixed_ips") or ())
    yield Stage(
        layer=Layer.API,
        place=CENTRAL,
        what=f"port {port_id}",
        facts={"network": network_id, "MAC address": str(port.get("mac_address")),
               "addresses": fixed, "lives at": f"{home or 'no site'}, {host or 'no hypervisor'}"},
        commands=(openstack(CENTRAL, f"port show {port_id}"),),
    )  # fmt: skip
    if home:
        held = rows.find(Source.NEUTRON, home, "port", id=port_id)
        yield Stage(
            layer=Layer.API,
            place=home,
            site=home,
            what=f"port {port_id}",
            facts={"status": str((held or {}).get("status")),
                   "bound as": str((held or {}).get("binding:vif_type"))},
            commands=(openstack(home, f"port show {port_id}"),),
            is_there=held is not None,
        )  # fmt: skip
    sites = rows.list_sites(network_id)
    for site in dict.fromkeys([*([home] if home else []), *sites]):
        yield from _at_site(rows, port_id, site, home, host)


def find_home(rows: Rows, port: Row) -> tuple[str, str]:
    """Return the site and the hypervisor of a port; empty where it has none."""
    place, slash, host = str(port.get("binding:host_id") or "").partition("/")
    mapped = rows.central("site_mapping", type="port", resource_id=str(port["id"]))
    home = next((str(x["site"]) for x in mapped if not x.get("withdrawn")), place if slash else "")
    return home, (host if slash else place)


def _at_site(rows: Rows, port_id: str, site: str, home: str, host: str) -> Iterator[Stage]:
    row = rows.find(Source.NB, site, "Logical_Switch_Port", name=port_id)
    if rows.has(Source.NB, site):
        options = (row or {}).get("options") or {}
        yield Stage(
            layer=Layer.NB,
            place=site,
            site=site,
            what=f"Logical_Switch_Port {port_id}",
            facts={
                "type": str((row or {}).get("type") or "of this site"),
                "addresses": ", ".join(map(str, (row or {}).get("addresses") or ())),
                "key asked for": str(options.get("requested-tnl-key", "")),
                "chassis asked for": str(options.get("requested-chassis", "")),
            },
            commands=(at_site(site, f"ovn-nbctl list Logical_Switch_Port {port_id}"),),
            is_there=row is not None,
        )
        if site == home and row is not None:
            yield from _port_groups(rows, site, str(row["_uuid"]))
    if not rows.has(Source.SB, site):
        return
    bound = rows.binding(site, port_id)
    key = rows.key_of(site, bound)
    yield Stage(
        layer=Layer.SB,
        place=site,
        site=site,
        what=f"Port_Binding {port_id}",
        facts={"chassis": rows.chassis_of(site, bound), "key": str((bound or {}).get("tunnel_key")),
               "datapath key": str(key)},
        commands=(at_site(site, f"ovn-sbctl find Port_Binding logical_port={port_id}"),),
        is_there=bound is not None,
    )  # fmt: skip
    if bound is not None and key is not None and bound.get("tunnel_key") is not None:
        yield from _on_hosts(rows, port_id, site, (key, int(bound["tunnel_key"])), home, host)


def _port_groups(rows: Rows, site: str, uuid: str) -> Iterator[Stage]:
    for group in rows.select(Source.NB, site, "Port_Group", ports=uuid):
        name = str(group["name"])
        yield Stage(
            layer=Layer.NB,
            place=site,
            site=site,
            what=f"Port_Group {name}",
            facts={"ACLs": str(len(group.get("acls") or ())),
                   "is": "what is dropped of all ports" if name == _DROP else "a security group"},
            commands=(at_site(site, f"ovn-nbctl --type=port-group acl-list {name}"),),
        )  # fmt: skip


def _on_hosts(
    rows: Rows, port_id: str, site: str, keys: tuple[int, int], home: str, host: str
) -> Iterator[Stage]:
    match = f"metadata={keys[0]:#x},reg15={keys[1]:#x}"
    address = _encap(rows, home, host)
    for one, count in rows.list_flows(site, match):
        is_home = (site, one) == (home, host)
        if not count and not is_home:
            continue
        yield Stage(
            layer=Layer.FLOWS,
            place=one,
            site=site,
            what=f"flows to key {keys[1]} on datapath {keys[0]}",
            facts={"flows": str(count)},
            commands=(on_host(one, f"ovs-ofctl -O OpenFlow15 dump-flows br-int {match}"),),
            is_there=count > 0,
        )
        if is_home:
            yield from _taps(rows, port_id, site, one)
        elif address:
            tunnel = rows.tunnel(one, address)
            yield Stage(
                layer=Layer.TUNNEL,
                place=one,
                site=site,
                what=f"tunnel to {address} ({host})",
                facts={"interface": str((tunnel or {}).get("name", "")),
                       "type": str((tunnel or {}).get("type", ""))},
                commands=(on_host(one, f"ovs-vsctl find Interface options:remote_ip={address}"),),
                is_there=tunnel is not None,
            )  # fmt: skip


def _taps(rows: Rows, port_id: str, site: str, host: str) -> Iterator[Stage]:
    found = [*rows.interfaces(host, port_id)]
    show = on_host(host, f"ovs-vsctl find Interface external_ids:iface-id={port_id}")
    for row in found:
        name = str(row.get("name"))
        yield Stage(
            layer=Layer.TAP,
            place=host,
            site=site,
            what=f"interface {name}",
            facts={"OpenFlow port": str(one_of(row.get("ofport"))),
                   "MTU": str(one_of(row.get("mtu")) or ""),
                   "link": str(one_of(row.get("link_state")) or "")},
            commands=(show, on_host(host, f"ip link show {name}")),
        )  # fmt: skip
    if not found:
        yield Stage(layer=Layer.TAP, place=host, site=site, what="no interface", commands=(show,),
                    is_there=False)  # fmt: skip


def _encap(rows: Rows, site: str, host: str) -> str:
    chassis = rows.find(Source.SB, site, "Chassis", hostname=host) if site and host else None
    row = rows.find(Source.SB, site, "Encap", chassis_name=chassis["name"]) if chassis else None
    return str(row["ip"]) if row else ""
