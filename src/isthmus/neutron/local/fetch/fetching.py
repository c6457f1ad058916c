"""Fetches from central what a request names and this site does not have, or only shows it.

It wraps those calls of Neutron that read one object, or a list of named ones.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from neutron_lib import exceptions as n_exc

from isthmus import errors
from isthmus.config.site import SiteConfig
from isthmus.model.resource import ResourceType
from isthmus.neutron.api.faults import to_fault
from isthmus.neutron.api.inherited import find_inherited
from isthmus.neutron.local.fetch import read_request
from isthmus.neutron.local.fetch.on_demand import OnDemand, find_asker
from isthmus.neutron.local.owned import applying
from isthmus.neutron.local.owned.ownership import Ownership
from isthmus.neutron.local.owned.person import acting_for
from isthmus.neutron.local.resource.registry import ROWS
from isthmus.neutron.local.resource.row import LocalResource

_T = TypeVar("_T")
_Plugin = TypeVar("_Plugin", bound=type)


class CentralUnreachable(n_exc.ServiceUnavailable):
    """This site would have to ask central, and cannot."""

    message = "%(reason)s"


class NotYet(n_exc.ServiceUnavailable):
    """The object cannot be created at this site at the moment, though central has answered."""

    message = "%(reason)s"


class Asking:
    """What a plugin needs in order to ask central for named objects that are missing here."""

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
        """Fetch objects that a request names and this site does not have.

        Returns:
            Whether the caller should read again.

        Raises:
            CentralUnreachable: central would have to be asked, and does not answer.
            NotYet: what central sent cannot be created at the moment.
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
        """Turn a failure to reach central into an answer for the user."""
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

    def _search(
        self, kind: ResourceType, search: read_request.Search, asker: Any
    ) -> list[Mapping[str, Any]]:
        """Ask central for what a user searches for by name and this site has not.

        One object is fetched, as if its id had been said; of several none is.

        Returns:
            What central shows to this user.

        Raises:
            CentralUnreachable: central does not answer.
            NotYet: what central sent cannot be created at the moment.
        """
        with self._asking(kind, search.names), acting_for(asker):
            shown = self.on_demand.search(search, asker)
            if len(shown) == 1:
                self.on_demand.fetch_missing(kind, [shown[0]["id"]], asker, missed=True)
        return shown

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


def fetching(plugin: _Plugin) -> _Plugin:
    """Make a plugin, which is `Asking`, fetch what its calls name: a class decorator.

    It wraps the calls that show one object of a resource or list some. A method that the class
    defines itself is not wrapped.
    """
    for row in ROWS.values():
        if not row.resource.on_demand:
            continue
        show, lists = f"get_{row.resource.member}", f"get_{row.resource.collection}"
        if hasattr(plugin, show) and show not in vars(plugin):
            setattr(plugin, show, _fetch_one(find_inherited(plugin, show), row))
        if hasattr(plugin, lists) and lists not in vars(plugin):
            setattr(plugin, lists, _fetch_named(find_inherited(plugin, lists), row))
    return plugin


def _fetch_one(native: Any, row: LocalResource) -> Callable[..., Any]:
    @functools.wraps(native)
    def call(
        self: Any, context: Any, id: str, fields: Any = None, *rest: Any, **options: Any
    ) -> Any:
        return self._or_fetch(
            context,
            row.kind,
            id,
            row.not_found,
            fields,
            lambda: native(self, context, id, fields, *rest, **options),
        )

    return call


def _fetch_named(native: Any, row: LocalResource) -> Callable[..., Any]:
    named_by = {"id": row.kind, **row.named_by}

    @functools.wraps(native)
    def call(
        self: Any,
        context: Any,
        filters: Any = None,
        fields: Any = None,
        *rest: Any,
        **options: Any,
    ) -> Any:
        for name, kind in named_by.items():
            self._fetch_missing(context, kind, (filters or {}).get(name))
        search = read_request.find_search(row.resource, filters, options.get("marker"))
        # Neutron may leave a transaction open behind a list, which only reads.
        asker = find_asker(context) if search and applying.current() is None else None
        found = native(self, context, filters, fields, *rest, **options)
        if found or search is None or asker is None:
            return found
        shown = self._search(row.kind, search, asker)
        here = native(self, context, filters, fields, *rest, **options) if len(shown) == 1 else []
        # It reads as of before, where Neutron has left a transaction open.
        return here or [read_request.show(one, fields) for one in shown]

    return call


@fetching
class Fetching(Asking, Ownership):
    """ML2 that asks central for named objects that are missing here."""

    def get_port(self, context: Any, id: str, fields: Any = None) -> dict[str, Any]:
        """Show a port; a missing one is shown as central knows it, or fetched."""
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
        """List ports; missing ones named by id are shown as central knows them, or fetched."""
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
        """Ask central for missing ports that a request names, without fetching them.

        Raises:
            CentralUnreachable: central does not answer.
        """
        asker = find_asker(context, fields) if applying.current() is None else None
        if asker is None:
            return []
        with self._asking(ResourceType.PORT, ids), acting_for(asker):
            return self.on_demand.show(ids, asker)

    def _bring_home(self, context: Any, port_id: str) -> None:
        """Move the home of a port that is about to be changed to this site, if it is not here.

        Raises:
            CentralUnreachable: central does not answer, or the port is still moving.
            Fault: its home is another site and stays there.
        """
        self._fetch_missing(context, ResourceType.PORT, [port_id], missed=True)
