"""Neutron's comparison of its rows in OVN with its database, as it is right at a site."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa
from neutron.common.ovn import utils as ovn_utils
from neutron.db import models_v2
from neutron.db.models import securitygroup
from neutron.plugins.ml2.drivers.ovn.mech_driver.ovsdb import ovn_db_sync
from neutron_lib import context as n_context
from neutron_lib.ovn import constants as n_ovn_const
from oslo_log import log as logging
from typing_extensions import override

from isthmus.neutron.db.session import reading
from isthmus.neutron.local.ovn.compare.views import Northbound, OwnHosts

LOG = logging.getLogger(__name__)

#: What is said of a port that stays.
LEFT = (
    "Port %(port)s of network %(network)s is up, and Neutron does not know it: it is left as it "
    "is. Once nothing runs on it: ovn-nbctl lsp-del %(port)s"
)
#: Where the ids are of what a server's port needs, and of the ports.
_NEEDED = tuple(
    one.__table__
    for one in (
        models_v2.Port,
        models_v2.Network,
        models_v2.Subnet,
        securitygroup.SecurityGroup,
    )
)
REPAIR = n_ovn_const.OVN_DB_SYNC_MODE_REPAIR


class NorthboundComparison(ovn_db_sync.OvnNbSynchronizer):
    """Compares the northbound database, and writes what differs where it is asked to."""

    ovn_nb_api: Any
    _acls: list[dict[str, Any]]

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what Neutron's own takes."""
        super().__init__(*args, **options)
        self.ovn_nb_api = Northbound(self.ovn_nb_api)

    def _list_ids(self, ctx: Any) -> set[str]:
        """List the ids of what Neutron has that a server's port needs, and of the ports."""
        with reading(ctx) as connection:
            return {one for table in _NEEDED for one in connection.scalars(sa.select(table.c.id))}

    def _held(self, ctx: Any) -> AbstractContextManager[None]:
        held: AbstractContextManager[None] = self.ovn_nb_api.held(lambda: self._list_ids(ctx))
        return held

    @override
    def sync_port_groups(self, ctx: Any) -> None:
        """Write the port groups of security groups."""
        with self._held(ctx):
            super().sync_port_groups(ctx)

    @override
    def sync_networks_ports_and_dhcp_opts(self, ctx: Any) -> None:
        """Write networks, ports and what DHCP answers."""
        with self._held(ctx):
            for port, switch in sorted(self.ovn_nb_api.left.items()):
                LOG.warning(LEFT, {"port": port, "network": ovn_utils.get_neutron_name(switch)})
            super().sync_networks_ports_and_dhcp_opts(ctx)

    @override
    def _create_port_in_ovn(self, ctx: Any, port: Any) -> None:
        """Write a port, as it is by now, if it is lacking still."""
        if self.ovn_nb_api.lookup("Logical_Switch_Port", port["id"], default=None) is not None:
            return
        for found in self.core_plugin.get_ports(ctx, filters={"id": [port["id"]]}):
            super()._create_port_in_ovn(ctx, found)

    @override
    def sync_routers_and_rports(self, ctx: Any) -> None:
        """Write routers, with their interfaces, routes and translations."""
        with self._held(ctx):
            super().sync_routers_and_rports(ctx)

    @override
    def sync_acls(self, ctx: Any) -> None:
        """Write the rules of groups, behind the address groups that they name."""
        self.write_address_groups(ctx)
        with self._held(ctx):
            groups = {one.name for one in self.ovn_nb_api.db_list_rows("Port_Group").execute()}
        with self.ovn_nb_api.ovsdb_connection.lock:
            acls = super()._get_acls_from_port_groups()
        self._acls = [one for one in acls if one["port_group"] in groups]
        super().sync_acls(ctx)

    @override
    def _get_acls_from_port_groups(self) -> list[dict[str, Any]]:
        """List the rules as they were before Neutron's database was read."""
        return self._acls

    def write_address_groups(self, ctx: Any) -> None:
        """Compare address groups, which Neutron's own comparison leaves out."""
        with self.ovn_nb_api.ovsdb_connection.lock:
            sets = self.ovn_nb_api.tables["Address_Set"].rows.values()
            there = {one.name: set(one.addresses) for one in sets}
        for group in self.core_plugin.get_address_groups(ctx):
            self._write_address_group(ctx, group, there)

    def _write_address_group(self, ctx: Any, group: Any, there: Mapping[str, set[str]]) -> None:
        """Write the sets of a group; `there` are those of OVN, as they were before it was read."""
        wanted = {
            ovn_utils.ovn_ag_addrset_name(group["id"], f"ip{version}"): set(addresses)
            for version, addresses in self._ovn_client._checkout_ip_list(group["addresses"]).items()
        }
        if all(there.get(name) == addresses for name, addresses in wanted.items()):
            return
        LOG.warning("Address group %s has other addresses in OVN NB DB", group["id"])
        if self.mode != REPAIR:
            return
        self._ovn_client.create_address_group(ctx, group)  # the sets that are not there
        with self.ovn_nb_api.transaction(check_error=True) as txn:
            for name, addresses in wanted.items():
                have = there.get(name, addresses)
                if self.ovn_nb_api.lookup("Address_Set", name, default=None) is not None:
                    txn.add(self.ovn_nb_api.address_set_add_addresses(name, addresses - have))
                    txn.add(self.ovn_nb_api.address_set_remove_addresses(name, have - addresses))

    @override
    def sync_port_qos_policies(self, ctx: Any) -> None:
        """Write the limits of ports again; Neutron cannot compare them, and names each port."""
        if self.mode == REPAIR:
            super().sync_port_qos_policies(ctx)

    @override
    def sync_fip_qos_policies(self, ctx: Any) -> None:
        """Write the limits of the site's own floating IPs again, as those of ports."""
        if self.mode == REPAIR:
            super().sync_fip_qos_policies(ctx)


class SouthboundComparison(ovn_db_sync.OvnSbSynchronizer):
    """Writes into Neutron's database which hypervisors there are; does nothing unasked.

    Which of them have the gateways is left to the Neutron that runs: it follows their coming and
    going.
    """

    ovn_sb_api: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what Neutron's own takes."""
        super().__init__(*args, **options)
        self.ovn_sb_api = OwnHosts(self.ovn_sb_api)

    @override
    def do_sync(self) -> None:
        """Write what differs, where it is asked to."""
        if self.mode == REPAIR:
            self.sync_hostname_and_physical_networks(n_context.get_admin_context())
