"""Recalls: asks sites for idle addresses of their leases.

What a tenant can have must not depend on the block in which it lies. So before an address in a
site's block is refused, the site is asked for it by an intent about the lease, and the call waits a
moment. The site returns what is idle and keeps what it uses; in that case the refusal is correct.
Nothing here runs inside a transaction of Neutron's, and unreachable sites are not waited for.
"""

import ipaddress
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import context as n_context

from isthmus.federation.leases import lease as arithmetic
from isthmus.model.intent import IntentKey
from isthmus.model.lease import Block, PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.neutron.central import silence
from isthmus.neutron.central.leases import pool
from isthmus.neutron.db.leased import list_leased
from isthmus.neutron.db.session import reading, writing
from isthmus.store.delivery import journal
from isthmus.store.leases import recall as store

_LOOK_S = 0.1

_SUBNETS = models_v2.Subnet


def ask(subnet_id: str, wanted: Sequence[Block]) -> bool:
    """Ask the sites that hold a part of these numbers to return what is idle of it.

    Returns:
        Whether any site was asked.
    """
    with writing(n_context.get_admin_context()) as connection:
        locked = pool.lock_only(connection, PoolKind.SUBNET, subnet_id)
        able = silence.list_able(connection)
        parts = [
            (lease, Block(max(part.first, lease.block.first), min(part.last, lease.block.last)))
            for lease in pool.read(locked).leases
            if lease.site in able
            for part in wanted
            if lease.block.overlaps(part)
        ]
        for lease, part in parts:
            store.record(connection, lease, part, part.size)
        keys = {IntentKey(lease.site, ResourceType.LEASE, lease.id) for lease, _ in parts}
        journal.record(connection, keys)
    return bool(parts)


def ask_idle(subnet_id: str, *, but: SiteName = CENTRAL) -> bool:
    """Ask every site for half of what it does not use of a subnet that is leased out.

    Args:
        subnet_id: the subnet.
        but: the site that needs addresses.

    Returns:
        Whether any site was asked.
    """
    with writing(n_context.get_admin_context()) as connection:
        locked = pool.lock_only(connection, PoolKind.SUBNET, subnet_id)
        able = silence.list_able(connection) - {but}
        leases = [lease for lease in pool.read(locked).leases if lease.site in able]
        # A site that has received the request and not answered is asked again: it may have lost it.
        on_way = store.list_on_way(connection, subnet_id)
        again = [lease for lease in leases if lease.id not in on_way]
        for lease in again:
            store.record(connection, lease, lease.block, max(1, lease.block.size // 2))
        keys = {IntentKey(lease.site, ResourceType.LEASE, lease.id) for lease in again}
        journal.record(connection, keys)
    return bool(leases)


def wait(subnet_ids: Iterable[str], patience_s: float) -> None:
    """Wait until every reachable site has answered, or the timeout is over."""
    deadline = time.monotonic() + patience_s
    left = set(subnet_ids)
    pause = threading.Event()
    while left and time.monotonic() < deadline:
        with reading(n_context.get_admin_context()) as connection:
            able = silence.list_able(connection)
            left = {one for one in left if store.is_asked(connection, one, able)}
        if left:
            pause.wait(_LOOK_S)


def list_named(port: Any, network_id: str) -> dict[str, list[Block]]:
    """List the requested addresses that lie in a site's block, by subnet."""
    fixed_ips = port.get("fixed_ips")
    named = [
        (one.get("subnet_id"), str(one["ip_address"]))
        for one in (fixed_ips if isinstance(fixed_ips, list) else ())
        if isinstance(one, dict) and one.get("ip_address")
    ]
    found: dict[str, list[Block]] = {}
    if not named:
        return found
    with reading(n_context.get_admin_context()) as connection:
        subnets = connection.execute(
            sa.select(_SUBNETS.id, _SUBNETS.cidr).where(_SUBNETS.network_id == network_id)
        ).all()
        for subnet_id, text in named:
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                continue  # Neutron refuses it
            for row in subnets:
                if subnet_id in (None, row.id) and address in ipaddress.ip_network(row.cidr):
                    one = Block(int(address), int(address))
                    if pool.is_leased_out(connection, row.id, one):
                        found.setdefault(row.id, []).append(one)
    return found


def without_present(wanted: Iterable[Any], present: Iterable[Any]) -> list[Any]:
    """Leave out of requested fixed IPs those that the port has: its site cannot give them back."""
    has = {_normal(one) for one in present}
    return [one for one in wanted if not isinstance(one, dict) or _normal(one) not in has]


def _normal(fixed_ip: Any) -> str:
    """Return the address of a fixed IP in the one form; as it is where it is no address."""
    text = str(fixed_ip.get("ip_address"))
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def list_cut(subnet_id: str, new_pools: Iterable[Any]) -> list[Block]:
    """List the parts of sites' blocks that new allocation pools would leave out."""
    try:
        new = [
            Block(int(ipaddress.ip_address(one["start"])), int(ipaddress.ip_address(one["end"])))
            for one in new_pools
        ]
    except (AssertionError, KeyError, TypeError, ValueError):
        return []  # Neutron refuses it
    with reading(n_context.get_admin_context()) as connection:
        old = pool.list_blocks(connection, subnet_id)
        lost = arithmetic.subtract(old, new)
        return [hole for hole in lost if pool.is_leased_out(connection, subnet_id, hole)]


def list_pools(network_id: str) -> list[str]:
    """List the subnets of a network whose addresses are allocated one by one."""
    with reading(n_context.get_admin_context()) as connection:
        return sorted(list_leased(connection, network_id))
