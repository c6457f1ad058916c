"""Joins the delivery with central's database, central's Neutron and the sites' Neutrons."""

from functools import partial
from typing import Any

from isthmus.clients.http.delivery import CentralSource, SiteCarrier
from isthmus.clients.http.login.lane import LaneLogins
from isthmus.clients.http.neutron import NeutronClient
from isthmus.clients.http.transport import Timeouts
from isthmus.clients.machine.clock import SystemClock
from isthmus.config.xjob import GROUP, XjobConfig, lane_group
from isthmus.federation.renewal import Renewal, RequestedRenewal
from isthmus.journal.engine import Delivery, DeliverySettings
from isthmus.journal.protocols import Clock
from isthmus.model.intent import RenewalRequest
from isthmus.model.site import CENTRAL, Site, SiteName
from isthmus.operate.renewal import open_renewal
from isthmus.store.delivery.renewal_engine import SqlRenewals
from isthmus.wiring.central_database import CentralDatabase


class Xjob(CentralDatabase):
    """All that the worker's threads share; safe for threads."""

    def __init__(self, conf: Any, settings: XjobConfig, *, owner: str) -> None:
        """Open the database and log in.

        Args:
            conf: the opened configuration, for keystoneauth's options.
            settings: ours.
            owner: who claims.

        Raises:
            Invalid: the configuration makes no sense.
        """
        self.settings = settings
        super().__init__(settings.database_url)
        self.clock: Clock = SystemClock()
        self._owner = owner
        self.requests = SqlRenewals(self._engine, owner)
        timeouts = Timeouts(settings.connect_timeout_s, settings.call_timeout_s)
        self._logins = LaneLogins(conf, GROUP, timeouts)
        self._clients: dict[SiteName, NeutronClient] = {}
        self._central = self._client(self._logins.open_central(), CENTRAL, settings.central_region)

    def open_lane(self, one: Site) -> tuple[Delivery, NeutronClient]:
        """Return a site's delivery and its client, with a login that is for that site alone."""
        auth_session = self._logins.open_lane(one.name, lane_group(one.name))
        client = self._client(auth_session, one.name, one.region)
        self._clients[one.name] = client
        delivery = Delivery(
            one.name,
            store=self._journal,
            source=CentralSource(self._central),
            carrier=SiteCarrier(client),
            clock=self.clock,
            settings=DeliverySettings(
                owner=self._owner, batch=self.settings.batch, claim_s=self.settings.claim_s
            ),
        )
        return delivery, client

    def open_renewal(self, one: Site) -> Renewal:
        """Prepare to compare what a site holds with what it should, by the client of its lane."""
        return open_renewal(
            one.name, central=self._central, client=self._clients[one.name], journal=self._journal
        )

    def open_requested(self, one: Site, request: RenewalRequest) -> RequestedRenewal:
        """Prepare a comparison that was asked for, and that records how far it is."""
        client = self._clients[one.name]
        renewal = open_renewal(
            one.name,
            central=self._central,
            client=client,
            journal=self._journal,
            network=request.network_id,
        )
        return RequestedRenewal(renewal, partial(self.requests.record, request.id))

    def _client(self, auth_session: Any, name: str, region: str) -> NeutronClient:
        return NeutronClient(
            auth_session, name=name, region=region, interface=self.settings.interface
        )
