"""What is merged of a port: its shared attributes, in one order, without derived addresses."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import context as n_context

from isthmus.federation import merge
from isthmus.federation.port import SHARED
from isthmus.neutron.db import leased
from isthmus.neutron.db.session import reading


def comparable(port: dict[str, Any]) -> dict[str, Any]:
    """Give what is merged of a port; each tier adds derived addresses by itself, and so is base."""
    return merge.normalise({**port, "fixed_ips": without_derived(port["fixed_ips"])}, SHARED)


def without_derived(fixed_ips: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Leave out addresses that Neutron makes of the MAC, and would make a second time."""
    ips = list(fixed_ips)
    query = sa.select(*leased.COLUMNS).where(
        models_v2.Subnet.id.in_([one["subnet_id"] for one in ips])
    )
    with reading(n_context.get_admin_context()) as connection:
        derived = {
            row.id
            for row in connection.execute(query)
            if not leased.needs_leases(dict(row._mapping))
        }
    # An address of a subnet that is not here (any more) stays, to be refused by its name.
    return [
        {"subnet_id": one["subnet_id"], "ip_address": one["ip_address"]}
        for one in ips
        if one["subnet_id"] not in derived
    ]
