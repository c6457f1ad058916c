"""What sites name of numbers after central was restored: whose word counts, and once."""

import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.two_databases import (
    SITE,
    T0,
    ZERO,
    Pair,
    Tier,
    models_v2,
    pair,
    tiers,
    to_text,
)

from isthmus.model.lease import Block, Lease, LeaseId, PoolKind
from isthmus.model.site import CENTRAL, Site, SiteName, SiteState
from isthmus.neutron.central.site_api.belief import contest, naming
from isthmus.neutron.db import guard
from isthmus.store.leases import lease as lease_store
from isthmus.store.leases import named, resting
from isthmus.store.ports import home
from isthmus.store.sql.tables import (
    LOCATIONS,
    NAMED_LEASES,
    NAMED_NUMBERS,
    NAMED_PORTS,
    REGISTRATIONS,
    SITE_MAPPINGS,
)
from isthmus.store.tiers import epoch, named_port

pytestmark = pytest.mark.neutron

__all__ = ["pair", "tiers"]

TWO = SiteName("site2")


class Restored:
    """A central that came back from a backup and waits for two sites."""

    def __init__(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tier: Tier = pair.central
        self.subnet = pair.subnet()
        with self.tier.engine.begin() as connection:
            for table in (NAMED_PORTS, NAMED_LEASES, NAMED_NUMBERS, REGISTRATIONS):
                connection.execute(sa.delete(table))
            epoch.begin(connection, "restored, the test says")
            subnet = models_v2.Subnet
            query = sa.select(subnet.network_id).where(subnet.id == self.subnet)
            self.network = str(connection.scalar(query))
            for site in (TWO, SiteName("site3")):
                connection.execute(
                    sa.insert(SITE_MAPPINGS).values(
                        type="network",
                        resource_id=self.network,
                        site=site,
                        id=str(uuid.uuid4()),
                        withdrawn=False,
                        created_at=T0,
                    )
                )
            for site in (SITE, TWO):
                connection.execute(
                    sa.insert(REGISTRATIONS).values(
                        site=site, registration=f"row-{site}", epoch=1, waits=True
                    )
                )
        for name in ("writing", "reading"):
            for module in (contest, naming):
                monkeypatch.setattr(
                    module, name, lambda _context: self.tier.engine.begin(), raising=False
                )
        monkeypatch.setattr(f"{contest.__name__}.directory.get_plugin", lambda: self)
        monkeypatch.setattr(f"{contest.__name__}.n_context.get_admin_context", lambda: None)

    def port(self, number: int, at: SiteName | None) -> str:
        """Make a port that has an address, as central's database came back."""
        port_id = str(uuid.uuid4())
        self.tier.make_port(self.network, self.subnet, port_id, number)
        if at is not None:
            with self.tier.engine.begin() as connection:
                home.assign(connection, port_id, at, project_id="p", now=T0)
        return port_id

    def speak(
        self,
        name: SiteName,
        ports: Collection[str],
        has: dict[int, str],
        known: Sequence[naming.KnownPort] = (),
    ) -> None:
        """Have a site register, with what its ports have and what it knows of others."""
        site = Site(
            name=name,
            region=name,
            availability_zones=(),
            service_user=name,
            state=SiteState.ENABLED,
        )
        addresses = {(self.subnet, ZERO + number): one for number, one in has.items()}
        naming.record(None, site, naming.Named(ports=ports, addresses=addresses, known=known))
        with self.tier.engine.begin() as connection:
            named_port.record(connection, name, ports)
            connection.execute(
                sa.update(REGISTRATIONS)
                .where(REGISTRATIONS.c.site == name)
                .values(waits=False, named_ports=True)
            )

    def shows(self, port_id: str, number: int, at: SiteName) -> naming.KnownPort:
        """Give a port as a shadow shows it."""
        return naming.KnownPort(
            home=at,
            port_id=port_id,
            network_id=self.network,
            port_key=number,
            addresses=(ZERO + number,),
        )

    def lease(self, first: int, last: int, site: SiteName) -> None:
        """Have central know a lease of a site's, as it was when it was backed up."""
        one = Lease(
            id=LeaseId(str(uuid.uuid4())),
            kind=PoolKind.SUBNET,
            pool_id=self.subnet,
            site=site,
            block=Block(ZERO + first, ZERO + last),
        )
        with self.tier.engine.begin() as connection:
            lease_store.put(connection, one, now=T0)

    def decide(self) -> None:
        contest.decide(None)

    def holders(self) -> dict[int, str]:
        """Return which port has which address at central."""
        return self.tier.holders(self.subnet)

    def kept(self, number: int) -> str | None:
        with self.tier.engine.begin() as connection:
            found = named.find_kept(connection, self.subnet, ZERO + number)
        return None if found is None else found.port_id

    # What `contest` asks of the core plugin.
    def get_port(self, _context: None, port_id: str) -> dict[str, Any]:
        fixed = [
            {"subnet_id": self.subnet, "ip_address": to_text(number)}
            for number, one in self.holders().items()
            if one == port_id
        ]
        return {"id": port_id, "fixed_ips": fixed}

    def update_port(self, _context: None, port_id: str, body: Any) -> None:
        kept = [one["ip_address"] for one in body["port"]["fixed_ips"]]
        with self.tier.engine.begin() as connection:
            self.tier.take_addresses(connection, self.subnet, port_id, but=kept)
            block = guard._current.get()  # as a session asks before it commits
            if block is not None:
                block.ask(connection)


@pytest.fixture
def restored(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Restored]:
    with_engine = pair.central.engine
    with with_engine.begin() as connection:
        epoch.read(connection)
    yield Restored(pair, monkeypatch)
    with with_engine.begin() as connection:
        epoch.recover(connection)


def test_a_port_loses_its_address_by_its_home_s_word_alone(restored: Restored) -> None:
    """Site 1 names a port that site 2 has, and all ports of nobody, without their addresses."""
    theirs, nobodys = restored.port(5, TWO), restored.port(6, None)
    restored.speak(SITE, [theirs, nobodys], {})
    restored.speak(TWO, [theirs], {5: theirs})
    restored.decide()
    assert restored.holders() == {5: theirs, 6: nobodys}


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "not heard"])
def test_a_port_that_is_elsewhere_by_now_is_spoken_for_there(
    restored: Restored, heard: bool
) -> None:
    """Its restored home has registered without it; one that has not may have it still."""
    moved, new = restored.port(5, SITE), str(uuid.uuid4())
    restored.lease(1, 9, SITE)
    if heard:
        restored.speak(SITE, [new], {5: new})
    else:
        with restored.tier.engine.begin() as connection:
            connection.execute(sa.update(REGISTRATIONS).values(waits=False))
    restored.speak(TWO, [moved], {})
    restored.decide()
    assert restored.holders() == ({} if heard else {5: moved})


