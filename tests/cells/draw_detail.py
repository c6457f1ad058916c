"""Servers in cells with all that `GET /servers/detail` shows of them, by dice."""

import datetime
import json
import random
from typing import Any

import sqlalchemy as sa
from tests.cells.draw_servers import fill, insert

ZONE_HOSTS = ("h1",)


def draw_networks(dice: random.Random) -> str:
    """Draw what Nova's cache says of a server's network."""
    kind, address = dice.choice(((4, "10.0.0.5"), (6, "2001:db8::5")))
    floating = [{"address": "172.24.4.9", "type": "floating", "version": 4, "meta": {}}]
    return json.dumps(
        [
            {
                "id": "11111111-1111-4111-8111-111111111111",
                "address": "fa:16:3e:00:00:01",
                "type": "ovs",
                "network": {
                    "id": "22222222-2222-4222-8222-222222222222",
                    "bridge": "br-int",
                    "label": label,
                    "meta": {},
                    "subnets": [
                        {
                            "cidr": "10.0.0.0/24",
                            "dns": [],
                            "gateway": {"address": "10.0.0.1", "type": "gateway", "version": 4},
                            "ips": [
                                {
                                    "address": address,
                                    "type": "fixed",
                                    "version": kind,
                                    "meta": {},
                                    "floating_ips": dice.choice(([], floating)),
                                }
                            ],
                            "routes": [],
                            "version": kind,
                            "meta": {},
                        }
                    ],
                },
            }
            for label in dice.sample(["private", "web", "web"], dice.randint(0, 2))
        ]
    )


def fill_details(
    urls: list[str], seed: int, texts: dict[str, Any], *, nulls: bool = False, each: int = 40
) -> list[str]:
    """Fill an API database and cells; the last one has the rows of all, and is not mapped.

    Args:
        urls: of the API database, the cells, and the last one.
        seed: of the dice.
        texts: as Nova's objects write them.
        nulls: there may be NULL in what lists are sorted by.
        each: servers of a cell.
    """
    uuids = fill(urls, seed, nulls=nulls, each=each)
    dice = random.Random(seed)
    api, *cells, _ = urls
    for url in cells:
        _fill_cell(url, dice, texts)
    insert(
        api,
        "request_specs",
        [
            {"instance_uuid": one, "spec": dice.choice(texts["specs"])}
            for one in uuids
            if dice.random() < 0.8
        ],
    )
    insert(api, "aggregates", [{"id": 1, "uuid": "a1", "name": "zone"}])
    insert(api, "aggregate_hosts", [{"aggregate_id": 1, "host": one} for one in ZONE_HOSTS])
    insert(
        api,
        "aggregate_metadata",
        [{"aggregate_id": 1, "key": "availability_zone", "value": "az1"}],
    )
    return uuids


def _fill_cell(url: str, dice: random.Random, texts: dict[str, Any]) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        table = sa.Table("instances", sa.MetaData(), autoload_with=connection)
        servers = connection.execute(sa.select(table).order_by(table.c.id)).mappings().all()
        for one in servers:
            connection.execute(
                table.update().where(table.c.id == one["id"]).values(**_draw_columns(dice, one))
            )
    engine.dispose()
    every = {one["uuid"]: one["deleted"] for one in servers}

    def some(share: float) -> list[str]:
        return [one for one in every if dice.random() < share]

    insert(
        url,
        "instance_extra",
        [
            {
                "instance_uuid": one,
                "flavor": dice.choice(texts["flavors"]),
                "trusted_certs": dice.choice((None, texts["certs"])),
                "deleted": 0,
            }
            for one in every
        ],
    )
    caches = [
        {"instance_uuid": one, "network_info": draw_networks(dice), "deleted": 0}
        for one in some(0.8)
    ]
    insert(url, "instance_info_caches", caches)
    insert(
        url,
        "instance_system_metadata",
        [
            {"instance_uuid": one, "key": key, "value": f"{key}-value", "deleted": every[one]}
            for one in every
            for key in dice.sample(
                ["image_hw_disk_bus", "image_odd", "locked_reason", "boot_roles"], 2
            )
        ],
    )
    insert(
        url,
        "tags",
        [
            {"resource_id": one, "tag": tag}
            for one in some(0.5)
            for tag in dice.sample(["blue", "red", "Green"], 2)
        ],
    )
    insert(
        url,
        "instance_faults",
        [
            {
                "instance_uuid": one,
                "code": dice.choice((500, 404)),
                "message": f"fault {number} of {one}",
                "details": dice.choice((None, "Traceback")),
                "host": "h1",
                "created_at": datetime.datetime(2026, 2, 1 + number),  # noqa: DTZ001 - as Nova
                "deleted": 0,
            }
            for one in some(0.7)
            for number in range(2)
        ],
    )
    insert(
        url,
        "block_device_mapping",
        [
            {
                "instance_uuid": one,
                "source_type": "volume",
                "destination_type": "volume",
                "volume_id": volume,
                "delete_on_termination": dice.choice((True, False)),
                "deleted": 0,
                "boot_index": 0,
                "uuid": None,
            }
            for one in some(0.5)
            for volume in ("vol-1", None, "vol-2")[: dice.randint(1, 3)]
        ],
    )
    insert(
        url,
        "services",
        [
            {
                "host": host,
                "binary": binary,
                "topic": binary,
                "report_count": 1,
                "disabled": host == "h2",
                "forced_down": host == "h3",
                "last_seen_up": datetime.datetime(2026, 1, 1),  # noqa: DTZ001 - as Nova has times
                "created_at": datetime.datetime(2026, 1, 1),  # noqa: DTZ001 - as Nova has times
                "version": 70,
                "deleted": 0,
            }
            for host in ("h1", "h2", "h3")
            for binary in ("nova-compute", "nova-other")
        ],
    )


def _draw_columns(dice: random.Random, row: Any) -> dict[str, Any]:
    moment = row["created_at"]
    return {
        "image_ref": dice.choice(("", "70a599e0-31e7-49b7-b260-868f441e862b")),
        "hostname": f"host-{row['id']}",
        "instance_type_id": dice.choice((1, 2)),
        "launch_index": 0,
        "key_name": dice.choice((None, "key")),
        "memory_mb": 2048,
        "vcpus": 1,
        "root_gb": 20,
        "ephemeral_gb": 0,
        "node": row["host"],
        "reservation_id": f"r-{row['id']}",
        "user_data": dice.choice((None, "aGVsbG8=")),
        "availability_zone": dice.choice((None, "nova", "az1")),
        "display_description": dice.choice((None, "what it is for")),
        "root_device_name": "/dev/vda",
        "config_drive": dice.choice(("", "True")),
        "access_ip_v4": dice.choice((None, "192.0.2.4")),
        "access_ip_v6": dice.choice((None, "2001:db8::4")),
        "auto_disk_config": dice.choice((True, False, None)),
        "progress": dice.choice((0, 50, None)),
        "launched_at": dice.choice((None, moment)),
        "terminated_at": None,
        "cleaned": 0,
        "shutdown_terminate": False,
        "disable_terminate": False,
    }
