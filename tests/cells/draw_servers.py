"""Servers in cells by dice: ties, NULL, deleted and hidden ones, and what is asked of them."""

import datetime
import random
import uuid
from typing import Any

import sqlalchemy as sa

START = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - as Nova has times
SORTED = (
    "created_at",
    "display_name",
    "vm_state",
    "task_state",
    "host",
    "updated_at",
    "power_state",
    "project_id",
    "locked_by",
    "uuid",
)
#: Where there may be NULL.
NULLED = ("locked_by", "task_state", "host", "updated_at", "display_name")


def draw_row(dice: random.Random, number: int, *, nulls: bool) -> dict[str, Any]:
    """Draw a row of `instances`."""
    names = ["a", "b", "web-1", "web-2", "ż"]
    row: dict[str, Any] = {
        "id": number,
        "uuid": str(uuid.UUID(int=dice.getrandbits(128), version=4)),
        "created_at": START + datetime.timedelta(minutes=dice.randint(0, 7)),
        "updated_at": START + datetime.timedelta(minutes=dice.randint(0, 3)),
        "display_name": dice.choice(names),
        "vm_state": dice.choice(("active", "stopped", "error", "soft-delete")),
        "task_state": dice.choice(("rebooting", "migrating")),
        "host": dice.choice(("h1", "h2", "h3")),
        "power_state": dice.choice((1, 4)),
        "project_id": dice.choice(("p1", "p2")),
        "user_id": dice.choice(("u1", "u2")),
        "locked_by": dice.choice(("admin", "owner")),
        "locked": dice.random() < 0.3,
        "deleted": number if dice.random() < 0.2 else 0,
        "hidden": dice.choice((False, False, False, None, True)),
    }
    if nulls:
        row |= {one: None for one in NULLED if dice.random() < 0.3}
    return row


def draw_case(dice: random.Random, uuids: list[str]) -> dict[str, Any]:
    """Draw what is asked: sort keys, filters, a limit, a marker."""
    keys = dice.sample(SORTED, dice.choice((0, 1, 1, 2, 3)))
    filters: dict[str, Any] = {}
    if dice.random() < 0.8:
        filters["deleted"] = dice.random() < 0.2
    if dice.random() < 0.4:
        filters["project_id"] = dice.choice(("p1", "p2"))
    if dice.random() < 0.2:
        filters["vm_state"] = dice.sample(["active", "error", "stopped"], 2)
    if dice.random() < 0.2:
        filters["display_name"] = dice.choice(("web", "^a", "1$", "w.b"))
    if dice.random() < 0.2:
        filters["host"] = dice.choice(("h1", "h2"))
    if dice.random() < 0.1:
        filters["locked"] = dice.random() < 0.5
    return {
        "one": False,
        "sort": [[one, dice.choice(("asc", "desc"))] for one in keys],
        "filters": filters,
        "limit": dice.choice((None, 1, 5, 10, 40)),
        "marker": dice.choice((None, dice.choice(uuids))),
        "batch": dice.choice((None, 3, 100)),
    }


def fill(urls: list[str], seed: int, *, nulls: bool, each: int = 40) -> list[str]:
    """Fill the API database and those of cells; the last of these gets the rows of all."""
    dice = random.Random(seed)
    api, *cells, whole = urls
    everything: list[dict[str, Any]] = []
    mappings = []
    for number, url in enumerate(cells):
        rows = [draw_row(dice, one, nulls=nulls) for one in range(1, each + 1)]
        insert(url, "instances", rows)
        insert(
            url,
            "instance_metadata",
            [
                {
                    "instance_uuid": one["uuid"],
                    "key": key,
                    "value": f'v{key} "ż\\\n%',
                    "deleted": one["deleted"],
                }
                for one in rows
                for key in dice.sample("xyz", dice.randint(0, 2))
            ],
        )
        for one in rows:
            own = {**one, "id": len(everything) + 1}
            everything.append({**own, "deleted": own["id"] if one["deleted"] else 0})
            mappings.append(
                {
                    "instance_uuid": one["uuid"],
                    "cell_id": number + 1,
                    "project_id": one["project_id"],
                    "queued_for_delete": bool(one["deleted"]),
                    "created_at": one["created_at"],
                }
            )
    insert(whole, "instances", everything)
    insert(
        api,
        "cell_mappings",
        [
            {
                "id": number + 1,
                "uuid": str(uuid.UUID(int=number)),
                "name": f"cell{number}",
                "transport_url": "none:///",
                "database_connection": url,
                "disabled": False,
            }
            for number, url in enumerate(cells)
        ],
    )
    insert(api, "instance_mappings", mappings)
    return [one["uuid"] for one in everything]


def insert(url: str, table: str, rows: list[dict[str, Any]]) -> None:
    """Insert rows that have the same columns."""
    if not rows:
        return
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        reflected = sa.Table(table, sa.MetaData(), autoload_with=connection)
        connection.execute(reflected.insert(), rows)
    engine.dispose()
