"""Join the delivery with central's database, central's Neutron and the sites' Neutrons."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from isthmus import errors
from isthmus.clients.http.neutron import NeutronClient
from isthmus.clients.http.transport import Timeouts, closed_session, find_login, open_session
from isthmus.config.xjob import GROUP, XjobConfig, lane_group
from isthmus.federation.renewal import Renewal
from isthmus.journal.engine import Delivery, DeliverySettings
from isthmus.journal.protocols import Clock
from isthmus.model.intent import IntentKey
from isthmus.model.item import Item, ItemResult, read_results
from isthmus.model.site import CENTRAL, Reachability, Site, SiteName, SiteState
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery import sweep
from isthmus.store.delivery.journal_engine import SqlJournal
from isthmus.store.sql import clock
from isthmus.store.sql.engine import open_engine, reading, writing
from isthmus.store.tiers import removal, site
from isthmus.wiring.renewal import open_renewal


class SystemClock:
    """The machine's monotonic clock, which no correction of the time moves."""

    def seconds(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()


class CentralSource:
    """Reads wanted state from central's Neutron, which alone renders objects."""

    def __init__(self, client: NeutronClient) -> None:
        """Bind it to central's client."""
        self._client = client

    def read(self, lane: SiteName, keys: Sequence[IntentKey]) -> Mapping[IntentKey, Item]:
        """Ask for the state of objects as they should be at one site."""
        wanted = [{"type": key.type.value, "id": key.id} for key in keys]
        answer = self._client.post("site_desired_state", {"site": lane, "keys": wanted})
        items = [Item.from_dict(one) for one in _list(answer, "items")]
        return {IntentKey(lane, item.type, item.id): item for item in items}


class SiteCarrier:
    """Carries items to one site's Neutron."""

    def __init__(self, client: NeutronClient) -> None:
        """Bind it to the site's client."""
        self._client = client

    def deliver(
        self, lane: SiteName, items: Sequence[Item], *, sequence: int
    ) -> Sequence[ItemResult]:
        """Post a batch; the client knows the site, so the lane's name is not needed."""
        del lane
        body = {"sequence": sequence, "items": [item.to_dict() for item in items]}
        answer = self._client.post("site_apply", body)
        return read_results(answer.get("results"), items)


class Xjob:
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
        self.clock: Clock = SystemClock()
        self._owner = owner
        self._engine = open_engine(settings.database_url)
        self._journal = SqlJournal(self._engine, forget=removal.forget)
        self._conf = conf
        self._timeouts = Timeouts(settings.connect_timeout_s, settings.call_timeout_s)
        self._logins: dict[object, str] = {find_login(conf, GROUP): GROUP}
        self._clients: dict[SiteName, NeutronClient] = {}
        auth_session = open_session(conf, GROUP, self._timeouts)
        self._central = self._client(auth_session, CENTRAL, settings.central_region)

    def list_sites(self) -> list[Site]:
        """List the sites that take deliveries."""
        with reading(self._engine) as connection:
            sites = site.list_sites(connection)
        return [one for one in sites if one.state is not SiteState.DISABLED]

    def due_lanes(self) -> set[SiteName]:
        """List the sites that have work."""
        return self._journal.due_lanes()

    def open_lane(self, one: Site) -> tuple[Delivery, NeutronClient]:
        """Return a site's delivery and its client, with a login that is for that site alone."""
        client = self._client(self._open_session(one.name), one.name, one.region)
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

    def record_reachability(
        self, name: SiteName, reachability: Reachability, error: str = ""
    ) -> None:
        """Note what was last seen of a site."""
        with writing(self._engine) as connection:
            now = clock.read(connection)
            site.record_reachability(connection, name, reachability, now=now, error=error)

    def drop_orphans(self) -> int:
        """Drop intents of deleted sites and tell how many."""
        with writing(self._engine) as connection:
            return sweep.drop_orphans(connection)

    def retry_in_use(self, lanes: Collection[SiteName]) -> None:
        """Try once more what these sites refused since something there was in use."""
        for lane in lanes:
            with writing(self._engine) as connection:
                job_store.retry_in_use(connection, lane)

    def release_dead(self, is_dead: Callable[[str], bool]) -> int:
        """Return back what dead workers held and tell how many intents."""
        with writing(self._engine) as connection:
            return sweep.release_dead(connection, is_dead)

    def open_renewal(self, one: Site) -> Renewal:
        """Prepare to compare what a site holds with what it should, by the client of its lane."""
        return open_renewal(
            one.name, central=self._central, client=self._clients[one.name], journal=self._journal
        )

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _open_session(self, site: SiteName) -> Any:
        """Log in for one site; never as a user that another tier knows as well."""
        group = lane_group(site)
        login = find_login(self._conf, group)
        if login is None:
            return closed_session(f"[{group}] has no auth_type: it needs a user for {site} alone")
        other = self._logins.setdefault(login, group)
        if other != group:
            return closed_session(f"[{group}] and [{other}] name one user: each needs its own")
        return open_session(self._conf, group, self._timeouts)

    def _client(self, auth_session: Any, name: str, region: str) -> NeutronClient:
        return NeutronClient(
            auth_session, name=name, region=region, interface=self.settings.interface
        )


def _list(answer: Mapping[str, Any], name: str) -> list[Any]:
    found = answer.get(name)
    if not isinstance(found, list):
        raise errors.ProtocolError(f"the answer has no list of {name}")
    return found
