"""Tunnel keys in the rows that Neutron's own OVN driver writes.

Every port of a stretched network needs `requested-tnl-key` in the very transaction that makes its
row: a key that changes later leaves stale flows on hypervisors. Neutron's driver has no hook for
that, and replaces a port's options with every update. So its client class is replaced by a subclass
before the first client is made; the OVN driver, the L3 plugin, the maintenance worker and the sync
tool all make theirs by that name. It also takes away what one of them wrote of an object that was
deleted meanwhile.

It also writes a port anew whose row OVN has lost, where the port is updated: Neutron leaves that to
its maintenance worker, which looks every five minutes.

The connections of API processes are replaced likewise, for the sake of the thread that carries
every OVN transaction of the process and holds the connection's lock meanwhile:

* Rows of shadow ports go round the hash ring by which those processes share the work of events.
  There is nothing in them for Neutron to do.
* The thread no longer writes to Neutron's database to say that the process is alive; a periodic
  task in a thread of its own does that anyway. On SQLite the write may wait for a transaction that
  itself waits for the connection's lock (`chassis_exists` in a port's precommit), for a minute.

A test holds what is overridden against the installed Neutron.
"""

import contextlib
import datetime
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.common.ovn import constants as ovn_const
from neutron.common.ovn import utils as ovn_utils
from neutron.db import models_v2
from neutron.db import ovn_revision_numbers_db as db_rev
from neutron.db.models import ovn as ovn_models
from neutron.plugins.ml2.drivers.ovn.mech_driver.ovsdb import ovn_client, ovsdb_monitor
from neutron_lib import context as n_context
from neutron_lib.db import standard_attr
from oslo_log import log as logging
from oslo_utils import timeutils
from typing_extensions import override

from isthmus.clients.ovsdb.ovn_connection import is_ours
from isthmus.model.dataplane.ovn import KEY_OPTION, LOCALNET_KEY
from isthmus.neutron.db.session import reading
from isthmus.store.ports import datapath, port_key

LOG = logging.getLogger(__name__)

_PORTS = models_v2.Port.__table__
_NOTES = ovn_models.OVNRevisionNumbers.__table__
_ATTRIBUTES = standard_attr.StandardAttribute.__table__

#: How often a router advertises itself on a stretched network, in seconds. A server that came up
#: before the router has the responder for its default router, which is no way out, until it hears
#: the router: within 10 minutes by OVN's default. RFC 4861 6.2.1 allows 4 seconds and more, and a
#: minimum of 3 up to three quarters of that. OVN sends them to local ports alone.
ADVERTISING = {"min_interval": "3", "max_interval": "10"}


class KeyedOvnClient(ovn_client.OVNClient):
    """Neutron's OVN client, with the keys of stretched networks in what it writes."""

    @override
    def _get_port_options(self, context: Any, port: Any) -> Any:
        info = super()._get_port_options(context, port)
        key = _find_port_key(context, port["id"])
        if key is not None:
            info.options[KEY_OPTION] = str(key)
        return info

    @override
    def update_port(self, context: Any, port: Any, port_object: Any = None) -> None:
        """Write the row anew where OVN has lost it; Neutron's own leaves such a port as it is."""
        if not (self._is_lost(port) and self._write_anew(context, port)):
            super().update_port(context, port, port_object=port_object)

    def _is_lost(self, port: Any) -> bool:
        """Tell whether a port had a row once, and has none."""
        if ovn_utils.is_lsp_ignored(port) or ovn_utils.is_lsp_router_port(port):
            return False  # a router's has more to it than a row
        if self._nb_idl.lookup("Logical_Switch_Port", port["id"], default=None) is not None:
            return False
        with reading(n_context.get_admin_context()) as connection:
            return _was_written(connection, port["id"])

    def _write_anew(self, context: Any, port: Any) -> bool:
        """Write a port; tells whether nothing is left to be written."""
        written = True
        try:
            self.create_port(context, port)
        except Exception as error:  # noqa: BLE001 - as Neutron's own: its maintenance is to do it
            LOG.warning("OVN has lost port %s, and it is not written: %s", port["id"], error)
            written = False
        with reading(n_context.get_admin_context()) as connection:
            there = connection.scalar(sa.select(_PORTS.c.id).where(_PORTS.c.id == port["id"]))
        if there is None:  # deleted meanwhile, and who deleted it saw no row
            self.delete_port(context, port["id"], port_object=port)
            return True
        if written:
            LOG.info("OVN had lost port %s: it is written anew", port["id"])
        return written

    @override
    def _gen_network_parameters(self, network: Any) -> dict[str, dict[str, str]]:
        parameters: dict[str, dict[str, str]] = super()._gen_network_parameters(network)
        with reading(n_context.get_admin_context()) as connection:
            key = datapath.find_key(connection, network["id"])
        if key is not None:
            parameters["other_config"][KEY_OPTION] = str(key)
        return parameters

    @override
    def _get_nets_and_ipv6_ra_confs_for_router_port(self, context: Any, port: Any) -> Any:
        """Advertise often where a router may come to servers that have heard a responder before."""
        networks, advertised = super()._get_nets_and_ipv6_ra_confs_for_router_port(context, port)
        if advertised and _find_port_key(context, port["id"]) is not None:
            advertised |= ADVERTISING
        return networks, advertised

    @override
    def _create_lrouter_port(self, context: Any, router: Any, port: Any, txn: Any = None) -> None:
        super()._create_lrouter_port(context, router, port, txn=txn)
        self._assert_key(context, port, txn)

    @override
    def _update_lrouter_port(
        self, context: Any, port: Any, if_exists: bool = False, txn: Any = None
    ) -> None:
        super()._update_lrouter_port(context, port, if_exists=if_exists, txn=txn)
        self._assert_key(context, port, txn)

    @override
    def create_provnet_port(
        self, context: Any, network_id: str, segment: Any, txn: Any = None, network: Any = None
    ) -> None:
        super().create_provnet_port(context, network_id, segment, txn=txn, network=network)
        options = ("options", {KEY_OPTION: str(LOCALNET_KEY)})
        name = ovn_utils.ovn_provnet_port_name(segment["id"])
        command = self._nb_idl.db_set("Logical_Switch_Port", name, options)
        self._transaction([command], txn=txn)

    @override
    def create_network(self, context: Any, network: Any) -> Any:
        with _unless_deleted(context, network, self.delete_network):
            return super().create_network(context, network)

    @override
    def create_port(self, context: Any, port: Any, segment_id: str | None = None) -> None:
        with _unless_deleted(context, port, self.delete_port):
            super().create_port(context, port, segment_id=segment_id)

    @override
    def create_router(self, context: Any, router: Any, add_external_gateway: bool = True) -> None:
        with _unless_deleted(context, router, self.delete_router):
            super().create_router(context, router, add_external_gateway=add_external_gateway)

    @override
    def create_security_group(self, context: Any, security_group: Any) -> None:
        with _unless_deleted(context, security_group, self._delete_port_group):
            super().create_security_group(context, security_group)

    def _delete_port_group(self, _context: Any, security_group_id: str) -> None:
        name = ovn_utils.ovn_port_group_name(security_group_id)
        self._nb_idl.pg_del(name=name, if_exists=True).execute(check_error=True)

    @override
    def update_router_ha_chassis_group(self, context: Any, router_id: str) -> None:
        """Leave out router ports that are not Neutron's: it takes each to say its network."""
        router = self._nb_idl.lookup("Logical_Router", ovn_utils.ovn_name(router_id), default=None)
        if router is None:
            return
        named = {
            port.external_ids[ovn_const.OVN_NETWORK_NAME_EXT_ID_KEY]
            for port in router.ports
            if ovn_const.OVN_NETWORK_NAME_EXT_ID_KEY in port.external_ids
            and port.external_ids.get(ovn_const.OVN_ROUTER_IS_EXT_GW) != "True"
        }
        for name in sorted(named):
            self.link_network_ha_chassis_group(context, ovn_utils.get_neutron_name(name), router_id)

    def _assert_key(self, context: Any, port: Any, txn: Any) -> None:
        """Restore the key after a router port's options were replaced."""
        key = _find_port_key(context, port["id"])
        if key is not None:
            options = ("options", {KEY_OPTION: str(key)})
            command = self._nb_idl.db_set("Logical_Switch_Port", port["id"], options)
            self._transaction([command], txn=txn)


