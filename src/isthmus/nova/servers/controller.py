"""Nova's own controller of servers, with a list and a view that do not wait for cells.

    [filter:server_list]
    paste.filter_factory = isthmus.nova.servers.controller:make_filter
    budget = 5

Source:
    nova 34.0.0: `nova.api.openstack.compute.servers.ServersController.detail`.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from nova import exception
from nova.api import validation
from nova.api.openstack import wsgi
from nova.api.openstack.compute import servers
from nova.api.openstack.compute.schemas import servers as schema
from nova.policies import servers as policies
from oslo_log import log as logging
from typing_extensions import override
from webob import exc

from isthmus import errors
from isthmus.nova.servers.listing import Databases, ServersApi
from isthmus.nova.servers.view import View

LOG = logging.getLogger(__name__)

#: How long an answer may take though a cell hangs, where the filter's section says nothing.
BUDGET_S = 5.0
#: How much of that cells have; the rest is for what is made of their rows.
_FOR_CELLS = 0.8
_SILENT = "A part of this cloud does not answer: the list cannot go on there."
#: What is answered here; the project is what Nova's routes take for one.
_PATH = re.compile(r"(?:/(?P<project_id>[0-9a-f-]+))?/servers/detail")

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Controller(servers.ServersController):
    """Nova's own, for the list of servers with details."""

    _view_builder_class = View

    def __init__(self, databases: Databases) -> None:
        """Take what lists read."""
        super().__init__()
        self.compute_api = ServersApi(databases)
        self._view_builder.compute_api = self.compute_api
        self._view_builder.databases = databases

    @wsgi.expected_errors((400, 403, 503))  # type: ignore[untyped-decorator]
    @validation.query_schema(schema.index_query, "2.1", "2.25")  # type: ignore[untyped-decorator]
    @validation.query_schema(schema.index_query_v226, "2.26", "2.65")  # type: ignore[untyped-decorator]
    @validation.query_schema(schema.index_query_v266, "2.66", "2.72")  # type: ignore[untyped-decorator]
    @validation.query_schema(schema.index_query_v273, "2.73", "2.74")  # type: ignore[untyped-decorator]
    @validation.query_schema(schema.index_query_v275, "2.75")  # type: ignore[untyped-decorator]
    @override
    def detail(self, req: Any) -> Any:
        """Return what Nova's own returns, not validated once more."""
        req.environ["nova.context"].can(policies.SERVERS % "detail")
        try:
            return self._get_servers(req, is_detail=True)
        except exception.Invalid as error:
            raise exc.HTTPBadRequest(explanation=error.format_message()) from error
        except errors.IsthmusError as error:
            LOG.warning("A list of servers is refused: %s", error.message)
            # Where databases are is nothing for others.
            told = error.message if req.environ["nova.context"].is_admin else _SILENT
            raise exc.HTTPServiceUnavailable(explanation=told) from error


class ServerList:
    """What stands before the API and answers lists of servers."""

    def __init__(self, application: Wsgi, budget_s: float) -> None:
        """Stand before an application.

        Args:
            application: answers what is not answered here.
            budget_s: for an answer though a cell hangs.
        """
        self._application = application
        self._budget_s = budget_s
        self._resource: Any = None

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request."""
        found = _PATH.fullmatch(environ.get("PATH_INFO", ""))
        if environ.get("REQUEST_METHOD") != "GET" or found is None:
            return self._application(environ, start_response)
        if self._resource is None:  # Nova's options are not all read when filters are made
            self._resource = wsgi.Resource(Controller(Databases(self._budget_s * _FOR_CELLS)))
        arguments = {key: value for key, value in found.groupdict().items() if value is not None}
        environ["wsgiorg.routing_args"] = ((), {**arguments, "action": "detail"})
        answer: Iterable[bytes] = self._resource(environ, start_response)
        return answer


def make_filter(_global: dict[str, str], **local: str) -> Callable[[Wsgi], ServerList]:
    """Make the filter, for PasteDeploy."""
    budget_s = float(local.get("budget", BUDGET_S))
    return lambda application: ServerList(application, budget_s)
