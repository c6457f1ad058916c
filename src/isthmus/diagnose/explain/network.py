"""A network, from its row at central to the switches and flows that make it at each site."""

from collections import Counter
from collections.abc import Iterator

from isthmus.diagnose.explain.rows import Rows, one_of
from isthmus.diagnose.explain.stage import Layer, Stage, at_site, on_host, openstack
from isthmus.diagnose.world import Row, Source
from isthmus.model.dataplane.ovn import SWITCH_PREFIX
from isthmus.model.site import CENTRAL


def explain_network(rows: Rows, network: Row) -> Iterator[Stage]:
    """Yield the stages of a network, place by place."""
    network_id = str(network["id"])
    subnets = [str(one.get("cidr")) for one in rows.central("subnet", network_id=network_id)]
    sites = rows.list_sites(network_id)
    yield Stage(
        layer=Layer.API,
        place=CENTRAL,
        what=f"network {network_id}",
        facts={"name": str(network.get("name") or ""), "subnets": ", ".join(subnets),
               "MTU": str(network.get("mtu")), "present at": ", ".join(sites)},
        commands=(openstack(CENTRAL, f"network show {network_id}"),
                  openstack(CENTRAL, f"subnet list --network {network_id}")),
    )  # fmt: skip
    for site in sites:
        yield from _at_site(rows, network_id, site)


def _at_site(rows: Rows, network_id: str, site: str) -> Iterator[Stage]:
    held = rows.find(Source.NEUTRON, site, "network", id=network_id)
    if rows.has(Source.NEUTRON, site):
        yield Stage(
            layer=Layer.API,
            place=site,
            site=site,
            what=f"network {network_id}",
            facts={"MTU": str((held or {}).get("mtu"))},
            commands=(openstack(site, f"network show {network_id}"),),
            is_there=held is not None,
        )
    name = SWITCH_PREFIX + network_id
    switch = rows.find(Source.NB, site, "Logical_Switch", name=name)
    if not rows.has(Source.NB, site):
        return
    uuids = [str(one) for one in (switch or {}).get("ports") or ()]
    ports = rows.select(Source.NB, site, "Logical_Switch_Port", _uuid=uuids) if uuids else []
    types = Counter(str(one.get("type") or "of servers here") for one in ports)
    config = (switch or {}).get("other_config") or {}
    yield Stage(
        layer=Layer.NB,
        place=site,
        site=site,
        what=f"Logical_Switch {name}",
        facts={"ports": ", ".join(f"{count} {kind}" for kind, count in sorted(types.items())),
               "key asked for": str(config.get("requested-tnl-key", ""))},
        commands=(at_site(site, f"ovn-nbctl list Logical_Switch {name}"),
                  at_site(site, f"ovn-nbctl lsp-list {name}")),
        is_there=switch is not None,
    )  # fmt: skip
    yield from _below(rows, site, [str(one["name"]) for one in ports])


def _below(rows: Rows, site: str, names: list[str]) -> Iterator[Stage]:
    bound = [one for name in names if (one := rows.binding(site, name)) is not None]
    key = next((found for one in bound if (found := rows.key_of(site, one)) is not None), None)
    if key is None:
        return
    path = one_of(bound[0]["datapath"])
    yield Stage(
        layer=Layer.SB,
        place=site,
        site=site,
        what=f"Datapath_Binding with key {key}",
        facts={"bound ports": str(len(bound)),
               "on chassis": ", ".join(sorted({rows.chassis_of(site, x) for x in bound} - {""}))},
        commands=(at_site(site, f"ovn-sbctl find Datapath_Binding tunnel_key={key}"),
                  at_site(site, f"ovn-sbctl find Port_Binding datapath={path}")),
    )  # fmt: skip
    match = f"metadata={key:#x}"
    for host, count in rows.list_flows(site, match):
        if not count:
            continue
        yield Stage(
            layer=Layer.FLOWS,
            place=host,
            site=site,
            what=f"flows of datapath {key}",
            facts={"flows towards its ports": str(count)},
            commands=(on_host(host, f"ovs-ofctl -O OpenFlow15 dump-flows br-int {match}"),),
        )
        for name in names:
            for row in rows.interfaces(host, name):
                yield Stage(
                    layer=Layer.TAP,
                    place=host,
                    site=site,
                    what=f"interface {row.get('name')}",
                    facts={"port": name},
                    commands=(on_host(host, f"ip link show {row.get('name')}"),),
                )
