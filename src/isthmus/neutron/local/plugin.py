"""The core plugin of a site: Neutron's ML2 plugin, with central behind what it does not have.

A thin layer. It adds four things to ML2 and leaves everything else unchanged: missing objects are
fetched (`fetching`, `on_demand`), central's objects are not changed here (`ownership`), addresses
come from leases (`ipam`, `lease.keeper`), and changes are recorded for central (`report.listener`).
"""

import contextlib
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.plugins.ml2.common import exceptions as ml2_exc
from neutron_lib import context as n_context
from neutron_lib import exceptions as n_exc
from neutron_lib.db import api as db_api
from oslo_config import cfg

from isthmus import errors
from isthmus.config.site import read_site
from isthmus.federation.identity import default_security_group_id
from isthmus.model.resource import ResourceType
from isthmus.neutron.api.body import actions
from isthmus.neutron.api.faults import to_fault, translated
from isthmus.neutron.db import freed, guard, interfaces, isolation, sqlite
from isthmus.neutron.local import quota
from isthmus.neutron.local.connections import Lazy, open_central, open_database
from isthmus.neutron.local.fetch import read_request
from isthmus.neutron.local.fetch.fetching import CentralUnreachable, Fetching, NotYet
from isthmus.neutron.local.fetch.on_demand import OnDemand
from isthmus.neutron.local.lease import sight
from isthmus.neutron.local.lease.addresses import Addresses
from isthmus.neutron.local.lease.keeper import Keeper
from isthmus.neutron.local.materialise import Materialiser
from isthmus.neutron.local.ovn import stray
from isthmus.neutron.local.owned import applying, flush_guard, guards
from isthmus.neutron.local.owned.marking import Marking
from isthmus.neutron.local.owned.ownership_cache import OwnershipCache
from isthmus.neutron.local.owned.person import acting_for
from isthmus.neutron.local.qos.named import Limiting
from isthmus.neutron.local.report.listener import ReportListener
from isthmus.store.sql.engine import reading, writing
from isthmus.store.tiers import epoch

_T = TypeVar("_T")


