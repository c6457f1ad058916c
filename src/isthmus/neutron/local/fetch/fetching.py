"""What a person names by id and this site has not is fetched from central, or only shown.

The calls of Neutron's that read one object, or a list of named ones.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from neutron.extensions import securitygroup as ext_group
from neutron_lib import exceptions as n_exc

from isthmus import errors
from isthmus.config.site import SiteConfig
from isthmus.model.intent import ResourceType
from isthmus.neutron.api.faults import to_fault
from isthmus.neutron.local.fetch import read_request
from isthmus.neutron.local.fetch.on_demand import OnDemand, find_asker
from isthmus.neutron.local.owned import applying
from isthmus.neutron.local.owned.ownership import Ownership
from isthmus.neutron.local.owned.person import acting_for

_T = TypeVar("_T")


class CentralUnreachable(n_exc.ServiceUnavailable):
    """This site would have to ask central, and cannot."""

    message = "%(reason)s"


class NotYet(n_exc.ServiceUnavailable):
    """What is asked for cannot be made at this site at the moment; central has answered."""

    message = "%(reason)s"


class Fetching(Ownership):
    """ML2 that asks central for what is named and not here."""

    site: SiteConfig
    on_demand: OnDemand

    def _fetch_missing(
        self,
        context: Any,
        kind: ResourceType,
        ids: Sequence[str] | None,
        fields: Sequence[str] | None = None,
        *,
        missed: bool = False,
    ) -> bool:
        """Fetch what a person named and this site has not.

        Returns:
            Whether it is worth looking again.

        Raises:
            CentralUnreachable: central would have to be asked, and does not answer.
            NotYet: what central sent cannot be made at the moment.
        """
        if not ids or applying.current() is not None:
            return False
        asker = find_asker(context, fields)
        if asker is None:
            return False
        with self._asking(kind, ids), acting_for(asker):
            return self.on_demand.fetch_missing(kind, ids, asker, missed=missed)

    @contextlib.contextmanager
    def _asking(self, kind: ResourceType, ids: Sequence[str]) -> Iterator[None]:
        """Say to a person why central's answer is missing."""
        try:
            yield
        except errors.Stale as error:
            raise NotYet(reason=error.message) from error
        except errors.Transient as error:
            raise CentralUnreachable(
                reason=f"{kind.value.replace('_', ' ').capitalize()} {', '.join(ids)} is not known "
                f"at site {self.site.site}, and {error.message}"
            ) from error
        except errors.IsthmusError as error:
            raise to_fault(error) from error

    def _or_fetch(
        self,
        context: Any,
        kind: ResourceType,
        resource_id: str,
        missing: type[Exception],
        fields: Sequence[str] | None,
        get: Callable[[], _T],
    ) -> _T:
        try:
            return get()
        except missing:
            if not self._fetch_missing(context, kind, [resource_id], fields, missed=True):
                raise
        return get()

    def get_network(
        self, context: Any, id: str, fields: Any = None, net_db: Any = None
    ) -> dict[str, Any]:
        """Show a network, fetched if need be."""
        return self._or_fetch(
            context,
            ResourceType.NETWORK,
            id,
            n_exc.NetworkNotFound,
            fields,
            lambda: super(Fetching, self).get_network(context, id, fields, net_db),
        )

    def get_networks(
        self, context: Any, filters: Any = None, *arguments: Any, **options: Any
    ) -> list[dict[str, Any]]:
        """List networks; those named by id are fetched if need be."""
        self._fetch_missing(context, ResourceType.NETWORK, (filters or {}).get("id"))
        found: list[dict[str, Any]] = super().get_networks(context, filters, *arguments, **options)
        return found

    def get_subnet(self, context: Any, id: str, fields: Any = None) -> dict[str, Any]:
        """Show a subnet, fetched with its network if need be."""
        return self._or_fetch(
            context,
            ResourceType.SUBNET,
            id,
            n_exc.SubnetNotFound,
            fields,
            lambda: super(Fetching, self).get_subnet(context, id, fields),
        )

    def get_subnets(
        self, context: Any, filters: Any = None, *arguments: Any, **options: Any
    ) -> list[dict[str, Any]]:
        """List subnets; those named by id, or by their network's, are fetched if need be."""
        self._fetch_missing(context, ResourceType.SUBNET, (filters or {}).get("id"))
        self._fetch_missing(context, ResourceType.NETWORK, (filters or {}).get("network_id"))
        found: list[dict[str, Any]] = super().get_subnets(context, filters, *arguments, **options)
        return found

    def get_port(self, context: Any, id: str, fields: Any = None) -> dict[str, Any]:
        """Show a port; one that is not here as central knows it, or fetched if need be."""
        if read_request.is_read_or_change_of(id):
            try:
                here: dict[str, Any] = super().get_port(context, id, fields)
                return here
            except n_exc.PortNotFound:
                for state in self._show(context, [id], fields):
                    return read_request.show(state, fields)
                raise
        return self._or_fetch(
            context,
            ResourceType.PORT,
            id,
            n_exc.PortNotFound,
            fields,
            lambda: super(Fetching, self).get_port(context, id, fields),
        )

    def get_ports(
        self, context: Any, filters: Any = None, fields: Any = None, *rest: Any, **options: Any
    ) -> list[dict[str, Any]]:
        """List ports; those named by id are shown as central knows them, or fetched if need be."""
        ids = list((filters or {}).get("id") or ())
        only_read = bool(ids) and read_request.is_read()
        if not only_read:
            self._fetch_missing(context, ResourceType.PORT, ids)
        found: list[dict[str, Any]] = super().get_ports(context, filters, fields, *rest, **options)
        if only_read:
            states = self._show(context, ids, None)
            found += [
                read_request.show(one, fields) for one in read_request.choose(states, filters)
            ]
        return found

    def _show(
        self, context: Any, ids: Sequence[str], fields: Sequence[str] | None
    ) -> list[Mapping[str, Any]]:
        """Ask central for ports that a person named and this site has not, only to show them.

        Raises:
            CentralUnreachable: central does not answer.
        """
        asker = find_asker(context, fields) if applying.current() is None else None
        if asker is None:
            return []
        with self._asking(ResourceType.PORT, ids), acting_for(asker):
            return self.on_demand.show(ids, asker)

    def _bring_home(self, context: Any, port_id: str) -> None:
        """Have a port that is to be changed come home to this site, if it is not here.

        Raises:
            CentralUnreachable: central does not answer, or the port is still moving.
            Fault: it lives at another site.
        """
        self._fetch_missing(context, ResourceType.PORT, [port_id], missed=True)

    def get_security_group(
        self, context: Any, id: str, fields: Any = None, project_id: str | None = None
    ) -> dict[str, Any]:
        """Show a security group, fetched if need be."""
        return self._or_fetch(
            context,
            ResourceType.SECURITY_GROUP,
            id,
            ext_group.SecurityGroupNotFound,
            fields,
            lambda: super(Fetching, self).get_security_group(context, id, fields, project_id),
        )

    def get_security_groups(
        self, context: Any, filters: Any = None, *arguments: Any, **options: Any
    ) -> list[dict[str, Any]]:
        """List security groups; those named by id are fetched if need be."""
        self._fetch_missing(context, ResourceType.SECURITY_GROUP, (filters or {}).get("id"))
        found: list[dict[str, Any]] = super().get_security_groups(
            context, filters, *arguments, **options
        )
        return found
