"""Placement's database: providers, what they offer, and what of it is taken."""

import sys
from collections import defaultdict

import sqlalchemy as sa

from isthmus.model.compute.cloud import Provider, ResourceInventory
from isthmus.store.nova import tables
from isthmus.store.nova.reading import PLACEMENT_DATABASE, reading


def collect_providers(
    url: str, timeout_s: float
) -> tuple[tuple[Provider, ...], tuple[ResourceInventory, ...]]:
    """Read all providers with traits and aggregates, and all inventories with their usage.

    Raises:
        Unreachable: the database does not answer.
    """
    with reading(url, timeout_s, PLACEMENT_DATABASE) as connection:
        return _list_providers(connection), _list_inventories(connection)


def collect_trait_names(url: str, timeout_s: float) -> frozenset[str]:
    """Read all traits that Placement knows, also those that no provider has.

    Raises:
        Unreachable: the database does not answer.
    """
    with reading(url, timeout_s, PLACEMENT_DATABASE) as connection:
        return frozenset(connection.scalars(sa.select(tables.TRAITS.c.name)))


def collect_consumers(url: str, timeout_s: float) -> dict[str, str]:
    """Read who holds allocations, and of which root provider, both by uuid.

    Raises:
        Unreachable: the database does not answer.
    """
    taken, provider = tables.ALLOCATIONS.c, tables.RESOURCE_PROVIDERS
    root = provider.alias()
    with reading(url, timeout_s, PLACEMENT_DATABASE) as connection:
        statement = (
            sa.select(taken.consumer_id, root.c.uuid)
            .join_from(tables.ALLOCATIONS, provider, provider.c.id == taken.resource_provider_id)
            .join(root, root.c.id == provider.c.root_provider_id)
            .distinct()
        )
        return {row[0]: row[1] for row in connection.execute(statement)}


def _list_providers(connection: sa.Connection) -> tuple[Provider, ...]:
    provider = tables.RESOURCE_PROVIDERS
    traits = _join(connection, tables.PROVIDER_TRAITS, "trait_id", tables.TRAITS, "name")
    aggregates = _join(
        connection,
        tables.PROVIDER_AGGREGATES,
        "aggregate_id",
        tables.PLACEMENT_AGGREGATES,
        "uuid",
    )
    rows = connection.execute(sa.select(provider).order_by(provider.c.id)).mappings()
    return tuple(
        Provider(
            id=row["id"],
            uuid=row["uuid"],
            name=row["name"] or "",
            root=row["root_provider_id"] or row["id"],
            traits=frozenset(traits[row["id"]]),
            aggregates=frozenset(aggregates[row["id"]]),
        )
        for row in rows
    )


def _join(
    connection: sa.Connection, members: sa.Table, key: str, named: sa.Table, name: str
) -> dict[int, set[str]]:
    """Return for each provider the names that a table between gives it."""
    found: dict[int, set[str]] = defaultdict(set)
    for provider, text in connection.execute(
        sa.select(members.c.resource_provider_id, named.c[name]).join_from(
            members, named, named.c.id == members.c[key]
        )
    ):
        found[provider].add(sys.intern(text))
    return found


def _list_inventories(connection: sa.Connection) -> tuple[ResourceInventory, ...]:
    row, taken = tables.INVENTORIES, tables.ALLOCATIONS
    used = {
        (provider, kind): int(amount)
        for provider, kind, amount in connection.execute(
            sa.select(
                taken.c.resource_provider_id, taken.c.resource_class_id, sa.func.sum(taken.c.used)
            ).group_by(taken.c.resource_provider_id, taken.c.resource_class_id)
        )
    }
    table = tables.RESOURCE_CLASSES
    names: dict[int, str] = {
        row.id: row.name for row in connection.execute(sa.select(table.c.id, table.c.name))
    }
    # Placement compares twice: in SQL, where MariaDB has the ratio in single precision, and in
    # Python, with the ratio as it is printed. Both must hold.
    exact = (row.c.total - row.c.reserved) * row.c.allocation_ratio
    rows = connection.execute(sa.select(row, exact.label("exact"))).mappings()
    return tuple(
        ResourceInventory(
            provider=one["resource_provider_id"],
            resource_class=names.get(one["resource_class_id"], ""),
            capacity=min(
                int(one["exact"]),
                int((one["total"] - one["reserved"]) * one["allocation_ratio"]),
            ),
            used=used.get((one["resource_provider_id"], one["resource_class_id"]), 0),
            min_unit=one["min_unit"],
            max_unit=one["max_unit"],
            step_size=max(1, one["step_size"]),
        )
        for one in rows
    )
