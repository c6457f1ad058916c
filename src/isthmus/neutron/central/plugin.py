"""Central's core plugin: ML2 with sites in the place of agents.

A thin subclass, so that every extension of ML2 works unchanged. It changes this: availability zones
are those of sites, a default security group has the same id in every tier, the MTU leaves room for
Geneve on the worst path between sites, and what an unreachable site may still use cannot be
deleted.
"""

import contextlib
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import constants
from neutron_lib import context as n_context
from neutron_lib.db import standard_attr
from neutron_lib.exceptions import availability_zone as az_exc
from oslo_config import cfg
from oslo_db import exception as db_exc
from sqlalchemy.orm import object_session

from isthmus import errors
from isthmus.config.central import read_central
from isthmus.federation.identity import default_security_group_id
from isthmus.journal import crash
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site
from isthmus.neutron.api.body import actions
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central import listener, presence, reporting, silence, zone
from isthmus.neutron.central.leases.recalling import Recalling
from isthmus.neutron.central.provider_network import fabric, segmented, segments, types
from isthmus.neutron.central.refusals import Refusals
from isthmus.neutron.central.site_api.caller import while_there
from isthmus.neutron.db import freed, guard, isolation, sqlite
from isthmus.neutron.db.leased import pick_leased
from isthmus.neutron.db.session import reading
from isthmus.store.tiers import mapping
from isthmus.store.tiers import site as site_store

#: Geneve over IPv4 with OVN's option costs 58 bytes (measured: 1442 passes over 1500, 1443 not).
TUNNEL_BYTES = 58
#: Types whose packets travel in a tunnel between sites.
TUNNELLED = frozenset({constants.TYPE_GENEVE, constants.TYPE_VXLAN})

#: Key in a session's info: availability zones of the networks that it has loaded.
_ZONES = "isthmus_zones"
_Network = models_v2.Network


