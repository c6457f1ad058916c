"""What is left for more: addresses of the subnet, of the site's leases, and the project's quota."""

from collections.abc import Iterator, Mapping

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    at_a_port,
    from_a_site,
    verdict,
)
from isthmus.diagnose.check.port import OPENSTACK
from isthmus.diagnose.world import Source
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Severity, Subject, Verdict


def _full(look: Look, source: Source, place: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield the subnets of the sender's network that have given out all of their addresses."""
    rows = look.world.list(
        source, place, "network_ip_availability", network_id=look.sender.network_id
    )
    for row in rows:
        for one in row.get("subnet_ip_availability") or ():
            total, used = int(one.get("total_ips") or 0), int(one.get("used_ips") or 0)
            if 0 < total <= used:
                yield str(one["subnet_id"]), one


def check_subnets(look: Look) -> Iterator[Verdict]:
    """Yield a subnet without an address that is left: no port more can be made on it."""
    for subnet, one in _full(look, Source.CENTRAL, CENTRAL):
        yield verdict(
            "subnet.full",
            Severity.ADVICE,
            Subject(subnet, "subnet", CENTRAL),
            f"no address is left on subnet {one.get('cidr')} ({subnet}): no port more can be made "
            "on it",
            look.evidence(Source.CENTRAL, CENTRAL,
                          f"{one.get('used_ips')} of {one.get('total_ips')} addresses are used"),
            f"{OPENSTACK} subnet set --allocation-pool start=FIRST,end=LAST {subnet}; or: "
            f"{OPENSTACK} subnet create --network {look.sender.network_id} --subnet-range PREFIX "
            "NAME",
        )  # fmt: skip


def check_leases(look: Look) -> Iterator[Verdict]:
    """Yield a site that has given out all addresses that it was leased."""
    site = look.sender.site
    whole = {subnet for subnet, _ in _full(look, Source.CENTRAL, CENTRAL)}
    for subnet, one in _full(look, Source.NEUTRON, site):
        if subnet not in whole:
            yield verdict(
                "lease.exhausted",
                Severity.ADVICE,
                Subject(subnet, "lease", site),
                f"site {site} has given out all addresses of subnet {one.get('cidr')} ({subnet}) "
                "that central leased to it: while it does not reach central, it can make no port "
                "more on it",
                look.evidence(
                    Source.NEUTRON, site,
                    f"{one.get('used_ips')} of {one.get('total_ips')} addresses are used",
                ),
                f"see whether {site} reaches central: isthmus site show {site}; isthmus lease list "
                f"--site {site}",
            )  # fmt: skip


def check_quotas(look: Look) -> Iterator[Verdict]:
    """Yield what the sender's project may have no more of."""
    project = str(look.sender.port.get("project_id") or "")
    for row in look.world.list(Source.CENTRAL, CENTRAL, "quota_detail", project_id=project):
        limit = int(row.get("limit") or 0)
        held = int(row.get("used") or 0) + int(row.get("reserved") or 0)
        if 0 < limit <= held:
            name = str(row["resource"])
            yield verdict(
                "quota.used_up",
                Severity.ADVICE,
                Subject(f"{name} of {project}", "quota", CENTRAL),
                f"project {project} has {held} of the {limit} it may have of {name}: the next one "
                "is refused",
                look.evidence(Source.CENTRAL, CENTRAL, f"quota {name}: limit {limit}, {held} used"),
                f"{OPENSTACK} quota set --{name.replace('_', '-')}s NUMBER {project}",
            )


CHECKS = (
    Check(name="addresses left", hop=Hop.SENDER_PORT, run=check_subnets, needs=(Need.CENTRAL,),
          skips=at_a_port, vital=False),
    Check(name="addresses left at the site", hop=Hop.SENDER_PORT, run=check_leases,
          needs=(Need.CENTRAL, Need.SENDER_NEUTRON), skips=from_a_site, vital=False),
    Check(name="quotas", hop=Hop.SENDER_PORT, run=check_quotas, needs=(Need.CENTRAL,),
          skips=at_a_port, vital=False),
)  # fmt: skip