@pytest.mark.parametrize("by", [SITE, SiteName("site3")])
def test_nobody_vouches_for_an_address_but_who_has_its_lease(
    restored: Restored, by: SiteName
) -> None:
    """A site names an address of site 2's lease for a port of its own, and a shadow with it."""
    restored.lease(16, 31, TWO)
    mine = str(uuid.uuid4())
    invented = restored.shows(mine, 20, SITE if by != SITE else SiteName("nowhere"))
    restored.speak(SITE, [mine], {20: mine}, [invented] if by == SITE else [])
    if by != SITE:
        restored.speak(by, [], {}, [invented])
    restored.speak(TWO, [], {})
    restored.decide()
    assert restored.kept(20) is None


@pytest.mark.parametrize("there", [SITE, SiteName("site3")])
def test_an_address_goes_along_by_its_lease_s_holder_s_word(
    restored: Restored, there: SiteName
) -> None:
    """The port was born at site 2, and has moved to site 1 since the backup."""
    restored.lease(16, 31, TWO)
    moved = str(uuid.uuid4())
    restored.speak(SITE, [moved], {20: moved})
    restored.speak(TWO, [], {}, [restored.shows(moved, 20, there)])
    restored.decide()
    assert restored.kept(20) == (moved if there == SITE else None)


def test_what_is_kept_ends_by_the_word_of_its_site_alone(restored: Restored) -> None:
    """The port went, or has another address by now: before it was decided, or after."""
    ports = {number: str(uuid.uuid4()) for number in (5, 6, 7, 8)}
    restored.speak(SITE, list(ports.values()), ports)

    def report(site: SiteName, number: int, *has: int) -> None:
        addresses = {(restored.subnet, ZERO + one) for one in has}
        with restored.tier.engine.begin() as connection:
            named.end_unborne(connection, site, ports[number], addresses)

    report(TWO, 5)  # it says that site 1's port is gone
    report(SITE, 6)
    report(SITE, 7, 107)
    restored.speak(TWO, [], {})
    restored.decide()
    assert {one: restored.kept(one) for one in ports} == {
        5: ports[5],
        6: None,
        7: None,
        8: ports[8],
    }
    report(TWO, 8)
    report(SITE, 8, 8)
    assert restored.kept(8) == ports[8]
    report(SITE, 8, 108)
    assert restored.kept(8) is None
    with restored.tier.engine.begin() as connection:
        assert resting.find_port(connection, restored.subnet, ZERO + 8) == ports[8]
        assert resting.find_port(connection, restored.subnet, ZERO + 6) == ports[6]


