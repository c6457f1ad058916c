"""Security groups: what Neutron's rules say, what OVN's ACLs say, and whether they agree."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    at_a_port,
    broken,
    degraded,
    from_a_site,
    port_of,
)
from isthmus.diagnose.check.port import OPENSTACK
from isthmus.diagnose.evaluate import acl as acls
from isthmus.diagnose.evaluate import policy
from isthmus.diagnose.evaluate.match import Scope, address_sets_of
from isthmus.diagnose.evaluate.render import render_match, render_rule
from isthmus.diagnose.question import Direction, End, Packet, Way
from isthmus.diagnose.route.legs import somewhere
from isthmus.diagnose.world import Row, Source
from isthmus.model.dataplane.ovn import SWITCH_PREFIX
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Severity, Subject, Verdict

#: From which name servers answer.
_NAMES_PORT = 53
#: What the nearest rule lacks, in words.
_LACKS = {
    "family": "it is for the other IP version",
    "protocol": "it is for another protocol",
    "port": "it is for other ports",
    "remote_group": "it is for members of another group",
    "address_group": "its address group does not hold the peer",
    "remote_prefix": "its remote prefix does not hold the peer",
}
_PARENT = "neutron_pg_drop"  #: Neutron's port group of all filtered ports (neutron ovn/constants)


def find_groups(look: Look, end: End) -> tuple[list[Row], Source, str]:
    """Return the groups of a port as its site has them, else as central has them."""
    wanted = list(end.port.get("security_groups") or ())
    for source, place in ((Source.NEUTRON, end.site), (Source.CENTRAL, CENTRAL)):
        if look.world.has_table(source, place, "security_group"):
            rows = [
                one for one in look.world.rows(source, place, "security_group")
                if one["id"] in wanted
            ]  # fmt: skip
            if rows or not wanted:
                return rows, source, place
    return [], Source.CENTRAL, CENTRAL


def address_groups(look: Look) -> dict[str, Collection[str]]:
    """Return the addresses of each address group that was read."""
    return {
        str(row["id"]): tuple(row.get("addresses") or ())
        for row in look.world.rows(Source.CENTRAL, CENTRAL, "address_group")
    }


def decide(look: Look, end: End, direction: str, packet: Packet) -> policy.Decision:
    """Decide by Neutron's rules at one end of a way, as its site has them.

    Args:
        look: what was collected.
        end: the end whose groups are asked.
        direction: `ingress` or `egress`, as that end sees it.
        packet: the packet.
    """
    other = look.receiver if end.id == look.sender.id else look.sender
    groups, _, _ = find_groups(look, end)
    address = packet.source if direction == "ingress" else packet.target
    has_it = other.passes_on is not None or address == other.address
    of_peer = (other.passes_on or other.port).get("security_groups") or () if has_it else ()
    peer = policy.Peer(address, frozenset(of_peer))
    return policy.decide(groups, direction, packet, peer, address_groups(look))


def _passes_as_reply(look: Look, end: End, direction: str) -> bool | None:
    """Tell whether a reply passes since its request did; None where that did not pass either."""
    if look.way.direction is Direction.THERE:
        return False
    opposite = "ingress" if direction == "egress" else "egress"
    request = decide(look, end, opposite, look.there.packet)
    return request.stateful if request.allowed else None


def _filtering(end: End) -> bool:
    return not end.is_trusted and bool(end.address)


def _is_from_names(look: Look, end: End) -> bool:
    """Tell whether OVN lets a packet in as an answer of its own name server.

    A switch that has records of names lets in whatever comes from UDP port 53, before rules.
    """
    packet = look.way.packet
    if (packet.protocol, packet.source_port) != ("udp", _NAMES_PORT):
        return False
    name = SWITCH_PREFIX + end.network_id
    switch = look.world.find(Source.NB, end.site, "Logical_Switch", name=name) or {}
    return bool(switch.get("dns_records"))


def _check(look: Look, end: End, direction: str) -> Iterator[Verdict]:
    if not _filtering(end):
        return
    groups, source, place = find_groups(look, end)
    if not end.port.get("security_groups"):
        if look.way.direction is Direction.THERE:
            yield broken(
                "policy.no_groups",
                port_of(end),
                f"port {end.label} has no security group, so nothing passes",
                look.evidence(source, place, f"port {end.id} has security_groups=[]"),
                f"{OPENSTACK} port set --security-group GROUP {end.id}",
            )
        return
    if _passes_as_reply(look, end, direction) is not False:
        return
    found = decide(look, end, direction, look.way.packet)
    if found.allowed or (direction == "ingress" and _is_from_names(look, end)):
        return
    lack = found.lacks[0] if len(found.lacks) == 1 else "none"
    code = f"policy.{direction}.{lack}"
    if look.way.direction is Direction.BACK:
        code = "policy.stateless_return"
    near = ""
    if found.rule is not None:
        words = " and ".join(_LACKS[one] for one in found.lacks)
        near = f"; the nearest is rule {found.rule['id']} ({render_rule(found.rule)}): {words}"
    names = ", ".join(f"{one.get('name') or ''} ({one['id']})" for one in groups)
    count = sum(len(one.get("security_group_rules") or ()) for one in groups)
    group = str(groups[0]["id"]) if groups else str(end.port["security_groups"][0])
    yield broken(
        code,
        Subject(group, "security_group", place),
        f"no {direction} rule of port {end.label} lets {look.way.packet} pass",
        look.evidence(source, place, f"{count} rules of {names or group}{near}"),
        _create_rule(group, direction, look.way),
    )


def _create_rule(group: str, direction: str, way: Way) -> str:
    packet = way.packet
    peer = packet.source if direction == "ingress" else packet.target
    prefix = f"{peer}/{32 if packet.family == 4 else 128}"
    if peer == somewhere(packet.family):  # it stands for everybody outside
        prefix = "0.0.0.0/0" if packet.family == 4 else "::/0"
    ports = f" --dst-port {packet.target_port}" if packet.target_port else ""
    return (
        f"{OPENSTACK} security group rule create --{direction} --ethertype IPv{packet.family} "
        f"--protocol {packet.protocol}{ports} --remote-ip {prefix} {group}"
    )


def check_egress(look: Look) -> Iterator[Verdict]:
    """Yield what keeps the sender's groups from letting the packet out."""
    yield from _check(look, look.sender, "egress")


