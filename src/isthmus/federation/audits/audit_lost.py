"""The part of the audit that looks at rows of Neutron's that OVN lost unnoticed. Pure."""

from collections.abc import Iterator
from dataclasses import fields

from isthmus.federation.audits.holdings import Holdings
from isthmus.federation.audits.remedy import LOST
from isthmus.federation.lost_rules import Lost
from isthmus.model.verdict import Severity, Subject, Verdict

#: What is to be done of each row that a site tells by its code; a newer site may tell of others.
_REMEDIES = {
    "router.no_logical_router": LOST,
    "router.router_port": LOST,
    "router.no_route": LOST,
    "port.no_qos": LOST,
    "router.logical_router": "At central: openstack router set --disable, and --enable; the last "
    "one is to be what it was.",
    "trunk.subport": "At central: openstack network trunk unset --subport, then set --subport "
    "with the same values.",
}
_LOST = tuple(one.name for one in fields(Lost))


def check_lost(site: Holdings) -> Iterator[Verdict]:
    """Find what OVN lost of Neutron's, or has otherwise."""
    for row in site.ovn.get("lost_addresses", ()):
        missing, extra = row.get("missing") or (), row.get("extra") or ()
        parts = [
            f"OVN {word} {', '.join(addresses)}"
            for word, addresses in (("lacks", missing), ("has besides", extra))
            if addresses
        ]
        yield _broken(
            site,
            "address_group",
            row["id"],
            "address_group.addresses",
            "address group with other addresses in OVN",
            "; ".join(parts),
        )
    for row in site.ovn.get("lost_snats", ()):
        yield _broken(
            site,
            "router",
            row["router_id"],
            "router.no_snat",
            "router whose subnet OVN does not translate",
            f"Neutron has {row['internal']} leave as {row['external']}, OVN has no such row",
        )
    for row in site.ovn.get("lost", ()):
        one = Lost(**{name: str(row[name]) for name in _LOST})
        remedy = _REMEDIES.get(one.code, LOST)
        yield _broken(site, one.kind, one.id, one.code, one.what, one.evidence, remedy)


def _broken(
    site: Holdings,
    kind: str,
    row_id: str,
    code: str,
    message: str,
    evidence: str,
    remedy: str = LOST,
) -> Verdict:
    return Verdict(
        code=code,
        severity=Severity.BROKEN,
        subject=Subject(row_id, kind, site.name),
        message=message,
        evidence=evidence,
        remedy=remedy.format(site.name),
    )
