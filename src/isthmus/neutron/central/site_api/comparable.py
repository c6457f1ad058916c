"""The part of a port that is merged: shared attributes, sorted, without derived addresses."""

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
    """Return the part of a port that is merged; each tier derives the other addresses itself."""
    return merge.normalise({**port, "fixed_ips": without_derived(port["fixed_ips"])}, SHARED)


def without_derived(fixed_ips: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Leave out addresses that Neutron derives from the MAC, and would create twice."""
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
    # An address of a subnet that does not exist here stays, so that it is refused by its id.
    return [
        {"subnet_id": one["subnet_id"], "ip_address": one["ip_address"]}
        for one in ips
        if one["subnet_id"] not in derived
    ]
