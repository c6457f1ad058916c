"""Ports that Neutron has DOWN while their server runs and OVN has them up.

Neutron takes a port for active when OVN's row of it turns up, or is read for the first time
(Source: `LogicalSwitchPortUpdateUpEvent` and `LogicalSwitchPortCreateEvent` in Neutron's
`plugins.ml2.drivers.ovn.mech_driver.ovsdb.ovsdb_monitor`). Where the row was up all the time nobody
says so a second time, and the port would be DOWN until Neutron is started again: one that is made
again after a site's database was restored, and one that is bound to the hypervisor on which it is,
since ML2 has a port DOWN from each change of its binding.
"""

from collections.abc import Mapping
from typing import Any

from neutron.common.ovn import utils as ovn_utils
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins import directory

from isthmus import errors
from isthmus.model.dataplane.ovn import SHADOW_MARK
from isthmus.neutron.local.ovn import dataplane


def is_up(port_id: str) -> bool:
    """Return whether OVN has a row of Neutron's for a port, and its server's port is up there.

    False in a process that has no connection to OVN yet: it is told of every row when it connects.
    """
    try:
        rows = dataplane.get_reconciler().rows()
    except errors.Transient:
        return False
    row = rows.nb.find("Logical_Switch_Port", port_id)
    # A shadow is up where its port is: at another site.
    return (
        row is not None
        and SHADOW_MARK not in row.external_ids
        and ovn_utils.is_lsp_up(row)
        and ovn_utils.is_lsp_enabled(row)
    )


def is_up_where_bound(port: Mapping[str, Any]) -> bool:
    """Return whether Neutron has a port DOWN that is up on the very hypervisor that it is bound to.

    Not while a server moves: until it is there, the port is up on the hypervisor that it leaves.

    Args:
        port: as Neutron's plugin shows it.
    """
    host = port.get(portbindings.HOST_ID)
    is_bound = port.get(portbindings.VIF_TYPE) not in (
        portbindings.VIF_TYPE_UNBOUND,
        portbindings.VIF_TYPE_BINDING_FAILED,
    )
    if not host or not is_bound or port["status"] != constants.PORT_STATUS_DOWN:
        return False
    if not is_up(port["id"]):
        return False
    rows = dataplane.get_reconciler().rows()
    chassis, binding = rows.find_host(host), rows.find_binding(port["id"])
    return chassis is not None and binding is not None and binding.chassis == chassis.name


def tell_neutron(port_id: str) -> None:
    """Report to Neutron what OVN would say if the port came up now."""
    directory.get_plugin().mechanism_manager.mech_drivers["ovn"].obj.set_port_status_up(port_id)
