"""The audit: is every tier as it should be? Pure: inventories in, findings out.

Central's inventory is what is wanted. An object that differs while intents for its site are on
their way is a warning: the next audit tells whether it was more.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from isthmus.federation import audit_ovn
from isthmus.federation.inventory import Inventory, Row
from isthmus.model.finding import Finding, Severity
from isthmus.model.intent import Job, JobState
from isthmus.model.lease import Lease
from isthmus.model.site import CENTRAL, SiteName

#: Owner of ports that never leave their site.
_LOCAL_OWNER = "network:distributed"
#: What of an object has to be equal in every tier.
_COMPARED: Mapping[str, Sequence[str]] = {
    "network": ("name", "project_id", "mtu", "provider:network_type", "sharing", "tags"),
    "subnet": ("network_id", "cidr", "ip_version", "ipv6_address_mode", "gateway_ip", "tags"),
    "security_group": ("project_id", "rules", "sharing", "tags"),
    "address_group": ("project_id", "addresses", "sharing"),
    "port": (
        "network_id",
        "mac_address",
        "fixed_ips",
        "security_groups",
        "device_owner",
        "device_id",
        "admin_state_up",
        "allowed_address_pairs",
        "port_security_enabled",
    ),
}
_ASKS_AGAIN = "The next sweep sends it again; if it stays, see `isthmus job list`."


def audit(
    central: Inventory,
    sites: Mapping[SiteName, Inventory],
    *,
    silent: Mapping[SiteName, str] | None = None,
    jobs: Iterable[Job] = (),
) -> list[Finding]:
    """Compare all tiers.

    Args:
        central: what is wanted.
        sites: what each site holds.
        silent: sites that could not be asked, and why.
        jobs: intents at central; the parked ones become findings.

    Returns:
        Findings, the worst first; none means that all tiers agree.
    """
    found = list(
        itertools.chain(
            _check_silent(silent or {}),
            _check_jobs(jobs),
            _check_leases(central, sites),
            _check_duplicates([central, *sites.values()]),
            _check_homes(central, sites),
            *(_check_site(central, site) for site in sites.values()),
            audit_ovn.check(central, sites),
        )
    )
    return sorted(found, key=Finding.order)


def _check_silent(silent: Mapping[SiteName, str]) -> Iterator[Finding]:
    for site, reason in silent.items():
        yield Finding(
            severity=Severity.WARNING,
            site=site,
            type="site",
            id=site,
            what="site not audited",
            evidence=reason,
            remedy="Audit again when the site answers.",
        )


def _check_jobs(jobs: Iterable[Job]) -> Iterator[Finding]:
    for job in jobs:
        if job.state is JobState.PARKED:
            yield Finding(
                severity=Severity.ERROR,
                site=job.key.lane,
                type=job.key.type.value,
                id=job.key.id,
                what="refused by the site",
                evidence=job.last_error or "no reason was kept",
                remedy=f"Remove the reason, then `isthmus job retry {job.id}`.",
            )


def _check_leases(central: Inventory, sites: Mapping[SiteName, Inventory]) -> Iterator[Finding]:
    """No number is leased twice, and each site holds just what central says it does."""
    ordered = sorted(central.leases, key=lambda one: (one.kind, one.pool_id, one.block))
    for earlier, later in itertools.pairwise(ordered):
        same = (earlier.kind, earlier.pool_id) == (later.kind, later.pool_id)
        if same and earlier.block.overlaps(later.block):
            yield _lease_finding(
                CENTRAL,
                later,
                "leases overlap",
                f"{_words(earlier)} and {_words(later)}",
                "Take one of the blocks back before its numbers are given out again.",
            )
    for site in sites.values():
        wanted = {one.id: one for one in central.leases if one.site == site.name}
        for held in site.leases:
            lease = wanted.get(held.id)
            if lease is None or (lease.kind, lease.pool_id) != (held.kind, held.pool_id):
                yield _lease_finding(
                    site.name,
                    held,
                    "lease that central does not know",
                    _words(held),
                    "Its numbers may be given to another site: give it back at the site.",
                )
            elif not (
                lease.block.first <= held.block.first and held.block.last <= lease.block.last
            ):
                yield _lease_finding(
                    site.name,
                    held,
                    "lease larger than at central",
                    f"{_words(held)}, at central {_words(lease)}",
                    "Its numbers may be given to another site: give it back at the site.",
                )


def _lease_finding(site: str, lease: Lease, what: str, evidence: str, remedy: str) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        site=site,
        type="lease",
        id=lease.id,
        what=what,
        evidence=evidence,
        remedy=remedy,
    )


def _words(lease: Lease) -> str:
    return f"{lease.kind} {lease.pool_id} {lease.block.first}..{lease.block.last} of {lease.site}"


def _check_duplicates(tiers: Sequence[Inventory]) -> Iterator[Finding]:
    """No address and no MAC of a network belongs to two ports, in whichever tiers they are."""
    holders: dict[tuple[str, str], dict[str, str]] = {}
    stretched = set().union(*(tier.datapaths for tier in tiers))
    for tier in tiers:
        for port_id, port in tier.ports.items():
            if port["network_id"] not in stretched:
                continue
            for name in _addresses(port):
                holders.setdefault((port["network_id"], name), {})[port_id] = tier.name
    for (network_id, name), ports in sorted(holders.items()):
        if len(ports) > 1:
            yield Finding(
                severity=Severity.ERROR,
                site=", ".join(sorted(set(ports.values()))),
                type="port",
                id=sorted(ports)[0],
                what="address given twice",
                evidence=f"{name} of network {network_id} is that of ports "
                + ", ".join(f"{port} ({tier})" for port, tier in sorted(ports.items())),
                remedy="Delete one of the ports, or change its address.",
            )


def _addresses(port: Row) -> Iterator[str]:
    yield str(port["mac_address"])
    for one in port["fixed_ips"] or ():
        yield str(one["ip_address"])


def _check_homes(central: Inventory, sites: Mapping[SiteName, Inventory]) -> Iterator[Finding]:
    """A port of a stretched network is at one site only."""
    homes: dict[str, list[SiteName]] = {}
    for site in sites.values():
        for port_id, port in site.ports.items():
            if port["network_id"] in central.datapaths and not _is_local(port):
                homes.setdefault(port_id, []).append(site.name)
    for port_id, where in sorted(homes.items()):
        if len(where) > 1:
            yield Finding(
                severity=Severity.ERROR,
                site=", ".join(sorted(where)),
                type="port",
                id=port_id,
                what="port at two sites",
                evidence=f"{port_id} is at {' and '.join(sorted(where))}",
                remedy="Delete it at the site where no server uses it.",
            )


def _check_site(central: Inventory, site: Inventory) -> Iterator[Finding]:
    busy = central.backlog.get(site.name, 0) + site.backlog.get(CENTRAL, 0)
    severity = Severity.WARNING if busy else Severity.ERROR
    present = {
        resource_id
        for kind, resource_id, name in central.routings
        if kind == "network" and name == site.name
    }
    here = present & central.networks.keys()
    parts: dict[str, tuple[Mapping[str, Row], Mapping[str, Row]]] = {
        "network": (
            _of(central.networks, "id", here),
            _of(site.networks, "id", site.datapaths.keys()),
        ),
        "subnet": (
            _of(central.subnets, "network_id", here),
            _of(site.subnets, "network_id", site.datapaths.keys()),
        ),
        "security_group": _groups(
            "security_group", central, site, central.security_groups, site.security_groups
        ),
        "address_group": _groups(
            "address_group", central, site, central.address_groups, site.address_groups
        ),
        "port": (_wanted_ports(central, site.name, here), _shared_ports(site)),
    }
    for kind, (wanted, held) in parts.items():
        for difference in _compare(kind, wanted, held):
            yield Finding(severity=severity, site=site.name, remedy=_ASKS_AGAIN, **difference)


def _of(rows: Mapping[str, Row], key: str, ids: Iterable[str]) -> dict[str, Row]:
    wanted = set(ids)
    return {row_id: row for row_id, row in rows.items() if row[key] in wanted}


def _groups(
    kind: str,
    central: Inventory,
    site: Inventory,
    wanted: Mapping[str, Row],
    held: Mapping[str, Row],
) -> tuple[Mapping[str, Row], Mapping[str, Row]]:
    """Groups that central has routed to the site, and those that the site has as central's.

    A site may hold groups of its own, and the default group of a project that uses nothing of
    central's there is one, whether central knows the group or not.
    """
    routed = _routed(kind, central, site.name)
    return _of(wanted, "id", routed), _of(held, "id", routed | _routed(kind, site, site.name))


def _routed(kind: str, tier: Inventory, site: SiteName) -> set[str]:
    return {
        resource_id for word, resource_id, name in tier.routings if (word, name) == (kind, site)
    }


def _is_local(port: Row) -> bool:
    return bool(port["device_owner"] == _LOCAL_OWNER)


def _wanted_ports(central: Inventory, site: SiteName, here: set[str]) -> dict[str, Row]:
    routed = {
        resource_id
        for kind, resource_id, name in central.routings
        if kind == "port" and name == site
    }
    return {
        port_id: port
        for port_id, port in central.ports.items()
        if port_id in routed and port["network_id"] in here
    }


def _shared_ports(site: Inventory) -> dict[str, Row]:
    return {
        port_id: port
        for port_id, port in site.ports.items()
        if port["network_id"] in site.datapaths and not _is_local(port)
    }


def _compare(
    kind: str, wanted: Mapping[str, Row], held: Mapping[str, Row]
) -> Iterator[dict[str, Any]]:
    for row_id in sorted(wanted.keys() - held.keys()):
        yield {"type": kind, "id": row_id, "what": f"{kind} missing", "evidence": "only at central"}
    for row_id in sorted(held.keys() - wanted.keys()):
        yield {"type": kind, "id": row_id, "what": f"{kind} too many", "evidence": "only here"}
    for row_id in sorted(wanted.keys() & held.keys()):
        differing = [
            f"{name}: central {wanted[row_id].get(name)!r}, here {held[row_id].get(name)!r}"
            for name in _COMPARED[kind]
            if _plain(wanted[row_id].get(name)) != _plain(held[row_id].get(name))
        ]
        if differing:
            yield {
                "type": kind,
                "id": row_id,
                "what": f"{kind} different",
                "evidence": "; ".join(differing),
            }


def _plain(value: Any) -> Any:
    """Give lists in one order: Neutron gives them in any."""
    if isinstance(value, list):
        return sorted(map(repr, map(_plain, value)))
    if isinstance(value, dict):
        return sorted((key, repr(_plain(one))) for key, one in value.items())
    return value