def _was_written(connection: sa.Connection, port_id: str) -> bool:
    """Tell whether Neutron has a port that is not just being made: who makes it writes its row."""
    long_ago = timeutils.utcnow() - datetime.timedelta(seconds=db_rev.INCONSISTENCIES_OLDER_THAN)
    noted = sa.and_(
        _NOTES.c.resource_uuid == _PORTS.c.id, _NOTES.c.resource_type == ovn_const.TYPE_PORTS
    )
    query = (
        sa.select(_PORTS.c.id)
        .join_from(_PORTS, _ATTRIBUTES, _ATTRIBUTES.c.id == _PORTS.c.standard_attr_id)
        .outerjoin(_NOTES, noted)
        .where(
            _PORTS.c.id == port_id,
            sa.or_(
                _NOTES.c.revision_number > db_rev.INITIAL_REV_NUM,
                _ATTRIBUTES.c.created_at < long_ago,
            ),
        )
    )
    return connection.scalar(query) is not None


@contextlib.contextmanager
def _unless_deleted(
    context: Any, written: Mapping[str, Any], delete: Callable[[Any, str], None]
) -> Iterator[None]:
    """Delete from OVN again what was deleted from the database while it was written.

    Neutron's maintenance worker writes what OVN lacks, by what it has read before. A row that is
    written after its object's delete would stay for ever: with the object, its revision number is
    gone, by which the worker would find it.
    """
    try:
        yield
    except db_rev.StandardAttributeIDNotFound as error:
        if written["id"] in error.msg:  # or a gateway's port is gone, and the router is there
            delete(context, written["id"])
        raise


def _find_port_key(context: Any, port_id: str) -> int | None:
    with reading(context) as connection:
        return port_key.find_key(connection, port_id)


class _FreshRing:
    """A hash ring whose nodes count as alive, so that no heartbeat is written."""

    def __init__(self, ring: Any) -> None:
        self._ring = ring

    def get_node(self, key: str) -> tuple[str, datetime.datetime]:
        node, _touched = self._ring.get_node(key)
        return node, timeutils.utcnow()


class _Quiet(ovsdb_monitor.OvnIdlDistributedLock):
    """What both connections do differently from Neutron's; see the top of this module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hash_ring: Any = _FreshRing(self._hash_ring)

    @override
    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        if is_ours(row):
            self.notify_handler.notify(event, row, updates, global_=True)
        else:
            super().notify(event, row, updates)


class QuietNbIdl(_Quiet, ovsdb_monitor.OvnNbIdl):
    """Neutron's northbound connection."""


class QuietSbIdl(_Quiet, ovsdb_monitor.OvnSbIdl):
    """Neutron's southbound connection."""


def install() -> None:
    """Make Neutron use our classes in this process from now on; idempotent."""
    ovn_client.OVNClient = KeyedOvnClient
    ovsdb_monitor.OvnNbIdl = QuietNbIdl
    ovsdb_monitor.OvnSbIdl = QuietSbIdl