class LocalPlugin(Limiting):
    """ML2 at a site."""

    # Neutron's API looks these up under the name of the class itself (neutron/api/v2/base.py).
    __native_bulk_support = True
    __native_pagination_support = True
    __native_sorting_support = True

    def __init__(self) -> None:
        """Load ML2 and the parts that work beside it."""
        sqlite.install()
        actions.install()
        quota.install()
        self.site = read_site(cfg.CONF)
        self.ownership = OwnershipCache()
        self.database = Lazy(open_database)
        self.central = Lazy(lambda: open_central(self.site, self.database))
        self.keeper = Keeper(
            self.site.site,
            self.central,
            self.database,
            sweep_s=self.site.lease_sweep_s,
            idle_s=self.site.lease_idle_s,
            find_standing=stray.find_standing,
            before_returning=self.advance_witness,
        )
        self.materialiser = Materialiser(self, self.site.site)
        self.on_demand = OnDemand(
            self.central,
            self.database,
            self.materialiser.bring,
            miss_ttl_s=self.site.miss_ttl_s,
        )
        self.overdrawn = quota.Overdrawn(self.database)
        self.addresses = Addresses(self.site.site, self.ownership, self.keeper)
        self.listener = ReportListener(self.ownership)
        super().__init__()
        mechanisms = self.mechanism_manager
        mechanisms._call_on_drivers = _finishing(mechanisms._call_on_drivers)
        isolation.check_database()
        flush_guard.listen()
        Marking(self.site.site, self.ownership).listen()
        self.listener.listen()
        freed.listen(self._pick_stretched)
        guard.listen()

    def advance_witness(self) -> None:
        """Compare the database with the witness of this host, and advance both.

        Before central is told anything that it relies on: see `isthmus.neutron.db.witness`.
        """
        sight.get_witness().advance(lambda: writing(self.database()))

    def _pick_stretched(
        self, connection: sa.Connection, subnet_ids: Collection[str]
    ) -> Collection[str]:
        """Return the subnets whose addresses are told to other sites."""
        return [one for one in subnet_ids if self.ownership.is_stretched_subnet(connection, one)]

    def note_move(self, port_id: str) -> None:
        """Record that a port may have moved, if its network is stretched."""
        admin = n_context.get_admin_context()
        network_id, _ = _find_network(port_id)
        if network_id is None:
            return
        with db_api.CONTEXT_WRITER.using(admin):
            if self.ownership.is_stretched(admin.session.connection(), network_id):
                self.listener.note(admin.session, [port_id])

    def delete_port(self, context: Any, id: str, l3_port_check: bool = True) -> None:
        """Delete a port; a missing one is fetched first, or refused as another site's."""
        if (
            applying.current() is None
            and read_request.is_change_of(id)
            and _find_network(id)[0] is None
        ):
            self._bring_home(context, id)
        super().delete_port(context, id, l3_port_check)

    def create_port(self, context: Any, port: Any) -> dict[str, Any]:
        """Create a port; on a stretched network with one of the site's addresses."""
        if applying.current() is not None:
            made: dict[str, Any] = super().create_port(context, port)
            return made
        wanted = port["port"]
        return self._make_ports(
            context,
            [wanted],
            lambda: super(LocalPlugin, self).create_port(context, {"port": _copied(wanted)}),
        )

    def create_port_bulk(self, context: Any, ports: Any) -> list[dict[str, Any]]:
        """Create ports; on stretched networks with the site's addresses."""
        wanted = [one["port"] for one in ports["ports"]]
        return self._make_ports(
            context,
            wanted,
            lambda: super(LocalPlugin, self).create_port_bulk(
                context, {"ports": [{"port": _copied(port)} for port in wanted]}
            ),
        )

    def _make_ports(self, context: Any, ports: Sequence[Any], make: Callable[[], _T]) -> _T:
        networks = sorted({port["network_id"] for port in ports})

        def attempt() -> _T:
            self._check_quota(context, ports)
            self._before_ports(context, ports)
            return self._with_leases(networks, len(ports), make)

        with self.listener.one_report():
            try:
                return attempt()
            except n_exc.NetworkNotFound:
                if not self._fetch_missing(context, ResourceType.NETWORK, networks, missed=True):
                    raise
            return attempt()

    def update_port(self, context: Any, id: str, port: Any) -> dict[str, Any]:
        """Update a port; a missing one is fetched first."""
        if applying.current() is not None and interfaces.is_said_again(context, id, port["port"]):
            return dict(super().get_port(context, id))
        with self.listener.one_report():
            return self._update_port(context, id, port)

    def _update_port(self, context: Any, id: str, port: Any) -> dict[str, Any]:
        wanted = port["port"]
        asks = guards.addresses_of(wanted) or guards.groups_of(wanted) or guards.mac_of(wanted)
        asks = asks or wanted.get("qos_policy_id")
        if applying.current() is not None or not ("fixed_ips" in wanted or asks):
            changed: dict[str, Any]
            try:
                changed = super().update_port(context, id, port)
            except n_exc.PortNotFound:
                if applying.current() is not None or not read_request.is_change_of(id):
                    raise
                self._bring_home(context, id)
                changed = super().update_port(context, id, port)
            return changed
        if read_request.is_change_of(id) and _find_network(id)[0] is None:
            self._bring_home(context, id)
        network_id, project_id = _find_network(id)
        if network_id is not None:
            self._before_ports(
                context, [{**wanted, "id": id, "network_id": network_id, "project_id": project_id}]
            )
        return self._with_leases(
            [network_id] if network_id else [],
            1,
            lambda: super(LocalPlugin, self).update_port(context, id, {"port": _copied(wanted)}),
        )

    def _check_quota(self, context: Any, ports: Sequence[Any]) -> None:
        """Refuse ports on stretched networks of projects that are over their quota at central.

        Raises:
            OverQuota: one of them is.
        """
        try:
            self.overdrawn.check({port["project_id"] for port in ports})
        except n_exc.OverQuota:
            with db_api.CONTEXT_READER.using(context):
                connection = context.session.connection()
                if any(self.ownership.is_stretched(connection, one["network_id"]) for one in ports):
                    raise

    def _before_ports(self, context: Any, ports: Sequence[Any]) -> None:
        """Check and fetch what ports on stretched networks need; does nothing for other networks.

        Raises:
            GroupOnlyHere: a security group that central does not know.
            NotLeased: an address that central does not lease to this site.
        """
        self._fetch_policies(context, ports)
        for port in ports:
            groups = guards.groups_of(port) or {default_security_group_id(port["project_id"])}
            addresses = guards.addresses_of(port)
            mac = guards.mac_of(port)
            if not (addresses or mac) and self.ownership.is_own(port["network_id"]):
                continue
            with db_api.CONTEXT_READER.using(context):
                connection = context.session.connection()
                if not self.ownership.is_stretched(connection, port["network_id"]):
                    continue
                complete = self.ownership.is_complete(connection, port["network_id"])
                unknown = self.ownership.find_unknown_groups(connection, groups)
                outside = self.addresses.find_outside(connection, port["network_id"], addresses)
            self._learn_policy(context, port)
            if not complete:
                self._complete(port["network_id"], port["project_id"])
                with db_api.CONTEXT_READER.using(context):  # of subnets that have just come, too
                    outside = self.addresses.find_outside(
                        context.session.connection(), port["network_id"], addresses
                    )
            if unknown:
                self._learn_groups(context, port, unknown)
            for subnet_id, address in outside:
                self.addresses.ask(subnet_id, address)
            if mac is not None:
                self._check_mac(port["network_id"], mac, port.get("id"))

    def _check_mac(self, network_id: str, mac: str, port_id: str | None) -> None:
        """Refuse a MAC that was requested explicitly and is in use on the network, at any site.

        It is accepted while central is unreachable; the report will be refused in that case. It is
        not accepted while this site was restored and waits for central: the port that has it may be
        one that was lost.

        Raises:
            MacAddressInUse: another port has it.
        """
        try:
            known = self.on_demand.knows_mac(network_id, mac, port_id)
        except errors.Transient:
            with translated(), reading(self.database()) as connection:
                sight.require_sight()
                epoch.require_recovered(connection)
            return
        except errors.IsthmusError as error:
            raise to_fault(error) from error
        if known:
            raise n_exc.MacAddressInUse(net_id=network_id, mac=mac)

    def _complete(self, network_id: str, project_id: str) -> None:
        """Fetch what a network extended ahead of use may lack; otherwise use what is here."""
        try:
            self.on_demand.fetch(ResourceType.NETWORK, [network_id], project_id)
        except errors.Stale as error:
            raise NotYet(reason=error.message) from error
        except errors.Transient:
            return
        except errors.IsthmusError as error:
            raise to_fault(error) from error

    def _learn_groups(self, context: Any, port: Any, unknown: set[str]) -> None:
        default = default_security_group_id(port["project_id"])
        try:
            with acting_for(context):
                came = self.on_demand.fetch(
                    ResourceType.SECURITY_GROUP, unknown, port["project_id"]
                )
        except errors.Transient as error:
            if unknown == {default}:
                return  # central is away: the site's own copy of the default group is used
            raise CentralUnreachable(
                reason=f"Security group {', '.join(sorted(unknown))} is not known at site "
                f"{self.site.site}, and {error.message}"
            ) from error
        except errors.IsthmusError as error:
            raise to_fault(error) from error
        left = (unknown - came - {default}) & set(guards.groups_of(port))
        for group_id in sorted(left):
            # Raises the same for a group that does not exist and for another project's.
            super(Fetching, self).get_security_group(context, group_id)
        if left:
            raise guards.GroupOnlyHere(groups=", ".join(sorted(left)), network=port["network_id"])

    def _with_leases(self, network_ids: Sequence[str], count: int, work: Callable[[], _T]) -> _T:
        """Call a function that takes addresses and keys; again after requesting more."""
        try:
            return work()
        except n_exc.IpAddressGenerationFailure:
            if applying.current() is not None:
                raise
            self.addresses.refill(network_ids, count)
        except ml2_exc.MechanismDriverError as error:
            if not self.addresses.refill_keys(error.inner_exceptions, count):
                raise
        try:
            return work()
        except n_exc.IpAddressGenerationFailure as error:
            raise self.addresses.explain(error, network_ids) from error