class CentralPlugin(Refusals, Recalling):
    """ML2 at central."""

    # Neutron looks these up under the mangled name of the class itself, not of its base.
    __native_bulk_support = True
    __native_pagination_support = True
    __native_sorting_support = True

    def __init__(self) -> None:
        """Load ML2 and start the listeners."""
        sqlite.install()
        actions.install()
        self._isthmus = read_central(cfg.CONF)
        super().__init__()
        types.install(self.type_manager)
        segments.listen()
        isolation.check_database()
        listener.listen()
        freed.listen(pick_leased)
        guard.listen()

    # Zones -----------------------------------------------------------------------------------

    def get_availability_zones(
        self,
        context: Any,
        filters: Mapping[str, Sequence[str]] | None = None,
        fields: Any = None,
        **_paging: Any,
    ) -> list[dict[str, Any]]:
        """List the zones of sites."""
        with reading(context) as connection:
            return zone.list_zones(site_store.list_sites(connection), context.project_id, filters)

    def validate_availability_zones(
        self, context: Any, resource_type: str, availability_zones: Sequence[str]
    ) -> None:
        """Refuse a hint that no site serves.

        Raises:
            AvailabilityZoneNotFound: no site serves the zone.
        """
        if not availability_zones:
            return
        with reading(context) as connection:
            unknown = zone.find_unknown(site_store.list_sites(connection), availability_zones)
        if unknown is not None:
            raise az_exc.AvailabilityZoneNotFound(availability_zone=unknown)

    def get_network_availability_zones(self, network: Any) -> list[str]:
        """Return the zones of the sites where a network is present."""
        session = object_session(network) if isinstance(network, models_v2.Network) else None
        if session is None:
            with reading(n_context.get_admin_context()) as connection:
                return zone.zones_of(
                    site_store.list_sites(connection), _present(connection, [network["id"]])[0]
                )
        known = session.info.get(_ZONES, {})
        if network.id not in known:
            # A list asks for one network after another: answer for all of them at once.
            listed = [one.id for one in session.identity_map.values() if isinstance(one, _Network)]
            connection = session.connection()
            sites = site_store.list_sites(connection)
            known = session.info[_ZONES] = {
                network_id: zone.zones_of(sites, present)
                for network_id, present in zip(listed, _present(connection, listed), strict=True)
            }
        return list(known.get(network.id, ()))

    def set_ipam_backend(self) -> None:
        """Have the sites of ports say which subnets they may have addresses of."""
        self.ipam = segmented.SegmentedIpam()

    # Provider networks -------------------------------------------------------------------------

    def create_network(self, context: Any, network: dict[str, Any]) -> Any:
        """Create a network; one on the fabric of sites is extended to them at once."""
        segments.take(network["network"])
        sites = self._choose_sites(context, network["network"])
        made = super().create_network(context, network)
        self._extend_ahead(context, sites, made)
        return made

    def create_network_bulk(self, context: Any, networks: dict[str, Any]) -> Any:
        """Create networks; those on the fabric of sites are extended to them at once."""
        for one in networks["networks"]:
            segments.take(one["network"])
        sites = [self._choose_sites(context, one["network"]) for one in networks["networks"]]
        made = super().create_network_bulk(context, networks)
        for chosen, one in zip(sites, made, strict=True):
            self._extend_ahead(context, chosen, one)
        return made

    def update_network(self, context: Any, id: str, network: dict[str, Any]) -> Any:
        """Change a network; the segments of one on the fabric of sites stay."""
        with translated(), reading(context) as connection:
            find = functools.partial(self.get_network, context, id)
            fabric.check_change(connection, network["network"], find)
        return super().update_network(context, id, network)

    def _choose_sites(self, context: Any, body: Mapping[str, Any]) -> Sequence[Site]:
        body = fabric.with_default(body, cfg.CONF.ml2.external_network_type)
        if not fabric.is_provider(body):
            return ()
        with translated(), reading(context) as connection:
            sites = fabric.choose_sites(site_store.list_sites(connection), body)
            fabric.require_free(connection, sites, body)
        return sites

    def _extend_ahead(
        self, context: Any, sites: Sequence[Site], network: Mapping[str, Any]
    ) -> None:
        with contextlib.ExitStack() as undo:
            undo.callback(super().delete_network, context, network["id"])
            for site in sites:
                with translated(), while_there(n_context.get_admin_context(), site.name):
                    presence.extend_ahead(site, network)
            undo.pop_all()

    # Reports ---------------------------------------------------------------------------------

    def _validate_port_update(self, port_db: Any, attrs: Any, binding: Any) -> None:
        """Let a merged report change a port as it is; ML2 calls this before it writes anything."""
        if reporting.merged() is not None:
            crash.point("central.report.merging")
            _require_latest(port_db)
        super()._validate_port_update(port_db, attrs, binding)

    # Identity --------------------------------------------------------------------------------

    def create_security_group(
        self, context: Any, security_group: dict[str, Any], default_sg: bool = False
    ) -> Any:
        """Create a security group; a default group gets the id that every tier derives."""
        if default_sg:
            body = security_group["security_group"]
            body["id"] = default_security_group_id(body["project_id"])
        return super().create_security_group(context, security_group, default_sg=default_sg)

    # MTU -------------------------------------------------------------------------------------

    def _get_network_mtu(self, network_db: Any, validate: bool = True) -> int:
        mtu = int(super()._get_network_mtu(network_db, validate=validate))
        try:
            present = network_db["segments"]
        except KeyError:
            present = [network_db]
        if not any(segment.get("network_type") in TUNNELLED for segment in present):
            return mtu
        largest = self._isthmus.underlay_mtu - TUNNEL_BYTES
        asked = network_db.get("mtu")
        if validate and asked and asked > largest:
            with translated():
                raise errors.Invalid(
                    f"MTU {asked} is too big: the worst path between sites carries {largest}"
                )
        return min(mtu, largest) if mtu else largest

    # Removal ---------------------------------------------------------------------------------

    def delete_port(self, context: Any, id: str, l3_port_check: bool = True) -> None:
        """Delete a port; one that has got a floating IP meanwhile loses it first."""
        try:
            super().delete_port(context, id, l3_port_check=l3_port_check)
        except db_exc.DBReferenceError as error:
            raise db_exc.RetryRequest(error) from error

    def delete_network(self, context: Any, id: str) -> Any:
        """Delete a network unless an unreachable site may have ports on it."""
        self._refuse_if_silent(context, "network", id, id)
        return super().delete_network(context, id)

    def delete_subnet(self, context: Any, id: str) -> Any:
        """Delete a subnet unless an unreachable site may use addresses of it."""
        network_id = self.get_subnet(context, id, fields=["network_id"])["network_id"]
        self._refuse_if_silent(context, "subnet", id, network_id)
        return super().delete_subnet(context, id)

    def _refuse_if_silent(self, context: Any, word: str, resource_id: str, network_id: str) -> None:
        """Refuse before anything is removed; the mechanism driver asks again as it is removed."""
        with translated(), reading(context) as connection:
            silence.require_heard(connection, word, resource_id, network_id)
        crash.point("central.removal.asked")


def _require_latest(port: Any) -> None:
    """Lock a port that this transaction has read, and check that nobody has changed it since.

    Neutron counts every change of what is merged, but compares the count only where the port's own
    row changes: of two changes of fixed IPs each would keep what it has read. From here on nobody
    else counts, so the transaction begins anew at most as often as others were faster.

    Raises:
        RetryRequest: somebody has; the transaction has to read the port again.
    """
    attributes = standard_attr.StandardAttribute
    session = object_session(port)
    assert session is not None, "the port was read in this transaction"
    newest = session.connection().scalar(
        sa.select(attributes.revision_number)
        .where(attributes.id == port.standard_attr_id)
        .with_for_update()
    )
    if newest != port.revision_number:
        raise db_exc.RetryRequest(errors.Overtaken(f"port {port.id} was changed meanwhile"))


def _present(connection: sa.Connection, network_ids: Sequence[str]) -> list[Collection[str]]:
    """List the sites where each network is present."""
    found = mapping.peek_sites(connection, ResourceType.NETWORK, network_ids)
    return [tuple(found.get(network_id, ())) for network_id in network_ids]
