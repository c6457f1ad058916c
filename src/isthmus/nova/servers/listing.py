"""Nova's API of servers with a list that asks all cells at once, each within a budget.

Source:
    nova 34.0.0: `nova.compute.api.API.get_all`, `nova.compute.instance_list`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import nova.conf
from nova import context as nova_context
from nova import exception, objects
from nova.compute import api
from oslo_log import log as logging
from typing_extensions import override

from isthmus import errors
from isthmus.cells.servers.breaker import Breakers
from isthmus.cells.servers.listing import Listing, find_after
from isthmus.model.compute.cloud import Cell, CellAddress
from isthmus.model.compute.server import ServerQuery
from isthmus.nova.servers.instances import Instances, Makers
from isthmus.nova.servers.search import plan_filters, plan_keys
from isthmus.store.nova.mappings import ApiMappings
from isthmus.store.nova.server.specs import collect_choices
from isthmus.store.nova.servers import CellServers

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

#: What an answer has of each server in any case.
_ALWAYS = frozenset({"metadata", "flavor", "network_info", "faults", "volumes", "user_data"})
#: What Nova's controller asks for besides, where the microversion shows it.
_ASKED = frozenset({"tags", "services", "trusted_certs", "system_metadata"})
#: What is called otherwise in a request.
_NAMES = {"image": "image_ref", "name": "display_name", "tenant_id": "project_id"}


@dataclass(frozen=True, slots=True)
class Databases:
    """Where a list reads, and how long each cell may take."""

    budget_s: float
    breakers: Breakers = field(default_factory=Breakers)

    def open_api(self) -> ApiMappings:
        """Return the mappings in the API database."""
        return ApiMappings(CONF.api_database.connection, self.budget_s)

    def collect_choices(self, uuids: Sequence[str]) -> dict[str, Any]:
        """Read the zone and the hints that servers were created with."""
        return dict(collect_choices(CONF.api_database.connection, uuids, self.budget_s))


class ServersApi(api.API):
    """Nova's own, but for how servers are listed."""

    def __init__(self, databases: Databases) -> None:
        """Take what lists read."""
        super().__init__()
        self._databases = databases

    @override
    def get_all(
        self,
        context: Any,
        search_opts: dict[str, Any] | None = None,
        limit: int | None = None,
        marker: str | None = None,
        expected_attrs: list[str] | None = None,
        sort_keys: list[str] | None = None,
        sort_dirs: list[str] | None = None,
        cell_down_support: bool = False,
        all_tenants: bool = False,
    ) -> Any:
        """List servers; what is asked for in a way that only Nova knows is asked of Nova.

        Args:
            context: of the request, perhaps elevated.
            search_opts: of Nova's controller.
            limit: of servers.
            marker: the list goes on after this server.
            expected_attrs: what the view shows besides.
            sort_keys: in their order.
            sort_dirs: of them.
            cell_down_support: give a stub for each server of a cell that does not answer.
            all_tenants: of all projects.

        Raises:
            MarkerNotFound: there is no such server.
            Unreachable: its cell does not answer.
        """
        order = plan_keys(sort_keys or [], sort_dirs or [])
        options = _rename(context, search_opts or {})
        filters = plan_filters(_restrict(context, options))
        if filters is None or order is None:
            return super().get_all(
                context,
                search_opts=search_opts,
                limit=limit,
                marker=marker,
                expected_attrs=expected_attrs,
                sort_keys=sort_keys,
                sort_dirs=sort_dirs,
                cell_down_support=cell_down_support,
                all_tenants=all_tenants,
            )
        try:
            found = objects.BuildRequestList.get_by_filters(
                context,
                options,
                limit=limit,
                marker=marker,
                sort_keys=sort_keys,
                sort_dirs=sort_dirs,
            )
            building, marker = [one.instance for one in found], None
        except exception.MarkerNotFound:
            building = []  # it is one that a cell has
        details = _ALWAYS | _ASKED.intersection(expected_attrs or ())
        query = ServerQuery(order=order, filters=filters, details=details)
        room = limit - len(building) if limit else limit
        given, down = self._list_cells(context, query, room, marker)
        if down and not cell_down_support and not CONF.api.list_records_by_skipping_down_cells:
            raise exception.NovaException(f"cells do not answer: {', '.join(down)}")
        instances = list({one.uuid: one for one in reversed([*building, *given])}.values())[::-1]
        if cell_down_support:
            project = None if all_tenants else options.get("project_id", context.project_id)
            left = limit - len(instances) if limit else limit
            stubs = self._generate_minimal_construct_for_down_cells(context, down, project, left)
            instances = [*stubs, *instances]
        return Instances(objects=instances)

    def _list_cells(
        self, context: Any, query: ServerQuery, limit: int | None, marker: str | None
    ) -> tuple[list[Any], list[str]]:
        """List the servers of all cells, and the uuids of the cells that do not answer."""
        if limit == 0:
            return [], []
        cells = _find_cells(context)
        servers = CellServers(self._databases.budget_s, pooled=True)
        if marker:
            try:
                after = find_after(self._databases.open_api(), servers, cells, marker, query)
            except errors.NotFound as exc:
                raise exception.MarkerNotFound(marker=marker) from exc
            query = replace(query, after=after)
        listing = Listing(
            cells, servers, query, self._databases.budget_s, self._databases.breakers, limit
        )
        makers = Makers(context)
        found = [makers.make(one) for one in listing]
        for cell in listing.silent:
            LOG.warning(
                "Cell %s does not answer, its servers are left out: %s", cell.uuid, cell.error
            )
        return found, [one.uuid for one in listing.silent]


def _find_cells(context: Any) -> tuple[CellAddress, ...]:
    """Return the cells that Nova would ask."""
    if CONF.api.instance_list_per_project_cells and not context.is_admin:
        mappings = objects.CellMappingList.get_by_project_id(context, context.project_id)
    else:
        nova_context.load_cells()
        mappings = nova_context.CELLS
    return tuple(
        CellAddress(
            id=one.id,
            cell=Cell(name=one.name or "", uuid=one.uuid, disabled=one.disabled),
            database=one.database_connection,
        )
        for one in mappings
    )


def _rename(context: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return search options as Nova's tables call them.

    Raises:
        FlavorNotFound: there is no such flavor.
    """
    found = {}
    for given, value in options.items():
        if given == "flavor":
            found["instance_type_id"] = objects.Flavor.get_by_flavor_id(context, value).id
        else:
            found[_NAMES.get(given, given)] = value
    return found


def _restrict(context: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for one who may only see what is their own."""
    if context.is_admin:
        return dict(options)
    if context.project_id:
        return {**options, "project_id": context.project_id}
    return {**options, "user_id": context.user_id}
