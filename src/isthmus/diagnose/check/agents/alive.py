"""Agents that Neutron has heard of, and those that should serve a network."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    at_a_site,
    degraded,
    from_a_site,
    on_a_host,
)
from isthmus.diagnose.world import Row, Source
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Subject, Verdict

#: Agents of back ends that are not OVN's: there DHCP and routers are agents' too.
_L2_AGENTS = frozenset({"Open vSwitch agent", "Linux bridge agent"})
_DHCP_AGENT = "DHCP agent"


def _agents(look: Look) -> list[Row]:
    return [*look.world.rows(Source.NEUTRON, look.sender.site, "agent")]


def by_agents(look: Look) -> bool:
    """Tell whether an agent of ML2/OVS or of linuxbridge switches on the sender's hypervisor."""
    return any(
        row.get("agent_type") in _L2_AGENTS and row.get("host") == look.sender.host
        for row in _agents(look)
    )


def check_agents(look: Look) -> Iterator[Verdict]:
    """Yield agents of the sender's hypervisor that Neutron has not heard of for long."""
    site, host = look.sender.site, look.sender.host
    for row in _agents(look):
        if row.get("host") == host and row.get("alive") is False:
            kind, binary = row.get("agent_type"), row.get("binary")
            yield degraded(
                "agent.dead",
                Subject(str(row.get("id")), "agent", site),
                f"Neutron at site {site} has not heard of the {kind} on {host} since "
                f"{row.get('heartbeat_timestamp') or 'long'}: what changes does not get there",
                look.evidence(Source.NEUTRON, site, f"agent {row.get('id')} alive=false"),
                f"on {host}: systemctl restart {binary}",
            )


def check_dhcp_agents(look: Look) -> Iterator[Verdict]:
    """Yield a network that no DHCP agent serves, where agents serve DHCP (ML2/OVS)."""
    site, end = look.sender.site, look.sender
    serves = [
        one for one in look.world.rows(Source.CENTRAL, CENTRAL, "subnet")
        if one.get("network_id") == end.network_id and one.get("enable_dhcp")
    ]  # fmt: skip
    if not serves or not by_agents(look):
        return
    alive = {row.get("host") for row in _agents(look)
             if row.get("agent_type") == _DHCP_AGENT and row.get("alive")}  # fmt: skip
    ports = [*look.world.list(Source.NEUTRON, site, "dhcp_port", network_id=end.network_id)]
    hosts = [str(one.get("binding:host_id")) for one in ports]
    if not alive & {*hosts}:
        yield degraded(
            "dhcp.no_agent",
            Subject(end.network_id, "network", site),
            f"no DHCP agent that is alive serves network {end.network_id} at site {site}: its "
            "guests get no address, or keep none",
            look.evidence(
                Source.NEUTRON, site,
                f"DHCP ports on {', '.join(hosts) or 'no host'}; agents alive on "
                f"{', '.join(sorted(map(str, alive))) or 'no host'}",
            ),
            f"openstack --os-cloud {site} network agent add network --dhcp AGENT {end.network_id}",
        )  # fmt: skip


CHECKS = (
    Check(name="agents of the hypervisor", hop=Hop.SENDER_TAP, run=check_agents,
          needs=(Need.SENDER_NEUTRON,), skips=lambda look: at_a_site(look) or on_a_host(look),
          vital=False),
    Check(name="DHCP agents", hop=Hop.SENDER_SWITCH, run=check_dhcp_agents,
          needs=(Need.CENTRAL, Need.SENDER_NEUTRON), skips=from_a_site, vital=False),
)  # fmt: skip
