"""What a site reports of its OVN, for the audit that compares it with central."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.dataplane import defer
from isthmus.dataplane import plan as plans
from isthmus.dataplane.capability import parse_capability
from isthmus.dataplane.kind.binding import BINDING
from isthmus.dataplane.kind.exits.transit_peer import TRANSIT_PEER
from isthmus.dataplane.kind.shadow_port import SHADOW_PORT
from isthmus.dataplane.protocols import SiteTables
from isthmus.dataplane.row_kind import Change, Desired, Observed
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import CHASSIS, NETWORKS, PORTS, ROUTERS, Scope

#: Parts whose rows are ports, with what SB says of each.
_BOUND = ("ports", "shadows")
#: Keys by which a reported row says what it is of.
_NETWORK, _ROUTER = "network_id", "router_id"
_Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The networks, and routers on them, of which one wants to know."""

    networks: Collection[str]  #: ids
    routers: Collection[str]  #: ids


def collect(rows: OvnRows, tables: SiteTables, part: Part | None = None) -> dict[str, Any]:
    """Return what OVN holds of stretched networks.

    Args:
        rows: the site's OVN databases.
        tables: the site's own tables.
        part: the networks of which one wants to know; None: all.

    Returns:
        JSON-able lists: `switches` (network_id, requested_key, key), `ports` (id, network_id, type,
        requested_key, key, addresses, chassis: everything that is not a shadow), `shadows` (the
        same, and site, groups), `chassis` (name, hostname, encap_ips, site: "" for its own),
        `responders`, what else a kind of rows reports, `port_keys` (port_id, network_id, key: what
        the table says), and `drift`: what the next sweep would change, one (code, what, id, change,
        waits: until the site has recovered, or heard of other sites' ports) each. Also `version`
        and `shadow_limit`.
    """
    with tables.reading() as source:
        scope = Scope.everything(source.networks())
    observed = plans.observe(rows, scope)
    with tables.reading() as source:
        desired = plans.read_desired(source, scope, observed)
        keys = source.port_keys()
        trust = source.trust()
    capability = parse_capability(rows.northd_version())
    parts = dict(plans.list_holdings(observed))
    bindings = observed.of(BINDING)
    plan = plans.diff_rows(desired, observed, capability)
    later = defer.split(plan, desired, observed, {}, trust)[1].changes
    if part is not None:
        parts = narrow_parts(parts, part)
        changes = narrow_changes(
            plan.changes, part, desired=desired, observed=observed, port_keys=keys
        )
        plan = plans.Plan(tuple(changes))
        keys = {port_id: key for port_id, key in keys.items() if key[0] in part.networks}
    for row in (row for name in _BOUND for row in parts[name]):
        binding = bindings.get(row["id"])
        row["key"] = None if binding is None else binding.tunnel_key
        row["chassis"] = "" if binding is None else binding.chassis
    return {
        "version": capability.version,
        "shadow_limit": capability.shadow_limit,
        **parts,
        "port_keys": [
            {"port_id": port_id, "network_id": network_id, "key": key}
            for port_id, (network_id, key) in sorted(keys.items())
        ],
        "drift": plans.list_drift(plan, later),
    }


def narrow_parts(parts: Mapping[str, _Rows], part: Part) -> dict[str, list[Mapping[str, Any]]]:
    """Keep the reported rows that are of these networks and routers, or of no one in particular."""
    networks, routers = (*part.networks, ""), (*part.routers, "")
    return {
        name: [
            row
            for row in rows
            if row.get(_NETWORK, "") in networks and row.get(_ROUTER, "") in routers
        ]
        for name, rows in parts.items()
    }


def narrow_changes(
    changes: Iterable[Change],
    part: Part,
    *,
    desired: Desired,
    observed: Observed,
    port_keys: Mapping[str, tuple[str, int]],
) -> list[Change]:
    """Keep the changes that these networks and routers need.

    A hypervisor is theirs where one of their ports stands on it, or should. A port of which nobody
    knows the network may be of any.

    Args:
        changes: what differs.
        part: the networks and routers.
        desired: what the changes were made of.
        observed: the same.
        port_keys: network and key of the site's own ports.
    """
    shadows = [*desired.of(SHADOW_PORT).values(), *observed.of(SHADOW_PORT).ports.values()]
    peers = [*desired.of(TRANSIT_PEER).values(), *observed.of(TRANSIT_PEER).ports.values()]
    network_of = {port_id: network_id for port_id, (network_id, _) in port_keys.items()}
    network_of |= {one.port_id: one.network_id for one in shadows}
    others = {port for port, network_id in network_of.items() if network_id not in part.networks}
    chassis = {one.chassis for one in shadows if one.network_id in part.networks}
    chassis |= {one.chassis for one in peers if one.router_id in part.routers}

    known: dict[str, Collection[str]] = {
        NETWORKS: part.networks,
        ROUTERS: part.routers,
        CHASSIS: chassis,
    }

    def is_theirs(change: Change) -> bool:
        if change.about == PORTS:
            return change.of not in others
        theirs = known.get(change.about)
        return theirs is None or change.of in theirs

    return [one for one in changes if is_theirs(one)]
