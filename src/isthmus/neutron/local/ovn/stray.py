"""Ports that OVN has and Neutron's database does not know, after it was restored from a backup.

What a site made since the backup central gives back, as far as it was told: a site that was cut off
had told nothing. Of such a port only OVN knows, and its server may run on. Its addresses and its
key are not allocated again while its row is there.
"""

import ipaddress
from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from oslo_log import log as logging

from isthmus import errors
from isthmus.dataplane.kind.port_key import PORT_KEY, SwitchPort
from isthmus.dataplane.kind.switch_key import SWITCH_KEY
from isthmus.dataplane.scope import PORTS, Scope
from isthmus.model.dataplane.ovn import SWITCH_PREFIX
from isthmus.model.form import is_id
from isthmus.model.lease import PoolKind
from isthmus.neutron.local.ovn import dataplane, desired_rows
from isthmus.store.sql.engine import reading

LOG = logging.getLogger(__name__)

_PORTS = models_v2.Port.__table__
_SUBNETS = models_v2.Subnet.__table__
_NETWORKS = models_v2.Network.__table__
_SWITCH = "Logical_Switch"
#: Types of the rows of servers' ports.
_OF_SERVERS = frozenset({"", "virtual"})
#: Limits of a log line: names, and characters of each.
_MOST_NAMED, _MOST_SHOWN = 10, 64


def list_numbers(engine: sa.Engine) -> list[dict[str, str]]:
    """List the addresses and keys of ports of servers that OVN has and the database does not.

    Args:
        engine: the site's database.

    Returns:
        In the form in which central names numbers to set aside: kind, pool_id, number, port_id.

    Raises:
        Unreachable: this process has no connection to OVN yet.
    """
    with reading(engine) as connection:
        strays = _find(connection, desired_rows.list_networks(connection))
        cidrs: dict[str, list[tuple[str, Any]]] = {}
        subnets = sa.select(_SUBNETS.c.id, _SUBNETS.c.network_id, _SUBNETS.c.cidr)
        for row in connection.execute(subnets):
            found = cidrs.setdefault(row.network_id, [])
            found.append((row.id, ipaddress.ip_network(row.cidr)))
    return [
        one
        for port_id, port in strays.items()
        for one in _numbers_of(port_id, port, cidrs.get(port.network_id, []))
    ]


def list_ports(engine: sa.Engine) -> list[tuple[str, str, int, list[str]]]:
    """List ports of servers that OVN has and the database does not, for a central that forgot too.

    On networks, too, of which the restored database knows nothing: central may know them.

    Args:
        engine: the site's database.

    Returns:
        Of each its id, network, key (0: it asks for none) and addresses, as numbers in text.

    Raises:
        Unreachable: this process has no connection to OVN yet.
    """
    switches = _leave_out_foreign(
        name.removeprefix(SWITCH_PREFIX)
        for name in (row.name for row in dataplane.get_reconciler().rows().nb.rows(_SWITCH))
        if name.startswith(SWITCH_PREFIX)
    )
    with reading(engine) as connection:
        known = desired_rows.list_networks(connection).keys()
        own = set(connection.scalars(sa.select(_NETWORKS.c.id))) - known
        strays = _find(connection, switches - own)
    return [
        (
            port_id,
            one.network_id,
            one.port_key or 0,
            [str(int(address)) for address in _addresses_of(one)],
        )
        for port_id, one in strays.items()
    ]


def list_switch_keys(network_ids: Collection[str]) -> dict[str, int]:
    """List the tunnel keys that the switches of networks ask for, of those that ask for one.

    The servers of ports that OVN alone knows send by them.

    Raises:
        Unreachable: this process has no connection to OVN yet.
    """
    rows = dataplane.get_reconciler().rows()
    switches = SWITCH_KEY.read(rows, Scope.everything(network_ids))
    return {one: switch.key for one, switch in switches.items() if switch.key is not None}


def _find(connection: sa.Connection, networks: Collection[str]) -> dict[str, SwitchPort]:
    """Find servers' ports on networks, which OVN has and the database does not."""
    rows = dataplane.get_reconciler().rows()
    there = {
        port_id: one
        for port_id, one in PORT_KEY.read(rows, Scope.everything(networks)).items()
        if one.type in _OF_SERVERS
    }
    known = sa.select(_PORTS.c.id).where(_PORTS.c.network_id.in_(sorted(networks)))
    strays = _leave_out_foreign(there.keys() - set(connection.scalars(known)))
    return {one: there[one] for one in sorted(strays)}


def _leave_out_foreign(names: Iterable[str]) -> set[str]:
    """Leave out what Neutron never names a row of its own, and log it."""
    every = set(names)
    ours = {one for one in every if is_id(one)}
    if foreign := sorted(every - ours):
        shown = ", ".join(repr(one[:_MOST_SHOWN]) for one in foreign[:_MOST_NAMED])
        LOG.warning("OVN has %d rows that are none of Neutron's, ignored: %s", len(foreign), shown)
    return ours


def _numbers_of(
    port_id: str, port: SwitchPort, subnets: Collection[tuple[str, Any]]
) -> list[dict[str, str]]:
    found = [
        (PoolKind.SUBNET, subnet_id, int(address))
        for address in _addresses_of(port)
        for subnet_id, cidr in subnets
        if address in cidr
    ]
    if port.port_key is not None:
        found.append((PoolKind.PORT_KEY, port.network_id, port.port_key))
    return [
        {"kind": kind.value, "pool_id": pool_id, "number": str(number), "port_id": port_id}
        for kind, pool_id, number in found
    ]


def _addresses_of(port: SwitchPort) -> list[Any]:
    """Return the addresses of a row, which has them behind MACs; other words are none."""
    found = []
    for word in sorted(" ".join(port.addresses).split()):
        try:
            found.append(ipaddress.ip_address(word))
        except ValueError:
            continue
    return found


def find_standing(
    connection: sa.Connection, kind: PoolKind, given_up: Collection[tuple[int, str]]
) -> set[tuple[int, str]]:
    """Return which numbers still stand in OVN with the ports that gave them up.

    Those of a port that was deleted or forgotten do as long as OVN has its row: its server may run
    on. Those of a port that lives on, with another address, do until its row says so.

    Args:
        connection: of the site's database.
        kind: what the numbers are.
        given_up: the numbers, and the ports that had them.

    Returns:
        Those; all of them while this process has no connection to OVN.
    """
    ports = {port_id for _, port_id in given_up}
    try:
        rows = dataplane.get_reconciler().rows()
    except errors.Transient:
        return set(given_up)
    there = PORT_KEY.read(rows, Scope({PORTS: frozenset(ports)}))
    living = set(connection.scalars(sa.select(_PORTS.c.id).where(_PORTS.c.id.in_(sorted(ports)))))
    return {
        (number, port_id)
        for number, port_id in given_up
        if port_id in there and (port_id not in living or _has_number(there[port_id], kind, number))
    }


def _has_number(port: SwitchPort, kind: PoolKind, number: int) -> bool:
    if kind is PoolKind.PORT_KEY:
        return port.port_key == number
    return number in {int(one) for one in _addresses_of(port)}
