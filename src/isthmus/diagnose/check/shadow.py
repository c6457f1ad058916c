"""The receiver as the sender's site knows it, where the two are at different sites."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    broken,
    first,
    is_on_a_fabric,
    towards_a_port,
)
from isthmus.diagnose.check.port import OPENSTACK, resync
from isthmus.diagnose.check.row import requested_key
from isthmus.diagnose.world import Row, Source
from isthmus.model.dataplane.ovn import CHASSIS_OPTION, KEY_OPTION
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Subject, Verdict

#: As many ports of other sites as OVN before 24.03 takes on a network (where they are written, its
#: name is `OLD_SHADOW_LIMIT`), and the version that takes more.
_MOST_SHADOWS, _HOLDS_MORE = 680, (24, 3)


def _subject(look: Look) -> Subject:
    return Subject(look.receiver.id, "shadow", look.sender.site)


def _told(look: Look) -> Row | None:
    """Return what the sender's site was told of the receiver."""
    return look.world.find(Source.NEUTRON, look.sender.site, "site_shadow", id=look.receiver.id)


def _again(look: Look) -> str:
    """Return the commands after which the receiver's site has reported the port again."""
    return f"{resync(look.receiver)} && {resync(look.sender)}"


def check_told(look: Look) -> Iterator[Verdict]:
    """Yield a receiver that the sender's site was not told of."""
    site, end = look.sender.site, look.receiver
    if _told(look) is not None or not end.host:
        return
    jobs = [
        f"job {one['id']} {one['state']}: {one.get('last_error') or 'no error'}"
        for one in look.world.list(
            Source.CENTRAL, CENTRAL, "site_job", resource_id=end.id, site=site
        )
    ]
    yield broken(
        "shadow.unreported",
        _subject(look),
        f"site {site} has not been told of port {end.label} of site {end.site}",
        look.evidence(
            Source.NEUTRON, site, f"no site-shadow {end.id}; {'; '.join(jobs) or 'no job for it'}"
        ),
        _again(look),
    )


def _too_many(look: Look) -> tuple[str, int] | None:
    """Return OVN's version and the ports of other sites, where an old OVN takes no more of them."""
    site = look.sender.site
    world = next(iter(look.world.rows(Source.SB, site, "SB_Global")), {})
    version = str((world.get("options") or {}).get("northd_internal_version") or "")
    numbers = tuple(int(x) for x in version.partition("-")[0].split(".")[:2] if x.isdecimal())
    bound = look.binding(site, look.sender.id) or {}
    found = (
        look.world.find(Source.SB, site, "remote_count", datapath=bound.get("datapath"))
        if look.world.has_table(Source.SB, site, "remote_count") else None
    )  # fmt: skip
    count = int((found or {}).get("count") or 0)
    is_old = len(numbers) == 2 and numbers < _HOLDS_MORE
    return (version, count) if is_old and count >= _MOST_SHADOWS else None


def check_row(look: Look) -> Iterator[Verdict]:
    """Yield a shadow port that OVN does not have, or has otherwise than its site was told."""
    site, end, told = look.sender.site, look.receiver, _told(look)
    row = look.lsp(site, end.id)
    if told is None and row is None:
        return
    if row is None and (many := _too_many(look)):
        version, count = many
        yield broken(
            "shadow.refused",
            _subject(look),
            f"network {end.network_id} has {count} ports of other sites at site {site}, the most "
            f"that OVN {version} holds: the shadow port of {end.label} is not made",
            look.evidence(Source.SB, site, f"{count} Port_Binding of type remote on the network, "
                          f"ovn-northd {version}"),
            f"upgrade OVN at site {site} to 24.03 or newer",
        )  # fmt: skip
        return
    if row is None:
        yield broken(
            "shadow.missing",
            _subject(look),
            f"the shadow port of {end.label} is missing in OVN at site {site}",
            look.evidence(Source.NB, site, f"no Logical_Switch_Port {end.id}"),
            resync(look.sender),
        )
        return
    options = row.get("options") or {}
    seen = look.evidence(
        Source.NB, site,
        f"Logical_Switch_Port {end.id} type={row.get('type')!r} options={dict(options)} "
        f"addresses={row.get('addresses')} enabled={first(row.get('enabled'))}",
    )  # fmt: skip
    at_site = f"   # at site {site}"
    if row.get("type") != "remote":
        yield broken(
            "shadow.type",
            _subject(look),
            f"port {end.label} of site {end.site} is no remote port in OVN at site {site}",
            seen,
            f"ovn-nbctl lsp-set-type {end.id} remote{at_site}",
        )
    wanted = int(told["port_key"]) if told else None
    if wanted is not None and requested_key(row) != wanted:
        yield broken(
            "shadow.key",
            _subject(look),
            f"the shadow port of {end.label} has key {requested_key(row)} in OVN at site {site}, "
            f"and the port itself {wanted}",
            seen,
            f"ovn-nbctl set Logical_Switch_Port {end.id} options:{KEY_OPTION}={wanted}{at_site}",
        )
    if told and options.get(CHASSIS_OPTION) != told["chassis"] and not is_on_a_fabric(look):
        yield broken(
            "shadow.chassis",
            _subject(look),
            f"the shadow port of {end.label} stands on chassis {options.get(CHASSIS_OPTION)} in "
            f"OVN at site {site}, and the port on {told['chassis']}",
            seen,
            f"ovn-nbctl set Logical_Switch_Port {end.id} "
            f"options:{CHASSIS_OPTION}={told['chassis']}{at_site}",
        )
    written = " ".join(map(str, row.get("addresses") or ())).lower().split()
    lacks = [one for one in (end.mac_address, end.address) if one and one not in written]
    known = told and {str(told["mac_address"]).lower(), *map(str, told["addresses"])}
    if known and "unknown" not in written and [one for one in lacks if one in known]:
        addresses = " ".join((str(told["mac_address"]), *told["addresses"])) if told else ""
        yield broken(
            "shadow.addresses",
            _subject(look),
            f"the shadow port of {end.label} lacks {' and '.join(lacks)} in OVN at site {site}",
            seen,
            f"ovn-nbctl lsp-set-addresses {end.id} '{addresses}'{at_site}",
        )
    if first(row.get("enabled")) is False and end.port.get("admin_state_up") is not False:
        yield broken(
            "shadow.disabled",
            _subject(look),
            f"the shadow port of {end.label} is disabled in OVN at site {site}",
            seen,
            f"ovn-nbctl lsp-set-enabled {end.id} enabled{at_site}",
        )


