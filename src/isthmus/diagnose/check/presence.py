"""Whether what the ends need is at their sites, and what is on its way there."""

from collections.abc import Iterator

from isthmus.diagnose.check.look import (
    Check,
    Hop,
    Look,
    Need,
    at_a_site,
    broken,
    degraded,
    from_a_site,
)
from isthmus.diagnose.check.port import resync
from isthmus.diagnose.world import Source, TableNotSeenError
from isthmus.model.site import CENTRAL, SiteState
from isthmus.model.verdict import Subject, Verdict


def check_presence(look: Look) -> Iterator[Verdict]:
    """Yield a network, or a subnet of it, that is not at the end's site."""
    end, site = look.sender, look.sender.site
    if look.world.find(Source.CENTRAL, CENTRAL, "site", name=site) is None:
        raise TableNotSeenError(f"your role does not show what central keeps of site {site}")
    if end.network is None:
        return  # of the site alone; central does not know it
    subject = Subject(end.network_id, "network", site)
    present = look.world.find(
        Source.CENTRAL, CENTRAL, "site_presence", network_id=end.network_id, site=site
    )
    if present is None or present.get("withdrawn"):
        yield broken(
            "network.not_present",
            subject,
            f"network {end.network_id} is not present at site {site}",
            look.evidence(Source.CENTRAL, CENTRAL, f"no site-presence of it at {site}"),
            f"isthmus network extend {end.network_id} {site}",
        )
        return
    if not look.world.has_table(Source.NEUTRON, site, "network"):
        return
    if look.world.find(Source.NEUTRON, site, "network", id=end.network_id) is None:
        yield broken(
            "network.missing",
            subject,
            f"network {end.network_id} is missing at site {site}, where central has it as present",
            look.evidence(Source.NEUTRON, site, "no network of that id"),
            resync(end),
        )
        return
    held = {row["id"] for row in look.world.rows(Source.NEUTRON, site, "subnet")}
    for row in look.world.rows(Source.CENTRAL, CENTRAL, "subnet"):
        if row.get("network_id") == end.network_id and row["id"] not in held:
            yield broken(
                "subnet.missing",
                Subject(str(row["id"]), "subnet", site),
                f"subnet {row.get('cidr')} ({row['id']}) is missing at site {site}",
                look.evidence(Source.NEUTRON, site, "no subnet of that id"),
                resync(end),
            )


def check_site(look: Look) -> Iterator[Verdict]:
    """Yield a site that is disabled or that central does not reach."""
    site = look.sender.site
    row = look.world.find(Source.CENTRAL, CENTRAL, "site", name=site) or {}
    subject = Subject(site, "site", CENTRAL)
    if row.get("state") == SiteState.DISABLED:
        yield degraded(
            "site.disabled",
            subject,
            f"site {site} is disabled: it hears of no change, and nobody of its",
            look.evidence(Source.CENTRAL, CENTRAL, f"site {site} has state=disabled"),
            f"isthmus site enable {site}",
        )
    elif row.get("reachability") == "unreachable":
        yield degraded(
            "site.unreachable",
            subject,
            f"central does not reach site {site}: what changes does not get there",
            look.evidence(
                Source.CENTRAL, CENTRAL,
                f"last seen {row.get('last_seen_at')}: {row.get('last_error') or 'no reason kept'}",
            ),
            f"see the WAN link of {site} and its Neutron: isthmus site show {site}",
        )  # fmt: skip


def check_jobs(look: Look) -> Iterator[Verdict]:
    """Yield what a site refused, and what has not arrived there yet."""
    for job in look.world.rows(Source.CENTRAL, CENTRAL, "site_job"):
        if job.get("site") != look.sender.site:
            continue
        parked = job.get("state") == "parked"
        code, why = ("job.parked", "refused by") if parked else ("job.waiting", "on its way to")
        remedy = f"isthmus job {'retry' if parked else 'show'} {job['id']}"
        yield degraded(
            code,
            Subject(str(job["resource_id"]), str(job["type"]), look.sender.site),
            f"a change of {job['type']} {job['resource_id']} is {why} site {look.sender.site}",
            look.evidence(
                Source.CENTRAL, CENTRAL,
                f"job {job['id']}: {job.get('last_error') or job.get('state')}",
            ),
            remedy,
        )  # fmt: skip


def check_refusals(look: Look) -> Iterator[Verdict]:
    """Yield reports of the end's site that central refused."""
    for row in look.world.rows(Source.CENTRAL, CENTRAL, "site_refusal"):
        if row.get("site") == look.sender.site:
            yield degraded(
                "report.refused",
                Subject(str(row["resource_id"]), str(row["type"]), look.sender.site),
                f"central refused what site {row['site']} reported of {row['type']} "
                f"{row['resource_id']}",
                look.evidence(Source.CENTRAL, CENTRAL, str(row.get("reason"))),
                f"isthmus job refused --site {row['site']}",
            )


CHECKS = (
    Check(name="site", hop=Hop.SENDER_PORT, run=check_site, needs=(Need.CENTRAL,), skips=at_a_site),
    Check(name="presence", hop=Hop.SENDER_SWITCH, run=check_presence, needs=(Need.CENTRAL,),
          skips=from_a_site),
)  # fmt: skip
#: Come last: they tell of changes that may have nothing to do with the question.
ON_THE_WAY = (
    Check(name="jobs", hop=Hop.SHADOW, run=check_jobs, needs=(Need.CENTRAL,), skips=from_a_site,
          vital=False),
    Check(name="refused reports", hop=Hop.SHADOW, run=check_refusals, needs=(Need.CENTRAL,),
          skips=from_a_site, vital=False),
)  # fmt: skip
