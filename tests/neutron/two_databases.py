"""Central and a site as two databases, with the code of both on them and no server between.

What the site's keeper asks goes straight into what central does with it, so a test can lose an
answer, or send a call again, at just the moment it means.
"""

import datetime
import ipaddress
import shutil
import time
import uuid
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from isthmus import errors
from isthmus.clients.http.central import CentralClient, LeaseAnswer
from isthmus.federation.leases.lease import merge
from isthmus.model.lease import Block, Lease, LeaseId, PoolKind
from isthmus.model.site import CENTRAL, Site, SiteName, SiteState
from isthmus.store.leases import lease, pool, recall, resting
from isthmus.store.sql.engine import open_engine
from isthmus.store.sql.tables import JOURNAL, LEASES, RECALLS, RESTING, RETURNS, SITE_MAPPINGS

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from neutron.db import models_v2
    from neutron.ipam.drivers.neutrondb_ipam import db_models as ipam
    from neutron_lib.db import standard_attr

    from isthmus.neutron.central.site_api import lease_request
    from isthmus.neutron.local.lease.keeper import Keeper

SITE = SiteName("site1")
SUBNET = PoolKind.SUBNET
ZERO = int(ipaddress.ip_address("10.0.0.0"))
T0 = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - naive as in the tables


class Tier:
    """One tier's database."""

    def __init__(self, url: str) -> None:
        # Neutron's own engine is at the database's default level; the keeper has ours.
        self.url = url
        default = sa.make_url(url).get_backend_name() != "sqlite"
        self.engine = sa.create_engine(url) if default else open_engine(url)
        self.own = open_engine(url)

    def close(self) -> None:
        self.engine.dispose()
        self.own.dispose()

    def make_subnet(self, network: str, subnet: str, first: int, last: int) -> None:
        """Make a subnet 10.0.0.0/16, with one allocation pool."""
        ends = {"first_ip": to_text(first), "last_ip": to_text(last)}
        with self.engine.begin() as connection:
            net = {"id": network}
            sub = {"id": subnet, "network_id": network, "cidr": "10.0.0.0/16", "ip_version": 4}
            made: list[tuple[str, Any, dict[str, Any]]] = [
                ("networks", models_v2.Network.__table__, net),
                ("subnets", models_v2.Subnet.__table__, sub),
            ]
            for kind, table, values in made:
                done = connection.execute(
                    sa.insert(standard_attr.StandardAttribute.__table__).values(resource_type=kind)
                )
                (attribute,) = done.inserted_primary_key or (None,)
                connection.execute(sa.insert(table).values(standard_attr_id=attribute, **values))
            connection.execute(
                sa.insert(models_v2.IPAllocationPool.__table__).values(
                    id=str(uuid.uuid4()), subnet_id=subnet, **ends
                )
            )
            connection.execute(
                sa.insert(ipam.IpamSubnet.__table__).values(id=subnet, neutron_subnet_id=subnet)
            )

    def use(self, subnet: str, *numbers: int) -> None:
        """Give addresses out."""
        with self.engine.begin() as connection:
            for number in numbers:
                connection.execute(
                    sa.insert(ipam.IpamAllocation.__table__).values(
                        ip_address=to_text(number), status="ALLOCATED", ipam_subnet_id=subnet
                    )
                )

    def make_port(self, network: str, subnet: str, port_id: str, number: int) -> None:
        """Make a port that has an address."""
        with self.engine.begin() as connection:
            done = connection.execute(
                sa.insert(standard_attr.StandardAttribute.__table__).values(resource_type="ports")
            )
            (attribute,) = done.inserted_primary_key or (None,)
            connection.execute(
                sa.insert(models_v2.Port.__table__).values(
                    id=port_id,
                    network_id=network,
                    mac_address="fa:16:3e:" + ":".join(port_id[n : n + 2] for n in (0, 2, 4)),
                    admin_state_up=True,
                    status="DOWN",
                    device_id="",
                    device_owner="",
                    standard_attr_id=attribute,
                )
            )
            self.give_address(connection, subnet, port_id, number)

    def give_address(
        self, connection: sa.Connection, subnet: str, port_id: str, number: int
    ) -> None:
        """Give an address to a port."""
        query = sa.select(models_v2.Subnet.network_id).where(models_v2.Subnet.id == subnet)
        connection.execute(
            sa.insert(models_v2.IPAllocation.__table__).values(
                port_id=port_id,
                subnet_id=subnet,
                network_id=connection.scalar(query),
                ip_address=to_text(number),
            )
        )
        connection.execute(
            sa.insert(ipam.IpamAllocation.__table__).values(
                ip_address=to_text(number), status="ALLOCATED", ipam_subnet_id=subnet
            )
        )

    def take_addresses(
        self, connection: sa.Connection, subnet: str, port_id: str, *, but: Collection[str]
    ) -> None:
        """Take all addresses but some from a port."""
        table, given = models_v2.IPAllocation.__table__, ipam.IpamAllocation.__table__
        query = sa.select(table.c.ip_address).where(table.c.port_id == port_id)
        gone = [one for one in connection.scalars(query) if one not in but]
        connection.execute(
            sa.delete(table).where(table.c.port_id == port_id, table.c.ip_address.in_(gone))
        )
        connection.execute(
            sa.delete(given).where(given.c.ipam_subnet_id == subnet, given.c.ip_address.in_(gone))
        )

    def holders(self, subnet: str) -> dict[int, str]:
        """Return which port has which address, in numbers behind 10.0.0.0."""
        table = models_v2.IPAllocation.__table__
        query = sa.select(table).where(table.c.subnet_id == subnet)
        with self.engine.connect() as connection:
            return {
                int(ipaddress.ip_address(row.ip_address)) - ZERO: row.port_id
                for row in connection.execute(query)
            }

    def have(self, subnet: str, number: int, port: str, *, home: str | None) -> None:
        """Give an address to a port, which is made with its home unless it exists."""
        ports, subnets = models_v2.Port.__table__, models_v2.Subnet.__table__
        with self.engine.begin() as connection:
            there = connection.scalar(sa.select(ports.c.id).where(ports.c.id == port))
            query = sa.select(subnets.c.network_id).where(subnets.c.id == subnet)
            network = str(connection.scalar(query))
            if there is not None:
                self.give_address(connection, subnet, port, number)
        if there is None:
            self.make_port(network, subnet, port, number)
        self.set_home(port, home)

    def set_home(self, port: str, home: str | None, *, leaving: bool = False) -> None:
        """Give a port a home, or none."""
        with self.engine.begin() as connection:
            connection.execute(sa.delete(SITE_MAPPINGS).where(SITE_MAPPINGS.c.resource_id == port))
            if home is not None:
                connection.execute(
                    sa.insert(SITE_MAPPINGS).values(
                        type="port",
                        resource_id=port,
                        site=home,
                        id=str(uuid.uuid4()),
                        withdrawn=leaving,
                        home_of=port,
                        created_at=T0,
                    )
                )

    def let_go(self, number: int) -> None:
        """Free an address of a port."""
        table = models_v2.IPAllocation.__table__
        with self.engine.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.ip_address == to_text(number)))
        self.free(number)

    def rest(self, subnet: str, *freed: tuple[int, str]) -> None:
        """Set addresses to rest that ports had."""
        with self.engine.begin() as connection:
            resting.record(connection, [(subnet, ZERO + number, port) for number, port in freed])

    def rests(self, subnet: str) -> set[int]:
        """List what rests, in numbers behind 10.0.0.0."""
        with self.engine.connect() as connection:
            return {number - ZERO for number in resting.list_numbers(connection, subnet)}

    def free(self, *numbers: int) -> None:
        """Free addresses, as if nobody had ever had them."""
        table = ipam.IpamAllocation.__table__
        with self.engine.begin() as connection:
            connection.execute(
                sa.delete(table).where(table.c.ip_address.in_([to_text(one) for one in numbers]))
            )

    def leases(self, subnet: str, *, site: str = SITE) -> dict[str, tuple[int, int]]:
        """List the leases of a holder, in numbers behind 10.0.0.0."""
        query = sa.select(LEASES).where(
            LEASES.c.pool_id == subnet, LEASES.c.site == site, LEASES.c.kind == SUBNET.value
        )
        with self.engine.connect() as connection:
            return {
                row.id: (int(row.first) - ZERO, int(row.last) - ZERO)
                for row in connection.execute(query)
            }

    def blocks(self, subnet: str, *, site: str = SITE) -> list[tuple[int, int]]:
        """List what a holder may give out, merged."""
        merged = merge(Block(*ends) for ends in self.leases(subnet, site=site).values())
        return [(one.first, one.last) for one in merged]

    def recalls(self) -> list[Any]:
        """List what is recalled and central has no answer to."""
        query = sa.select(RECALLS).where(RECALLS.c.heard.is_(sa.false()))
        with self.engine.connect() as connection:
            return list(connection.execute(query).all())


