"""Central and sites, with the journal, lanes, leases and site mappings of the real ones, on SQLite.

What Neutron keeps is two small tables: networks, which belong to central, and ports, which belong
to the tier that made them. All that is kept of leases, of what goes back, of site mappings, tunnel
keys and what was agreed on is read and written by the product's own store.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from tests.ports import neutron_rows
from tests.ports.database_clock import drive

from isthmus import errors
from isthmus.federation.leases import lease as arithmetic
from isthmus.model.intent import IntentKey
from isthmus.model.item import Item, ItemResult, refused, taken
from isthmus.model.lease import Block, PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.delivery import journal
from isthmus.store.delivery import lane as lane_store
from isthmus.store.delivery.journal_engine import SqlJournal
from isthmus.store.leases import lease, pool, returns
from isthmus.store.leases.give_back import Kept, Part, take_back
from isthmus.store.leases.returns import Return
from isthmus.store.local import lease as site_lease
from isthmus.store.local import mapping as site_mapping
from isthmus.store.ports import datapath
from isthmus.store.sql.engine import open_engine, reading, writing
from isthmus.store.sql.tables import METADATA
from isthmus.store.tiers import forget
from isthmus.store.tiers.locked import LockedObjects
from isthmus.testing.clock import FakeClock

POOL_ID = "subnet"
POOL = [Block(2, 30)]
SUBNET = PoolKind.SUBNET
SIZES = arithmetic.SizePolicy(first=4, smallest=1, largest=8)
LOW_WATER = arithmetic.LowWater(least=1, spare=1)

MODEL = sa.MetaData()
NETWORKS = sa.Table(
    "model_networks",
    MODEL,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("value", sa.Integer),
)
PORTS = sa.Table(
    "model_ports",
    MODEL,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("home", sa.String(64), nullable=False),
    sa.Column("address", sa.Integer, nullable=False),
    sa.Column("value", sa.Integer, nullable=False),
)
SHADOWS = sa.Table(
    "model_shadows",
    MODEL,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("value", sa.Integer),
)


class Tier:
    """What both kinds have."""

    def __init__(self, name: SiteName, clock: FakeClock) -> None:
        self.name = name
        self.clock = clock
        self.births = itertools.count()  # not random, so that a run can be played again
        self.engine = open_engine("sqlite://")
        drive(self.engine, clock)
        METADATA.create_all(self.engine)
        MODEL.create_all(self.engine)
        neutron_rows.METADATA.create_all(self.engine)
        self.journal = SqlJournal(self.engine)
        self.step: Callable[[], None] = lambda: None  #: passed between two transactions

    def clear(self) -> None:
        """Empty every table."""
        self.births = itertools.count()
        with writing(self.engine) as connection:
            for table in (
                *METADATA.sorted_tables,
                *MODEL.sorted_tables,
                *neutron_rows.METADATA.sorted_tables,
            ):
                connection.execute(sa.delete(table))

    def record(
        self,
        connection: sa.Connection,
        kind: ResourceType,
        resource: str,
        sites: Iterable[SiteName],
    ) -> None:
        keys = [IntentKey(site, kind, resource) for site in sites]
        journal.record(connection, keys)

    def blocks(self, connection: sa.Connection, site: SiteName) -> list[Block]:
        return [one.block for one in lease.list_leases(connection, site=site)]

    def free_address(self, connection: sa.Connection, pick: int) -> int | None:
        """Find one of the addresses of this tier's blocks that no port here has."""
        used = {row.address for row in connection.execute(sa.select(PORTS.c.address))}
        free = [
            number
            for block in self.blocks(connection, self.name)
            for number in range(block.first, block.last + 1)
            if number not in used
        ]
        return free[pick % len(free)] if free else None

    def make_port(self, connection: sa.Connection, address: int, value: int) -> str:
        port_id = f"{self.name}-port-{next(self.births):04}"
        connection.execute(
            sa.insert(PORTS).values(id=port_id, home=self.name, address=address, value=value)
        )
        return port_id

    def take(self, items: Sequence[Item], work: Callable[[Item], None]) -> list[ItemResult]:
        """Carry items out one by one, each in a transaction of its own."""
        results = []
        for item in items:
            try:
                work(item)
            except errors.IsthmusError as error:
                results.append(refused(item, error))
            else:
                results.append(taken(item))
            self.step()
        return results


def rows(tier: Tier, table: sa.Table) -> dict[str, dict[str, Any]]:
    """Read a table by id."""
    with reading(tier.engine) as connection:
        return {row.id: dict(row._mapping) for row in connection.execute(sa.select(table))}


