"""The part of the audit that looks at leases. Pure."""

import itertools
from collections.abc import Iterator, Mapping

from isthmus.federation.audits.holdings import Holdings
from isthmus.model.lease import Lease, show_number
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.model.verdict import Severity, Subject, Verdict

_OVERLAP = (
    "`isthmus lease list --pool {0}` shows both. One of the sites has to do without, before their "
    "numbers are given out twice: `isthmus network withdraw {1} {2}` frees what it holds, and is "
    "refused while a port of the network lives there."
)
_GIVES_BACK = (
    "`isthmus lease return {0} {1}` has the site give it back; its numbers may be given to another "
    "site. If it stays, see `isthmus job list --site {0} --type lease`."
)


def check_leases(central: Holdings, sites: Mapping[SiteName, Holdings]) -> Iterator[Verdict]:
    """No number is leased twice, and each site holds just what central says it does."""
    ordered = sorted(central.leases, key=lambda one: (one.kind, one.pool_id, one.block))
    for earlier, later in itertools.pairwise(ordered):
        same = (earlier.kind, earlier.pool_id) == (later.kind, later.pool_id)
        if same and earlier.block.overlaps(later.block):
            holder = next((one.site for one in (later, earlier) if one.site in sites), "SITE")
            yield _lease_verdict(
                CENTRAL,
                later,
                "lease.overlap",
                "leases overlap",
                f"{_words(earlier)} and {_words(later)}",
                _OVERLAP.format(later.pool_id, _find_network(central, later), holder),
            )
    for site in sites.values():
        wanted = {one.id: one for one in central.leases if one.site == site.name}
        for held in site.leases:
            lease = wanted.get(held.id)
            if lease is None or (lease.kind, lease.pool_id) != (held.kind, held.pool_id):
                yield _lease_verdict(
                    site.name,
                    held,
                    "lease.unknown",
                    "lease that central does not know",
                    _words(held),
                    _GIVES_BACK.format(site.name, held.id),
                )
            elif not (
                lease.block.first <= held.block.first and held.block.last <= lease.block.last
            ):
                yield _lease_verdict(
                    site.name,
                    held,
                    "lease.larger",
                    "lease larger than at central",
                    f"{_words(held)}, at central {_words(lease)}",
                    _GIVES_BACK.format(site.name, held.id),
                )


def _find_network(central: Holdings, lease: Lease) -> str:
    """Return the network of a lease, by central's word; its pool where central does not know it."""
    subnet = central.objects[ResourceType.SUBNET].get(lease.pool_id, {})
    return str(subnet.get("network_id") or lease.pool_id)


def _lease_verdict(
    site: str, lease: Lease, code: str, message: str, evidence: str, remedy: str
) -> Verdict:
    return Verdict(
        code=code,
        severity=Severity.BROKEN,
        subject=Subject(lease.id, "lease", site),
        message=message,
        evidence=evidence,
        remedy=remedy,
    )


def _words(lease: Lease) -> str:
    ends = (show_number(lease.kind, one) for one in (lease.block.first, lease.block.last))
    return f"{lease.kind} {lease.pool_id} {'..'.join(ends)} of {lease.site}"