def test_a_late_decision_finds_that_it_was_taken(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes of central decide at once, and one of them is slow."""
    mine, theirs, new = restored.port(5, SITE), restored.port(6, None), str(uuid.uuid4())
    far = str(uuid.uuid4())
    restored.speak(SITE, [mine, new, far], {6: new, 9: far})
    restored.speak(TWO, [], {})
    words: dict[str, list[named.Word]] = {}
    listed = named.list_open
    with restored.tier.engine.begin() as connection:
        for one in (named.LACKS, named.HAS, named.KNOWS, named.STRAY):
            words[one] = listed(connection, one)
    monkeypatch.setattr(named, "list_open", lambda _connection, word: words[word])
    monkeypatch.setattr(named, "is_open", lambda _connection: True)
    restored.decide()
    assert restored.holders() == {}
    assert (restored.kept(6), restored.kept(9)) == (new, far)
    # Since then a person gave both addresses to others again, and site 1's port went.
    with restored.tier.engine.begin() as connection:
        restored.tier.give_address(connection, restored.subnet, mine, 5)
        named.end_unborne(connection, SITE, new, ())
        named.end_unborne(connection, SITE, far, ())
        resting.delete(connection, restored.subnet, [ZERO + 6, ZERO + 9])
        restored.tier.give_address(connection, restored.subnet, theirs, 6)
    before = restored.tier.blocks(restored.subnet, site=CENTRAL)
    restored.decide()
    assert restored.holders() == {5: mine, 6: theirs}
    assert restored.tier.blocks(restored.subnet, site=CENTRAL) == before


def test_what_lost_sites_have_is_decided_by_the_hundred(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of sites that have spoken costs nothing; of others, few transactions."""
    lost, begun = SiteName("site3"), 0
    ports = {number: str(uuid.uuid4()) for number in range(20, 240)}
    with restored.tier.engine.begin() as connection:
        connection.execute(
            sa.insert(REGISTRATIONS).values(
                site=lost, registration="row-site3", epoch=1, waits=False, owes=True
            )
        )
    knows = [restored.shows(one, number, TWO) for number, one in ports.items()]
    restored.speak(
        SITE, [], {}, [*knows, restored.shows("x", 9, lost), restored.shows("y", 8, lost)]
    )
    restored.speak(TWO, [], {})
    writing = vars(contest)["writing"]

    def count(context: Any) -> Any:
        nonlocal begun
        begun += 1
        return writing(context)

    monkeypatch.setattr(contest, "writing", count)
    restored.decide()
    assert begun < 6, "one for a pool, and one that forgets what the sites name themselves"
    assert restored.tier.blocks(restored.subnet, site=lost) == [(8, 9)]
    with restored.tier.engine.begin() as connection:
        assert not named.is_open(connection)


@pytest.mark.parametrize("number", [-5, 0, 1 << 16, 2**32 + 5])
def test_no_address_is_kept_that_the_subnet_does_not_have(restored: Restored, number: int) -> None:
    mine = str(uuid.uuid4())
    restored.speak(SITE, [mine], {number: mine}, [restored.shows(str(uuid.uuid4()), 0, TWO)])
    restored.speak(TWO, [], {})
    restored.decide()
    assert restored.kept(number) is None
    assert restored.tier.blocks(restored.subnet, site=CENTRAL) == []


@pytest.mark.parametrize("how", ["known", "moved", "withdrawn", "without subnets"])
def test_a_key_that_another_site_knows_is_written_down_if_central_does_not(
    restored: Restored, how: str
) -> None:
    """Of each of its shadows a site names the key, and nearly all of them central knows."""
    mine, theirs = str(uuid.uuid4()), str(uuid.uuid4())
    network = str(uuid.uuid4()) if how == "without subnets" else restored.network
    with restored.tier.engine.begin() as connection:
        if how == "without subnets":
            values = {"type": "network", "resource_id": network, "site": SITE, "withdrawn": False}
            connection.execute(
                sa.insert(SITE_MAPPINGS).values(id=str(uuid.uuid4()), created_at=T0, **values)
            )
        if how == "withdrawn":
            here = (SITE_MAPPINGS.c.resource_id == network, SITE_MAPPINGS.c.site == TWO)
            connection.execute(sa.update(SITE_MAPPINGS).where(*here).values(withdrawn=True))
        at = TWO if how == "moved" else SiteName("site3")
        connection.execute(
            sa.insert(LOCATIONS).values(
                port_id=theirs, network_id=network, site=at, chassis="", hostname="", port_key=9
            )
        )
    shown = naming.KnownPort(
        home=SiteName("site3"), port_id=theirs, network_id=network, port_key=9, addresses=()
    )
    site = SITE if how == "without subnets" else TWO
    if how == "without subnets":
        shown = replace(shown, port_key=10)
    restored.speak(site, [mine], {30: mine}, [shown])
    with restored.tier.engine.begin() as connection:
        connection.execute(sa.delete(LOCATIONS).where(LOCATIONS.c.port_id == theirs))
        keys = [one for one in named.list_open(connection, named.KNOWS) if one.kind != "subnet"]
        has = named.list_open(connection, named.HAS)
    assert len(keys) == (how in ("moved", "without subnets"))
    assert [one.port_id for one in has] == [mine]