def check_ingress(look: Look) -> Iterator[Verdict]:
    """Yield what keeps the receiver's groups from letting the packet in."""
    yield from _check(look, look.receiver, "ingress")


def check_copies(look: Look) -> Iterator[Verdict]:
    """Yield groups whose rules at the sender's site are not those at central."""
    end = look.sender
    if not look.world.has_table(Source.NEUTRON, end.site, "security_group"):
        return
    if not look.world.has_table(Source.CENTRAL, CENTRAL, "security_group"):
        return
    for group in end.port.get("security_groups") or ():
        wanted = look.world.find(Source.CENTRAL, CENTRAL, "security_group", id=group)
        held = look.world.find(Source.NEUTRON, end.site, "security_group", id=group)
        if wanted is None:
            continue
        if held is None:
            yield broken(
                "group.not_at_site",
                Subject(group, "security_group", end.site),
                f"security group {wanted.get('name')} ({group}) is not at site {end.site}",
                look.evidence(Source.NEUTRON, end.site, "no group of that id"),
                f"{OPENSTACK} security group set --description sent-again {group}",
            )
            continue
        here, there = _rule_ids(held), _rule_ids(wanted)
        if here != there:
            yield degraded(
                "group.rules_differ",
                Subject(group, "security_group", end.site),
                f"security group {wanted.get('name')} ({group}) has other rules at site "
                f"{end.site} than at central",
                look.evidence(
                    Source.NEUTRON, end.site,
                    f"missing {_list(there - here)}; too many {_list(here - there)}",
                ),
                f"{OPENSTACK} security group set --description sent-again {group}",
            )  # fmt: skip


def _rule_ids(group: Row) -> set[str]:
    return {str(one["id"]) for one in group.get("security_group_rules") or ()}


def _list(ids: set[str]) -> str:
    return ", ".join(sorted(ids)) or "none"


def _scope(look: Look, end: End, packet: Packet, way: Way) -> tuple[Scope, list[Row]]:
    site = end.site
    ports = {
        row["_uuid"]: str(row["name"])
        for row in look.world.rows(Source.NB, site, "Logical_Switch_Port")
    }
    groups = look.world.rows(Source.NB, site, "Port_Group")
    sets = {
        str(row["name"]): frozenset(map(str, row.get("addresses") or ()))
        for source in (Source.NB, Source.SB)
        for row in look.world.rows(source, site, "Address_Set")
    }
    scope = Scope(acls.list_fields(packet, way), acls.members(groups, ports), sets)
    name = SWITCH_PREFIX + end.network_id
    switch = look.world.find(Source.NB, site, "Logical_Switch", name=name) or {}
    wanted = {one for row in (*groups, switch) for one in row.get("acls") or ()}
    return scope, [row for row in look.world.rows(Source.NB, site, "ACL") if row["_uuid"] in wanted]


def _check_acls(look: Look, end: End, direction: str) -> Iterator[Verdict]:
    if not end.address or look.lsp(end.site, end.id) is None:
        return
    # A reply passes with the connection of its request; what is stateless, Neutron's rules tell.
    if look.way.direction is Direction.BACK:
        return
    pipeline = "from-lport" if direction == "egress" else "to-lport"
    scope, rows = _scope(look, end, look.way.packet, look.way)
    found = acls.decide(rows, pipeline, scope)
    by_rules = decide(look, end, direction, look.way.packet)
    wanted = end.is_trusted or by_rules.allowed
    if found.allowed is None:
        yield Verdict(
            code="acl.not_understood",
            severity=Severity.UNKNOWN,
            subject=port_of(end),
            message=f"an ACL of port {end.label} has a match that cannot be evaluated here",
            evidence=look.evidence(Source.NB, end.site, f"{(found.acl or {}).get('match')}"),
            remedy=f"ovn-trace at site {end.site} tells more",
        )
    elif wanted and not found.allowed:
        yield _explain(look, end, pipeline, by_rules, scope, rows, found)
    elif not wanted and found.allowed:
        yield degraded(
            "acl.extra",
            port_of(end),
            f"OVN at site {end.site} lets {look.way.packet} pass at port {end.label} though no "
            f"{direction} rule does",
            look.evidence(Source.NB, end.site, _words(found.acl)),
            _MAINTAIN,
        )


