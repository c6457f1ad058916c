"""Central's mechanism driver: binds every port to the host that its home site reported.

There is no data plane. A host is written `site/host`.
"""

from typing import Any

from neutron.common.ovn import utils as ovn_utils
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api

from isthmus import errors
from isthmus.federation.port import PROFILE_VIF_TYPE
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central import refusals, reporting, silence
from isthmus.neutron.central.provider_network import segmented
from isthmus.neutron.central.site_api.comparable import comparable
from isthmus.neutron.db.session import reading, writing
from isthmus.store.ports import home
from isthmus.store.tiers import epoch


class CentralMechanismDriver(api.MechanismDriver):
    """Binds every port: the real binding was made at its home site."""

    def initialize(self) -> None:
        """Do nothing: there is no data plane."""

    def create_port_precommit(self, context: Any) -> None:
        """Refuse what the port's home would refuse."""
        _check_port(context)
        _require_recovered_for_mac(context)

    def update_port_precommit(self, context: Any) -> None:
        """Refuse what the port's home would refuse, and keep the restored state of a stale port."""
        _check_merged(context)
        _check_port(context)
        with writing(context.plugin_context) as connection:
            refusals.refuse_homes_word(connection, context.original, context.current)
        if context.current["mac_address"] != context.original["mac_address"]:
            _require_recovered_for_mac(context)
        _keep_restored(context)

    def delete_network_precommit(self, context: Any) -> None:
        """Refuse to delete a network that an unreachable site may use."""
        network_id = context.current["id"]
        with translated(), writing(context.plugin_context) as connection:
            silence.require_heard(connection, "network", network_id, network_id)

    def create_subnet_precommit(self, context: Any) -> None:
        """Refuse a subnet on a segment that no site would realise."""
        with reading(context.plugin_context) as connection:
            segmented.check_subnet(connection, context.current, is_new=True)

    def update_subnet_precommit(self, context: Any) -> None:
        """Refuse to put a subnet on a segment that no site would realise."""
        with reading(context.plugin_context) as connection:
            segmented.check_subnet(connection, context.current, is_new=False)

    def delete_subnet_precommit(self, context: Any) -> None:
        """Refuse to delete a subnet that an unreachable site may use."""
        subnet = context.current
        with translated(), writing(context.plugin_context) as connection:
            silence.require_heard(connection, "subnet", subnet["id"], subnet["network_id"])

    @property
    def connectivity(self) -> str:
        """Return that ports share one broadcast domain."""
        return str(portbindings.CONNECTIVITY_L2)

    def bind_port(self, context: Any) -> None:
        """Bind to the first segment, with the VIF type and status that the home site reported."""
        said = reporting.current()
        profile = context.current.get(portbindings.PROFILE) or {}
        vif_type = profile.get(PROFILE_VIF_TYPE) or portbindings.VIF_TYPE_OTHER
        for segment in context.segments_to_bind:
            context.set_binding(
                segment[api.ID],
                vif_type,
                {portbindings.CAP_PORT_FILTER: True},
                status=(said and said.status) or constants.PORT_STATUS_ACTIVE,
            )
            return

    def filter_hosts_with_segment_access(
        self, context: Any, segments: Any, candidate_hosts: Any, agent_getter: Any
    ) -> Any:
        """Return all candidate hosts: every host reaches every segment.

        The arguments are those of `neutron_lib.plugins.ml2.api.MechanismDriver`.
        """
        return candidate_hosts


def _check_port(context: Any) -> None:
    """Refuse a port that ML2/OVN accepts at no site, with ML2/OVN's own checks.

    As there, the MACs of address pairs count once the port is bound at its home: a host alone is
    not a binding. A site's report has passed its own ML2/OVN; a correction only takes away.
    """
    if reporting.current() is not None or reporting.is_correcting():
        return
    port = context.current
    ovn_utils.validate_and_get_data_from_binding_profile(port)
    if (port.get(portbindings.PROFILE) or {}).get(PROFILE_VIF_TYPE):
        ovn_utils.validate_port_allowed_address_pairs_vrrp_mac(port)


def _check_merged(context: Any) -> None:
    """Let a merged report change a port only as long as it is as it was when it was merged.

    What is compared was read in this transaction, which has locked the port since
    (`CentralPlugin._validate_port_update`).

    Raises:
        Overtaken: it is not; the report has to be merged again.
    """
    theirs = reporting.merged()
    if theirs is not None and comparable(context.original) != theirs:
        raise errors.Overtaken(f"port {context.original['id']} was changed at central meanwhile")


def _require_recovered_for_mac(context: Any) -> None:
    """Allocate no MAC while central waits for sites: it may have forgotten the port that has it.

    The same holds for the addresses that follow from it, which are of no lease.

    Raises:
        Fault: central was restored (503).
    """
    if reporting.current() is not None:
        return
    with translated(), writing(context.plugin_context) as connection:
        epoch.require_recovered(connection)


def _keep_restored(context: Any) -> None:
    """Keep the state in which a port was restored, if its home has yet to report it.

    A tenant's change is then merged with what the home reports.
    """
    if reporting.current() is not None:
        return
    port_id = context.current["id"]
    with writing(context.plugin_context) as connection:
        if reporting.is_correcting():
            addresses = comparable(context.current)["fixed_ips"]
            home.correct_restored(connection, port_id, {"fixed_ips": addresses})
        elif home.find_stale(connection, [port_id]):
            home.keep_restored(connection, port_id, comparable(context.original))
