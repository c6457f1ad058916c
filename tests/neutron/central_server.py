"""A real central Neutron, and what sites and Xjob ask of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.neutron.server import ADMIN, CARRIER, OnBehalf, Reply, Server, site_user, tenant
from typing_extensions import override

from isthmus.model.site import SiteName
from isthmus.services import render
from isthmus.store.tiers import registration


@dataclass
class CentralServer(Server):
    """The process."""

    #: A project that central trusts with every network, as that of Octavia.
    service_project = "project-of-the-load-balancers"

    @override
    def configuration(self, paste_file: Path) -> render.NeutronServer:
        isthmus = {
            "recall_wait_s": 1,  # mostly nobody answers
            "silent_after_s": 86400 * 365,  # nobody probes
            "service_projects": self.service_project,
            **self.extra.get("isthmus", {}),
        }
        return render.NeutronServer(
            flavour=render.Flavour.CENTRAL,
            host="central",
            state_dir=self.folder,
            database=self.url,
            paste_file=paste_file,
            base_mac="fa:16:3e:00:00:00",
            extra={**self.extra, "isthmus": isthmus},
        )

    def make_sites(self) -> None:
        """Make site1 and site2."""
        for number in (1, 2):
            self.create(
                "site",
                name=f"site{number}",
                region=f"Region{number}",
                availability_zones=[f"zone{number}"],
                service_user=f"isthmus-site{number}",
            )

        self.hear()

    def hear(self, *names: str) -> None:
        """Make as if Xjob had just seen the sites, all if none is named, and did so for ever."""
        from isthmus.store.sql import clock
        from isthmus.store.sql.tables import SITES

        seen = {"reachability": "reachable", "last_seen_at": clock.utc_now()}
        change = sa.update(SITES).values(seen)
        with self.database(write=True) as connection:
            connection.execute(change.where(SITES.c.name.in_(names)) if names else change)

    def bundle(self, site: str, kind: str, *ids: str, project: str | None, **more: Any) -> Any:
        return self.try_bundle(site, kind, *ids, project=project, **more).only()

    def try_bundle(
        self,
        site: str,
        kind: str,
        *ids: str,
        project: str | None,
        admin: bool = False,
        **more: Any,
    ) -> Reply:
        """Ask on behalf of a member of a project, of an administrator, or (None) of nobody."""
        person = ADMIN if admin else tenant(project) if project else None
        user = OnBehalf(person, site_user(site)) if person else site_user(site)
        body = {"site_bundle": {"type": kind, "ids": list(ids), **self._incarnation(site), **more}}
        return self.call("POST", "/v2.0/site-bundles", body, user)

    def lease_request(self, site: str, **values: Any) -> Reply:
        values = {**self._incarnation(site), **values}
        return self.call(
            "POST", "/v2.0/site-lease-requests", {"site_lease_request": values}, site_user(site)
        )

    def _incarnation(self, site: str) -> dict[str, str]:
        """Speak as that incarnation of a site which central knows, if it knows one."""
        with self.database() as connection:
            known = registration.find(connection, SiteName(site))
        said = known.incarnation if known is not None else None
        return {} if said is None else {"incarnation": said}

    def report(self, site: str, *items: Any, sequence: int | None = None) -> list[dict[str, Any]]:
        self._sequence += 1
        body = {"sequence": sequence or self._sequence, **self._incarnation(site)}
        results: list[dict[str, Any]] = []
        while len(results) < len(items):  # a busy central answers what it has reached
            report = {"site_report": {**body, "items": list(items[len(results) :])}}
            answer = self.call("POST", "/v2.0/site-reports", report, site_user(site))
            assert answer.only()["results"]
            results += answer.only()["results"]
        return results

    def desired(self, site: str, *keys: tuple[str, str]) -> dict[tuple[str, str], Any]:
        return {(one["type"], one["id"]): one["state"] for one in self.wanted(site, *keys)}

    def wanted(self, site: str, *keys: tuple[str, str]) -> list[dict[str, Any]]:
        """Give the items that Xjob would carry."""
        body = {"site": site, "keys": [{"type": kind, "id": one} for kind, one in keys]}
        answer = self.call(
            "POST", "/v2.0/site-desired-states", {"site_desired_state": body}, CARRIER
        )
        items: list[dict[str, Any]] = answer.only()["items"]
        return items

    def jobs(self, site: str, kind: str | None = None) -> set[tuple[str, str]]:
        path = f"/v2.0/site-jobs?site={site}" + (f"&type={kind}" if kind else "")
        return {(job["type"], job["resource_id"]) for job in self.call("GET", path).only()}

    def clear_journal(self) -> None:
        """Make as if every site had taken everything so far, whatever it was."""
        from isthmus.store.sql.tables import JOURNAL

        with self.database(write=True) as connection:
            connection.execute(sa.delete(JOURNAL))

    def acknowledge_all(self, *sites: str) -> None:
        """Do what Xjob does: read what is wanted, have it taken, settle it."""
        from isthmus.model.intent import IntentKey
        from isthmus.model.resource import ResourceType
        from isthmus.model.site import SiteName
        from isthmus.store.sql.tables import JOURNAL
        from isthmus.store.tiers import forget

        with self.database() as connection:
            rows = [
                row
                for row in connection.execute(sa.select(JOURNAL))
                if not sites or row.lane in sites
            ]
        gone = []
        for row in rows:
            state = self.desired(row.lane, (row.type, row.resource_id))
            if state[(row.type, row.resource_id)] is None:
                gone.append(IntentKey(SiteName(row.lane), ResourceType(row.type), row.resource_id))
        with self.database(write=True) as connection:
            connection.execute(sa.delete(JOURNAL).where(JOURNAL.c.id.in_([r.id for r in rows])))
            forget.forget_objects(connection, gone)


def by_type(items: Iterable[Mapping[str, Any]], kind: str) -> list[Any]:
    return [item["state"] for item in items if item["type"] == kind]
