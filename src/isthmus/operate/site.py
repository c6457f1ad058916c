"""Sites: how each stands, and its removal."""

from dataclasses import dataclass

from isthmus.clients.http.admin import AdminApi, Row
from isthmus.operate.gone import Gone, find_gone


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """How one site stands, in the words of the API."""

    name: str
    state: str
    reachability: str
    last_seen_at: str | None
    backlog: int
    parked: int
    waits_for: str  #: why it, or central because of it, gives out no address now
    oldest: int | None  #: age of the oldest unparked job, in seconds
    last_error: str


def collect_status(api: AdminApi) -> list[SiteStatus]:
    """Read how every site stands."""
    return [_status(api, row) for row in api.list("site", sort_key="name", sort_dir="asc")]


def _status(api: AdminApi, site: Row) -> SiteStatus:
    oldest = None
    if site["backlog"]:
        jobs = api.iterate(
            "site_job",
            page_size=1,
            site=site["name"],
            state=["waiting", "running"],
            sort_key="created_at",
            sort_dir="asc",
        )
        oldest = next((int(job["age"]) for job in jobs), None)
    return SiteStatus(
        name=site["name"],
        state=site["state"],
        reachability=site["reachability"],
        last_seen_at=site["last_seen_at"],
        backlog=site["backlog"],
        parked=site["parked"],
        waits_for=site.get("waits_for") or "",
        oldest=oldest,
        last_error=site["last_error"] or "",
    )


def delete_site(api: AdminApi, name: str) -> Gone | None:
    """Remove a site; gives what it has not let go of.

    Raises:
        NotFound: there is none.
        InUse: it holds objects and is not disabled.
    """
    row = api.get("site", name)
    api.delete("site", row["id"])
    return find_gone(api, row["id"])