def without_base(state: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a report what was agreed on before."""
    return {name: value for name, value in state.items() if name != "isthmus:base"}


def put(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    """Insert or replace a row."""
    connection.execute(sa.delete(table).where(table.c.id == row["id"]))
    connection.execute(sa.insert(table).values(**row))


def drop(connection: sa.Connection, table: sa.Table, row_id: str) -> bool:
    return bool(connection.execute(sa.delete(table).where(table.c.id == row_id)).rowcount)


class Central(Tier):
    """The tier that owns networks and pools."""

    def __init__(self, sites: Sequence[SiteName], clock: FakeClock) -> None:
        super().__init__(CENTRAL, clock)
        self.sites = sites
        self.journal = SqlJournal(
            self.engine, lock=forget.lock_objects, forget=forget.forget_objects
        )

    def create_network(self, sites: Iterable[SiteName], value: int) -> None:
        network = f"network-{next(self.births):04}"
        with writing(self.engine) as connection:
            put(connection, NETWORKS, {"id": network, "value": value})
            put(connection, neutron_rows.TABLES["networks"], {"id": network, "project_id": "p"})
            held = LockedObjects(connection, ResourceType.NETWORK, [network], alone=True)
            datapath.ensure_key(connection, network)
            for site in sites:
                held.map_to(site, now=self.clock.now())
            self.record(connection, ResourceType.NETWORK, network, sites)

    def change_network(self, network: str, value: int) -> None:
        with writing(self.engine) as connection:
            put(connection, NETWORKS, {"id": network, "value": value})
            self._note_network(connection, network)

    def delete_network(self, network: str) -> None:
        with writing(self.engine) as connection:
            drop(connection, NETWORKS, network)
            self._note_network(connection, network)
            drop(connection, neutron_rows.TABLES["networks"], network)

    def _note_network(self, connection: sa.Connection, network: str) -> None:
        held = LockedObjects(connection, ResourceType.NETWORK, [network])
        self.record(connection, ResourceType.NETWORK, network, held.sites(network))

    def create_port(self, value: int) -> bool:
        """Make a port of central's own; tell whether there was an address."""
        with writing(self.engine) as connection:
            address = self.free_address(connection, value)
            if address is None:
                try:
                    address = self._lease(connection, self.name, 1).first
                except errors.Exhausted:
                    return False
            if address in {row.address for row in connection.execute(sa.select(PORTS))}:
                return False
            port = self.make_port(connection, address, value)
            self.record(connection, ResourceType.SHADOW, port, self.sites)
        return True

    def delete_port(self, port: str) -> None:
        with writing(self.engine) as connection:
            drop(connection, PORTS, port)
            self.record(connection, ResourceType.SHADOW, port, self.sites)

    def lease_request(
        self, site: SiteName, count: int, parts: Sequence[Part]
    ) -> list[dict[str, str]]:
        """Take parts back, lease another block, and list all that the site then holds."""
        with writing(self.engine) as connection:
            pool.lock(connection, SUBNET, POOL_ID)
            used = {row.address for row in connection.execute(sa.select(PORTS.c.address))}
            leases = lease.read_latest(connection, SUBNET, POOL_ID)
            take_back(
                connection,
                [one for one in leases if one.site == site],
                parts,
                find_kept=lambda block: Kept(
                    again=[block] if any(number in block for number in used) else ()
                ),
                now=self.clock.now(),
            )
            if count:
                self._lease(connection, site, count)
            return [lease.to_state(one) for one in lease.list_leases(connection, site=site)]

    def _lease(self, connection: sa.Connection, site: SiteName, count: int) -> Block:
        taken_blocks = [one.block for one in lease.list_leases(connection)]
        free = arithmetic.count(arithmetic.subtract(POOL, taken_blocks))
        size = min(count, arithmetic.choose_size(free, SIZES)) if free else 1
        held = self.blocks(connection, site)
        block = arithmetic.allocate_block(POOL, taken_blocks, size, held=held)
        lease.insert(connection, SUBNET, POOL_ID, site, block, now=self.clock.now())
        return block

    def desired(self, lane: SiteName, keys: Sequence[IntentKey]) -> dict[IntentKey, Item]:
        networks, ports = rows(self, NETWORKS), rows(self, PORTS)
        with reading(self.engine) as connection:
            keys_of = datapath.list_keys(connection, networks)
        found = {}
        for key in keys:
            table = networks if key.type is ResourceType.NETWORK else ports
            state = table.get(key.id)
            if key.type is ResourceType.NETWORK and state:
                state["isthmus:datapath_key"] = keys_of[key.id]
            if key.type is ResourceType.SHADOW and state and state["home"] == lane:
                state = None
            found[key] = Item(key.type, key.id, state)
        return found

    def take_reports(
        self, site: SiteName, items: Sequence[Item], sequence: int
    ) -> list[ItemResult]:
        return self.take(items, lambda item: self._take_report(site, item, sequence))

    def _take_report(self, site: SiteName, item: Item, sequence: int) -> None:
        others = [one for one in self.sites if one != site]
        with writing(self.engine) as connection:
            lane_store.admit(connection, site, sequence)
            if item.state is None:
                if drop(connection, PORTS, item.id):
                    self.record(connection, ResourceType.SHADOW, item.id, others)
                return
            clash = connection.execute(
                sa.select(PORTS.c.id).where(
                    PORTS.c.address == item.state["address"], PORTS.c.id != item.id
                )
            ).scalar()
            if clash is not None:
                raise errors.Conflict(f"address {item.state['address']} is in use by {clash}")
            put(connection, PORTS, without_base(item.state))
            self.record(connection, ResourceType.SHADOW, item.id, others)


class Site(Tier):
    """A tier that makes ports of its own."""

    def __init__(self, name: SiteName, clock: FakeClock) -> None:
        super().__init__(name, clock)
        self.journal = SqlJournal(self.engine, forget=self._forget_reported)

    @staticmethod
    def _forget_reported(connection: sa.Connection, keys: Sequence[IntentKey]) -> None:
        site_mapping.remove(connection, ResourceType.PORT, [key.id for key in keys])

    def create_port(self, value: int) -> bool:
        """Make a port; tell whether there was an address."""
        with writing(self.engine) as connection:
            address = self.free_address(connection, value)
            if address is None:
                return False
            port = self.make_port(connection, address, value)
            self.record(connection, ResourceType.PORT, port, [CENTRAL])
        return True

    def change_port(self, port: str, value: int) -> None:
        with writing(self.engine) as connection:
            connection.execute(sa.update(PORTS).where(PORTS.c.id == port).values(value=value))
            self.record(connection, ResourceType.PORT, port, [CENTRAL])

    def delete_port(self, port: str) -> None:
        with writing(self.engine) as connection:
            drop(connection, PORTS, port)
            self.record(connection, ResourceType.PORT, port, [CENTRAL])

    def add_leases(self, states: Iterable[Mapping[str, str]]) -> None:
        """Take into use what central says that this site holds."""
        with writing(self.engine) as connection:
            site_lease.add(connection, self.name, states)

    def take_answer(self, parts: Sequence[Return], states: Sequence[Mapping[str, str]]) -> None:
        """Take what central answers when it was told of parts that go back."""
        with writing(self.engine) as connection:
            gone = {one.id for one in parts if not site_lease.is_listed(one, states)}
            returns.acknowledge(connection, gone)
            site_lease.add(connection, self.name, states)

    def set_aside_idle(self) -> None:
        """Stop to use whole blocks that are not needed."""
        with writing(self.engine) as connection:
            used = self._used(connection)
            held = site_lease.read_leases(connection, SUBNET, POOL_ID)
            plan = arithmetic.plan_returns([block for _, block in held], used, LOW_WATER)
            whole = {one.block for one in plan if one.keep is None}
            idle = [
                one
                for one, block in held
                if block in whole and site_lease.lock(connection, one) == block
            ]
            site_lease.set_aside(connection, POOL_ID, idle)

    def cut_out_idle(self, pick: int, count: int) -> None:
        """Stop to use so many idle numbers of one lease, as where central asks for them."""
        with writing(self.engine) as connection:
            held = sorted(site_lease.read_leases(connection, SUBNET, POOL_ID))
            if held:
                lease_id, block = held[pick % len(held)]
                assert site_lease.lock(connection, lease_id) == block
                runs = arithmetic.plan_recall(block, self._used(connection), count)
                site_lease.cut_out(connection, self.name, POOL_ID, lease_id, runs)

    def _used(self, connection: sa.Connection) -> set[int]:
        return {row.address for row in connection.execute(sa.select(PORTS.c.address))}

    def going_back(self) -> list[Return]:
        """List what central has yet to take back."""
        with reading(self.engine) as connection:
            return returns.list_unacknowledged(connection, POOL_ID, older_s=0)

    def forget_returns(self) -> None:
        """Forget what went back; no answer is on its way."""
        with writing(self.engine) as connection:
            returns.forget(connection, returns.list_acknowledged(connection))

    def read(self, keys: Sequence[IntentKey]) -> dict[IntentKey, Item]:
        ports = rows(self, PORTS)
        with reading(self.engine) as connection:
            bases = site_mapping.find_bases(connection, list(ports))
        states = {one: {**row, "isthmus:base": bases.get(one)} for one, row in ports.items()}
        return {key: Item(key.type, key.id, states.get(key.id)) for key in keys}

    def agree(self, items: Sequence[Item], results: Sequence[ItemResult]) -> None:
        """Note what central has taken of reports."""
        well = {result.id for result in results if result.taken}
        with writing(self.engine) as connection:
            for item in items:
                if item.state is not None and item.id in well:
                    site_mapping.agree(
                        connection,
                        item.id,
                        self.name,
                        project_id="p",
                        before=item.state["isthmus:base"],
                        base=without_base(item.state),
                    )

    def apply(self, items: Sequence[Item], sequence: int) -> list[ItemResult]:
        return self.take(items, lambda item: self._apply(item, sequence))

    def _apply(self, item: Item, sequence: int) -> None:
        table = NETWORKS if item.type is ResourceType.NETWORK else SHADOWS
        with writing(self.engine) as connection:
            lane_store.admit(connection, CENTRAL, sequence)
            if item.state is None:
                drop(connection, table, item.id)
                if item.type is ResourceType.NETWORK:
                    site_mapping.forget(connection, item.type, item.id)
                return
            if item.type is ResourceType.NETWORK:
                site_mapping.add(connection, item.type, item.id, self.name, project_id="p")
                datapath.record(connection, item.id, int(item.state["isthmus:datapath_key"]))
            put(connection, table, {"id": item.id, "value": item.state["value"]})