_MAINTAIN = (
    "openstack --os-cloud central security group set --description sent-again GROUP; see that "
    "neutron-ovn-maintenance-worker runs at the site"
)


def _explain(
    look: Look,
    end: End,
    pipeline: str,
    by_rules: policy.Decision,
    scope: Scope,
    rows: Sequence[Row],
    found: acls.Decision,
) -> Verdict:
    """Describe what OVN lacks of a rule that Neutron has."""
    rule: Mapping[str, object] = by_rules.rule or {}
    group = f"pg_{rule.get('security_group_id', '')}".replace("-", "_")
    said = look.evidence(Source.NB, end.site, _words(found.acl))
    for name in re.findall(r"[@$](\w+)", render_match(rule) if rule else ""):
        if name == group and end.id not in scope.port_groups.get(name, frozenset()):
            return broken(
                "acl.not_in_port_group",
                port_of(end),
                f"port {end.label} is not in port group {group} of OVN at site {end.site}",
                said,
                f"ovn-nbctl add Port_Group {group} ports "
                f"{(look.lsp(end.site, end.id) or {}).get('_uuid')}   # at site {end.site}",
            )
    other = look.receiver if end.id == look.sender.id else look.sender
    # A set that no ACL names was not read: then it is the ACL that is missing.
    named = {name for row in rows for name in address_sets_of(str(row["match"]))}
    for name in re.findall(r"\$(\w+)", render_match(rule) if rule else ""):
        if name not in named:
            continue
        held = sorted(scope.address_sets.get(name, ()))
        if other.address not in {one.partition("/")[0] for one in held}:
            return broken(
                "acl.address_set",
                Subject(name, "address_set", end.site),
                f"address set {name} at site {end.site} lacks {other.address} of port "
                f"{other.label}",
                look.evidence(
                    Source.SB, end.site,
                    f"it holds {', '.join(held[:8]) or 'nothing'}",
                ),
                f"{OPENSTACK} port set --description sent-again {other.id}",
            )  # fmt: skip
    remedy = f"ovn-nbctl --if-exists lsp-set-enabled {end.id} enabled"
    if rule:
        remedy = (
            f"ovn-nbctl --type=port-group acl-add {group} {pipeline} 1002 "
            f"'{render_match(rule)}' allow-related   # at site {end.site}"
        )
    elif end.is_trusted:
        remedy = f"ovn-nbctl pg-set-ports {_PARENT} PORTS   # at site {end.site}, without {end.id}"
    return broken(
        "acl.missing",
        port_of(end),
        f"OVN at site {end.site} drops {look.way.packet} at port {end.label} though rule "
        f"{rule.get('id') or '(port security is off)'} lets it pass",
        said,
        remedy,
    )


def _words(acl: Row | None) -> str:
    if acl is None:
        return "no ACL matches"
    return (
        f"ACL {acl.get('priority')} {acl.get('action')} {acl.get('direction')} {acl.get('match')}"
    )


def check_egress_acls(look: Look) -> Iterator[Verdict]:
    """Compare what OVN makes of the packet at the sender with what Neutron's rules say."""
    yield from _check_acls(look, look.sender, "egress")


def check_ingress_acls(look: Look) -> Iterator[Verdict]:
    """Compare what OVN makes of the packet at the receiver with what Neutron's rules say."""
    yield from _check_acls(look, look.receiver, "ingress")


def _to_a_port(look: Look) -> str:
    """Return why a check of the receiver's groups does not apply."""
    return "" if look.receiver.is_port else "the receiver is no port"


CHECKS = (
    Check(name="rules at site and central", hop=Hop.EGRESS, run=check_copies, vital=False,
          skips=from_a_site, needs=(Need.CENTRAL, Need.SENDER_NEUTRON)),
    Check(name="egress rules", hop=Hop.EGRESS, run=check_egress, skips=at_a_port),
    Check(name="ingress rules", hop=Hop.INGRESS, run=check_ingress, skips=_to_a_port),
    Check(name="egress ACLs", hop=Hop.EGRESS, run=check_egress_acls, skips=from_a_site,
          needs=(Need.SENDER_NB, Need.SENDER_SB)),
    Check(name="ingress ACLs", hop=Hop.INGRESS, run=check_ingress_acls,
          skips=lambda look: _to_a_port(look) or ("" if look.receiver.site else "at no site"),
          needs=(Need.RECEIVER_NB, Need.RECEIVER_SB)),
)  # fmt: skip
