"""Xjob's delivery to one site in the test's own hands: the real engine on the real journal."""

import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import CARRIER, carrier
from tests.neutron.test_renewal import ServerClient

from isthmus.clients.http.delivery import CentralSource, SiteCarrier
from isthmus.clients.machine.clock import SystemClock
from isthmus.journal.decide import PATIENCE
from isthmus.journal.engine import Delivery, DeliverySettings
from isthmus.model.site import SiteName
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery.journal_engine import SqlJournal
from isthmus.store.sql.engine import open_engine
from isthmus.store.sql.tables import JOURNAL
from isthmus.store.tiers import forget, restored


class SiteDelivery:
    """A lane."""

    def __init__(
        self,
        central: CentralServer,
        site: LocalServer,
        owner: str = "a-test",
        clients: type[ServerClient] = ServerClient,
    ) -> None:
        """Open it.

        Args:
            central: whose journal it is.
            site: the lane.
            owner: who claims: one thread.
            clients: make the calls to both tiers.
        """
        self._central, self._site = central, site
        self._delivery = Delivery(
            SiteName(site.site),
            store=SqlJournal(
                open_engine(central.url),
                lock=forget.lock_objects,
                forget=forget.forget_objects,
                find_deliverable=restored.find_deliverable,
            ),
            source=CentralSource(clients(central, CARRIER)),  # type: ignore[arg-type]
            carrier=SiteCarrier(clients(site, carrier(site.site))),  # type: ignore[arg-type]
            clock=SystemClock(),
            settings=DeliverySettings(owner=owner, batch=50, claim_s=300),
        )

    def run(self) -> None:
        """Carry what is due."""
        while not self._delivery.run().idle:
            pass

    def lose_patience(self) -> None:
        """Carry what is due, and make the next refusal of each object the last one."""
        last = sa.update(JOURNAL).where(JOURNAL.c.lane == self._site.site)
        with self._central.database(write=True) as connection:
            connection.execute(last.values(attempts=PATIENCE, not_before=None))
        self.run()

    def retry_in_use(self) -> None:
        """Do what Xjob does every few minutes."""
        with self._central.database(write=True) as connection:
            job_store.retry_in_use(connection, SiteName(self._site.site))
        self.run()

    def parked(self) -> dict[tuple[str, str], str]:
        """Give the reason of each intent that waits for a person."""
        path = f"/v2.0/site-jobs?site={self._site.site}&state=parked"
        rows = self._central.call("GET", path).only()
        return {(row["type"], row["resource_id"]): row["last_error"] for row in rows}