class Link:
    """What the keeper takes for central's client."""

    def __init__(self, central: Tier) -> None:
        self.central = central
        self.down = False
        self.lost = 0  #: so many answers are lost from now on
        self.bodies: list[dict[str, Any]] = []  #: what was asked
        self.spoke: list[str | None] = []  #: and which incarnation asked, where that was said
        self.refusals: list[str] = []

    def request_leases(
        self,
        kind: str,
        pool_id: str,
        *,
        count: int = 0,
        address: str | None = None,
        give_back: Any = (),
        news: Any = None,
        probe: bool = False,
        speaks: str | None = None,
    ) -> LeaseAnswer:
        self.spoke.append(speaks)
        body = {
            "kind": kind,
            "pool_id": pool_id,
            "count": count,
            "address": address,
            "give_back": list(give_back),
            "resting": None,
            "answered": None,
            **{name: list(ids) for name, ids in (news or {}).items()},
        }
        if self.down:
            raise errors.Unreachable("the link is down")
        self.bodies.append(body)
        answer = self.send(body)
        if self.lost:
            self.lost -= 1
            raise errors.Unreachable("the answer was lost")
        return answer

    def send(self, body: dict[str, Any]) -> LeaseAnswer:
        """Have central carry a call out."""
        site = Site(
            name=SITE,
            region=SITE,
            availability_zones=(),
            service_user=SITE,
            state=SiteState.ENABLED,
        )
        try:
            answer = lease_request.answer_request(None, site, lease_request.parse_request(body))
        except errors.Refused as error:
            self.refusals.append(error.message)
            raise
        return LeaseAnswer(
            list(lease_request.to_dict(answer.leases)),
            frozenset(answer.at_rest.still),
            frozenset(answer.at_rest.elsewhere),
        )