def check_reported(look: Look) -> Iterator[Verdict]:
    """Yield what the sender's site was told otherwise than it is at the receiver's site."""
    site, end, told = look.sender.site, look.receiver, _told(look)
    bound, row = look.binding(end.site, end.id), look.lsp(end.site, end.id)
    if told is None or bound is None or row is None:
        return
    key, wanted = bound.get("tunnel_key"), int(told["port_key"])
    if key != wanted:
        yield broken(
            "port.key_changed",
            Subject(end.id, "port", end.site),
            f"port {end.label} has tunnel key {key} in OVN at its site {end.site}, and all other "
            f"sites send to {wanted}",
            look.evidence(
                Source.SB, end.site,
                f"Port_Binding {end.id} tunnel_key={key}, its switch port asks for "
                f"{requested_key(row)}",
            ),
            f"ovn-nbctl set Logical_Switch_Port {end.id} options:{KEY_OPTION}={wanted}   # at site "
            f"{end.site}; then on {end.host}: ovn-appctl -t ovn-controller inc-engine/recompute",
        )  # fmt: skip
    home = look.chassis(end.site, first(bound.get("chassis")))
    if home is not None and home.get("name") != told["chassis"]:
        yield broken(
            "shadow.stale_chassis",
            _subject(look),
            f"site {site} sends to port {end.label} by way of chassis {told['chassis']}, and it is "
            f"on {home.get('name')}",
            look.evidence(Source.NEUTRON, site, f"site-shadow {end.id} chassis={told['chassis']}"),
            _again(look),
        )
    if str(told["mac_address"]).lower() != end.mac_address or (
        end.address in end.fixed and end.address not in told["addresses"]
    ):
        yield broken(
            "shadow.stale_addresses",
            _subject(look),
            f"site {site} was told of port {end.label} with {told['mac_address']} "
            f"{', '.join(told['addresses'])}, and it has {end.mac_address} {', '.join(end.fixed)}",
            look.evidence(Source.NEUTRON, site, f"site-shadow {end.id}"),
            _again(look),
        )


def check_bound(look: Look) -> Iterator[Verdict]:
    """Yield a shadow port that OVN has put on no chassis, or on another than was asked for."""
    site, end = look.sender.site, look.receiver
    row, bound = look.lsp(site, end.id), look.binding(site, end.id)
    if row is None or is_on_a_fabric(look):
        return
    wanted = (row.get("options") or {}).get(CHASSIS_OPTION)
    chassis = look.chassis(site, first(bound.get("chassis"))) if bound else None
    if chassis is None or (wanted and chassis.get("name") != wanted):
        stands = chassis.get("name") if chassis else "none"
        yield broken(
            "shadow.unbound",
            _subject(look),
            f"the shadow port of {end.label} stands on chassis {stands} in the southbound database "
            f"of site {site}, instead of {wanted}",
            look.evidence(
                Source.SB, site,
                f"Port_Binding {end.id} {'has chassis ' + str(stands) if bound else 'is missing'}",
            ),
            f"ovn-sbctl --db=SB list Chassis {wanted}   # at site {site}; {OPENSTACK} port set "
            f"--description sent-again {end.id}",
        )  # fmt: skip


CHECKS = (
    Check(name="report of the receiver", hop=Hop.SHADOW, run=check_told, skips=towards_a_port,
          needs=(Need.SENDER_NEUTRON,)),
    Check(name="receiver as reported", hop=Hop.SHADOW, run=check_reported, skips=towards_a_port,
          needs=(Need.SENDER_NEUTRON, Need.RECEIVER_NB, Need.RECEIVER_SB)),
    Check(name="shadow port", hop=Hop.SHADOW, run=check_row, skips=towards_a_port,
          needs=(Need.SENDER_NEUTRON, Need.SENDER_NB)),
    Check(name="chassis of the shadow port", hop=Hop.SHADOW, run=check_bound, skips=towards_a_port,
          needs=(Need.SENDER_NB, Need.SENDER_SB)),
)  # fmt: skip
