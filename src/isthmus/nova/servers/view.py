"""Nova's own view of servers, on what was read with them already.

Source:
    nova 34.0.0: `nova.api.openstack.compute.views.servers.ViewBuilder`.
"""

from typing import Any

from nova.api.openstack import api_version_request
from nova.api.openstack.compute.views import flavors as view_flavors
from nova.api.openstack.compute.views import images as view_images
from nova.api.openstack.compute.views import servers as views
from nova.objects import virtual_interface
from typing_extensions import override

from isthmus.nova.servers.instances import Instances
from isthmus.nova.servers.listing import Databases

#: Stands for a server's id in links that are made once.
_ID = "00000000-0000-4000-8000-000000000000"
#: Where a request keeps them.
_LINKS = "isthmus.links"
_BOOKMARKS = "isthmus.bookmarks"


class _Remembering:
    """Makes the link to what many servers share once a request."""

    def _get_bookmark_link(self, request: Any, identifier: str, collection_name: str) -> Any:
        known: dict[tuple[str, str], Any] = request.environ.setdefault(_BOOKMARKS, {})
        key = (collection_name, identifier)
        if key not in known:
            made = super()._get_bookmark_link(  # type: ignore[misc]
                request, identifier, collection_name
            )
            known[key] = made
        return known[key]


class _Images(_Remembering, view_images.ViewBuilder):
    """Nova's own."""


class _Flavors(_Remembering, view_flavors.ViewBuilder):
    """Nova's own."""


class View(views.ViewBuilder):
    """Nova's own: it shows each server. What it would ask for many servers at once is at hand."""

    #: Where what users chose is read; set by who makes it.
    databases: Databases

    def __init__(self) -> None:
        """Have Nova's own at hand."""
        super().__init__()
        self._plain = views.ViewBuilder()
        self._image_builder = _Images()
        self._flavor_builder = _Flavors()

    @override
    def detail(self, request: Any, instances: Any, cell_down_support: bool = False) -> Any:
        """Show a list; one that Nova has made itself is shown by Nova's own view."""
        shows = super().detail if isinstance(instances, Instances) else self._plain.detail
        return shows(request, instances, cell_down_support=cell_down_support)

    @override
    def _list_view(
        self, func: Any, request: Any, servers: Any, coll_name: str, *rest: Any, **named: Any
    ) -> Any:
        """Show a list as Nova does, without making objects of request specs and volumes.

        Args:
            func: shows one.
            request: that is answered.
            servers: of the list.
            coll_name: for the link to the next page.
            rest: for `func`.
            named: the same.
        """
        choices: dict[str, Any] = {}
        shows_zone = api_version_request.is_supported(request, "2.96")
        if shows_zone:
            choices = self.databases.collect_choices([one.uuid for one in servers])
        named["bdms"] = servers.list_volumes()
        if rest:
            named["show_extra_specs"] = rest[0]
        shown = []
        for one in servers:
            if one.uuid == virtual_interface.FAKE_UUID:  # a mark of a migration of Nova's
                continue
            zone, hints = choices.get(one.uuid, (None, None))
            server = func(
                request,
                one,
                **named,
                provided_az=views.AZ_NOT_IN_REQUEST_SPEC if zone is None else zone,
                provided_sched_hints=(
                    views.SCHED_HINTS_NOT_IN_REQUEST_SPEC if hints is None else hints
                ),
            )
            shown.append(server["server"])
        links = self._get_collection_links(request, servers, coll_name)
        return {"servers": shown, **({"servers_links": links} if links else {})}

    @override
    def _get_links(self, request: Any, identifier: str, collection_name: str) -> Any:
        """Return the links of one server; only the id differs from those of the first."""
        known = request.environ.get(_LINKS)
        if known is None:
            known = super()._get_links(request, _ID, collection_name)
            request.environ[_LINKS] = known
        return [{**one, "href": one["href"].replace(_ID, identifier)} for one in known]

    @staticmethod
    @override
    def _get_instance_bdms_in_multiple_cells(ctxt: Any, instance_uuids: list[str]) -> Any:
        """Ask no cell: instances bring their volumes."""
        del ctxt, instance_uuids
        return {}