class Pair:
    """A central and a site, and the link between them."""

    def __init__(self, central: Tier, site: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
        self.central, self.site = central, site
        self.link = Link(central)
        monkeypatch.setattr(lease_request, "writing", lambda _context: central.engine.begin())

    def keeper(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        before_returning: Callable[[], object] = lambda: None,
    ) -> Keeper:
        """Make a keeper, as another process of the site has one."""
        client = cast("CentralClient", self.link)
        engine = self.site.own
        return Keeper(
            SITE,
            lambda: client,
            lambda: engine,
            sweep_s=60,
            idle_s=0,
            before_returning=before_returning,
            monotonic=monotonic,
        )

    def subnet(self, first: int = 0, last: int = 0xFFFF) -> str:
        """Make a subnet that is at the site, without leases; ends as numbers after 10.0.0.0."""
        network, subnet = str(uuid.uuid4()), str(uuid.uuid4())
        for tier in (self.central, self.site):
            tier.make_subnet(network, subnet, first, last)
            with tier.engine.begin() as connection:
                for kind, one in (("network", network), ("subnet", subnet)):
                    connection.execute(
                        sa.insert(SITE_MAPPINGS).values(
                            type=kind,
                            resource_id=one,
                            site=SITE,
                            id=str(uuid.uuid4()),
                            withdrawn=False,
                            created_at=T0,
                        )
                    )
        with self.central.engine.begin() as connection:
            pool.lock(connection, SUBNET, subnet)
        return subnet

    def lease(self, subnet: str, first: int, last: int, *, site: SiteName = SITE) -> str:
        """Lease a block of one's choice to a site; both know of it."""
        block = Block(ZERO + first, ZERO + last)
        with self.central.engine.begin() as connection:
            made = lease.insert(connection, SUBNET, subnet, site, block, now=T0)
        if site != SITE:
            return str(made.id)
        with self.site.engine.begin() as connection:
            connection.execute(
                sa.insert(LEASES).values(
                    id=made.id,
                    kind=SUBNET.value,
                    pool_id=subnet,
                    site=SITE,
                    first=lease.to_text(block.first),
                    last=lease.to_text(block.last),
                    created_at=T0,
                )
            )
        return str(made.id)

    def recall(
        self, subnet: str, lease_id: str, first: int, last: int, count: int
    ) -> Callable[[], None]:
        """Ask for so many idle numbers of a part of a lease; returns how to tell the site again."""
        part = Block(ZERO + first, ZERO + last)
        asked = Lease(id=LeaseId(lease_id), kind=SUBNET, pool_id=subnet, site=SITE, block=part)
        with self.central.engine.begin() as connection:
            said = recall.record(connection, asked, part, count)

        def tell() -> None:
            with self.site.engine.begin() as connection:
                recall.take(connection, asked, said)

        tell()
        return tell

    def assert_agreed(self, subnet: str) -> None:
        """Check that the site gives nothing out that central has not leased to it."""
        own, theirs = self.site.blocks(subnet), self.central.blocks(subnet)
        assert all(any(a <= first and last <= b for a, b in theirs) for first, last in own), (
            own,
            theirs,
        )


@pytest.fixture(scope="module", params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def tiers(
    request: pytest.FixtureRequest, neutron_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Tier, Tier]]:
    """Two tiers, on SQLite and on MariaDB at its default level; a test has subnets of its own."""
    folder, made = tmp_path_factory.mktemp("tiers"), []
    for name in ("central", "site1"):
        if request.param == "sqlite":
            shutil.copy(neutron_template, folder / f"{name}.db")
            url = f"sqlite:///{folder / name}.db"
        else:
            make: Callable[[], str] = request.getfixturevalue("new_database")
            url = make()
        made.append(Tier(url))
    yield made[0], made[1]
    for tier in made:
        tier.close()


@pytest.fixture
def pair(tiers: tuple[Tier, Tier], monkeypatch: pytest.MonkeyPatch) -> Pair:
    """A link between the two; nothing of an earlier test's is left to be told."""
    for tier in tiers:
        with tier.engine.begin() as connection:
            for table in (LEASES, RECALLS, RETURNS, RESTING, JOURNAL):
                connection.execute(sa.delete(table))
    return Pair(*tiers, monkeypatch)


def to_text(number: int) -> str:
    """Give an address that stands so far behind 10.0.0.0."""
    return str(ipaddress.ip_address(number if number >= ZERO else ZERO + number))


__all__ = [
    "CENTRAL",
    "SITE",
    "ZERO",
    "Link",
    "Pair",
    "Tier",
    "models_v2",
    "pair",
    "tiers",
    "to_text",
]
