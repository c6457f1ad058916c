"""Ports that are made again while their server runs, after a site's database was restored.

Neutron takes a port for active when OVN's row of it turns up, or is read for the first time
(Source: `LogicalSwitchPortUpdateUpEvent` and `LogicalSwitchPortCreateEvent` in Neutron's
`plugins.ml2.drivers.ovn.mech_driver.ovsdb.ovsdb_monitor`). The row of such a port was up all the
time, and was read before the port was there again: nobody says so a second time, and the port would
be DOWN until Neutron is started again.
"""

from neutron.common.ovn import utils as ovn_utils
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


def tell_neutron(port_id: str) -> None:
    """Report to Neutron what OVN would say if the port came up now."""
    directory.get_plugin().mechanism_manager.mech_drivers["ovn"].obj.set_port_status_up(port_id)
