"""What answers guests for metadata: the agent of the hypervisor, and the port of the network."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    degraded,
    from_a_site,
    on_a_host,
)
from isthmus.diagnose.route.fabric import addresses
from isthmus.diagnose.world import Source
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Subject, Verdict

#: Where the metadata agent of a hypervisor writes how far it is (neutron common/ovn/constants.py).
_DONE = "neutron:ovn-metadata-sb-cfg"
_AGENT = "neutron-ovn-metadata-agent"
#: As far behind as Neutron takes an agent for alive: it asks, and then they answer.
_MOST_BEHIND = 1


def check_agent(look: Look) -> Iterator[Verdict]:
    """Yield a hypervisor whose metadata agent does not take over what changes."""
    end = look.sender
    chassis = look.chassis_of(end) or {}
    world = next(iter(look.world.rows(Source.SB, end.site, "SB_Global")), {})
    private = look.world.find(Source.SB, end.site, "Chassis_Private", name=chassis.get("name"))
    said = ((private or {}).get("external_ids") or {}).get(_DONE)
    wanted = int(world.get("nb_cfg") or 0)
    if said is None or wanted - int(said) <= _MOST_BEHIND:
        return
    yield degraded(
        "metadata.agent_behind",
        Subject(str(chassis.get("name")), "chassis", end.site),
        f"the metadata agent of hypervisor {end.host} is {wanted - int(said)} changes behind: it "
        "does not run, hangs, or is not connected, and guests get neither keys nor host names",
        look.evidence(
            Source.SB, end.site, f"Chassis_Private {_DONE}={said}, SB_Global nb_cfg={wanted}"
        ),
        f"see the log of neutron-ovn-metadata-agent on {end.host}, and restart it",
    )


def check_metadata(look: Look) -> Iterator[Verdict]:
    """Yield a network whose port for metadata has no address, so that no hypervisor answers."""
    end = look.sender
    serves = [
        one for one in look.world.rows(Source.CENTRAL, CENTRAL, "subnet")
        if one.get("network_id") == end.network_id and one.get("enable_dhcp")
    ]  # fmt: skip
    found = look.world.list(Source.NEUTRON, end.site, "metadata_port", network_id=end.network_id)
    for row in found if serves else ():
        if addresses(row):
            continue
        yield degraded(
            "metadata.no_address",
            Subject(str(row["id"]), "port", end.site),
            f"the port for metadata of network {end.network_id} has no address at site {end.site}: "
            "guests get neither keys nor host names from 169.254.169.254",
            look.evidence(Source.NEUTRON, end.site, f"port {row['id']} has fixed_ips=[]"),
            f"openstack --os-cloud {end.site} port set --fixed-ip subnet={serves[0]['id']} "
            f"{row['id']}",
        )


def check_plugged(look: Look) -> Iterator[Verdict]:
    """Yield a hypervisor whose metadata agent has nothing on the sender's network."""
    end = look.sender
    chassis = look.chassis_of(end) or {}
    private = look.world.find(Source.SB, end.site, "Chassis_Private", name=chassis.get("name"))
    has_agent = ((private or {}).get("external_ids") or {}).get(_DONE) is not None
    ports = look.world.list(Source.NEUTRON, end.site, "metadata_port", network_id=end.network_id)
    for row in ports if has_agent else ():
        there = look.world.find(Source.HOST, end.host, "Interface", iface_id=row["id"])
        if there is None and addresses(row):
            yield degraded(
                "metadata.not_plugged",
                Subject(str(row["id"]), "port", end.host),
                f"the metadata agent of hypervisor {end.host} has no namespace on network "
                f"{end.network_id}: guests there get neither keys nor host names",
                look.evidence(Source.HOST, end.host, f"no Interface with iface-id={row['id']}"),
                f"see the log of {_AGENT} on {end.host}, and restart it",
            )


def check_nova(look: Look) -> Iterator[Verdict]:
    """Yield a hypervisor whose metadata agent is refused by Nova."""
    host = look.sender.host
    row = look.world.find(Source.HOST, host, "log", daemon=_AGENT, what="nova") or {}
    if int(row.get("count") or 0):
        yield degraded(
            "metadata.nova_refuses",
            Subject(host, "hypervisor", look.sender.site),
            f"Nova answers the metadata agent of hypervisor {host} with an error "
            f"({row['count']} times in the last hour): guests get neither keys nor host names",
            look.evidence(Source.HOST, host, f"log of {_AGENT}: {row.get('last')}"),
            "compare metadata_proxy_shared_secret of neutron_ovn_metadata_agent.ini with that of "
            "nova.conf ([neutron]), and see that nova-metadata runs",
        )


def check_source(look: Look) -> Iterator[Verdict]:
    """Yield a guest that has found neither metadata nor a disk with it when it started."""
    end = look.sender
    row = look.world.find(Source.HOST, end.host, "console", port=end.id)
    if row is not None:
        yield degraded(
            "metadata.no_source",
            Subject(end.id, "port", end.site),
            f"the guest of port {end.label} has found no source of its keys and host name when it "
            "started: it goes on without them",
            look.evidence(Source.HOST, end.host, f"console log: {row.get('last')}"),
            f"openstack server reboot {end.port.get('device_id') or 'SERVER'}   # once metadata "
            "answers; or give it a disk: openstack server create --config-drive True ...",
        )


CHECKS = (
    Check(name="metadata agent", hop=Hop.SENDER_TAP, run=check_agent, needs=(Need.SENDER_SB,),
          skips=lambda look: from_a_site(look) or on_a_host(look), vital=False),
    Check(name="metadata", hop=Hop.SENDER_SWITCH, run=check_metadata,
          needs=(Need.CENTRAL, Need.SENDER_NEUTRON), skips=from_a_site, vital=False),
    Check(name="namespace of metadata", hop=Hop.SENDER_TAP, run=check_plugged,
          needs=(Need.SENDER_NEUTRON, Need.SENDER_SB, Need.SENDER_HOST),
          skips=lambda look: from_a_site(look) or on_a_host(look), vital=False),
    Check(name="Nova behind metadata", hop=Hop.SENDER_TAP, run=check_nova,
          needs=(Need.SENDER_HOST,), skips=lambda look: from_a_site(look) or on_a_host(look),
          vital=False),
    Check(name="what the guest said", hop=Hop.SENDER_TAP, run=check_source,
          needs=(Need.SENDER_HOST,), skips=lambda look: from_a_site(look) or on_a_host(look),
          vital=False),
)  # fmt: skip