def _finishing(call: Callable[..., None]) -> Callable[..., None]:
    """Make ML2's manager of mechanism drivers finish what was committed, even if overtaken.

    If a batch were refused between Neutron's commit and OVN's, Neutron would take it for a failure
    of OVN and delete the object that it just created. The next transaction of the batch is refused
    early enough.
    """

    def finish(method_name: str, *arguments: Any, **options: Any) -> None:
        with guard.unasked() if method_name.endswith("_postcommit") else contextlib.nullcontext():
            call(method_name, *arguments, **options)

    return finish


def _copied(port: Any) -> Any:
    """Copy a request, because Neutron modifies it and it may have to be repeated."""
    copy = dict(port)
    fixed_ips = copy.get("fixed_ips")
    if isinstance(fixed_ips, list):
        copy["fixed_ips"] = [dict(one) for one in fixed_ips]
    return copy


def _find_network(port_id: str) -> tuple[str | None, str | None]:
    """Return the network and project of a port, whoever asks."""
    admin = n_context.get_admin_context()
    with db_api.CONTEXT_READER.using(admin):
        row = (
            admin.session.query(models_v2.Port.network_id, models_v2.Port.project_id)
            .filter_by(id=port_id)
            .one_or_none()
        )
    return (None, None) if row is None else (row.network_id, row.project_id)
