"""The part of the audit that looks at rows of Neutron's that OVN lost unnoticed. Pure."""

from collections.abc import Iterator

from isthmus.federation.audits.holdings import Holdings
from isthmus.federation.audits.remedy import LOST
from isthmus.model.verdict import Severity, Subject, Verdict


def check_lost(site: Holdings) -> Iterator[Verdict]:
    """Find address groups with other addresses in OVN, and subnets that OVN does not translate."""
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


def _broken(
    site: Holdings, kind: str, row_id: str, code: str, message: str, evidence: str
) -> Verdict:
    return Verdict(
        code=code,
        severity=Severity.BROKEN,
        subject=Subject(row_id, kind, site.name),
        message=message,
        evidence=evidence,
        remedy=LOST.format(site.name),
    )
