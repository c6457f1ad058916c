"""A log of who was refused what: a filter of Neutron's pipeline, right behind `request_id`.

Neutron's own log says neither who called nor, for what its policy hides behind a 404, that anything
was refused. Who may try the doors of other tiers is a service, or somebody with a token that is no
good: these are written down, and whoever calls what Isthmus adds.
"""

from collections.abc import Callable, Mapping
from typing import Any

import webob
import webob.dec
from oslo_log import log as logging

LOG = logging.getLogger(__name__)

#: What Isthmus adds to Neutron's API.
_OURS = "/site"
_VERSION = "/v2.0"
#: Roles of services, of Keystone and ours; a tenant's refusals are Neutron's own business.
_SERVICES = ("service", "isthmus_")


def is_worth_a_line(environ: Mapping[str, Any], status: int) -> bool:
    """Tell whether an answer is written down."""
    if status < 400:
        return False
    roles = str(environ.get("HTTP_X_ROLES", "")).split(",")
    service = any(role.startswith(_SERVICES) for role in roles)
    path = str(environ.get("PATH_INFO", "")).removeprefix(_VERSION)
    return service or status in (401, 403, 413) or path.startswith(_OURS)


def render_line(environ: Mapping[str, Any], status: int, reason: str) -> str:
    """Say who was refused what."""
    user, name, roles = (
        environ.get(f"HTTP_X_{key}") or "nobody" for key in ("USER_ID", "USER_NAME", "ROLES")
    )
    service = environ.get("HTTP_X_SERVICE_USER_ID")
    where = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    return (
        f"refused: user={user} name={name} roles={roles}"
        + (f" service={service}" if service else "")
        + f" request={environ.get('openstack.request_id')}"
        + f" from={environ.get('REMOTE_ADDR')}: {environ.get('REQUEST_METHOD')} {where[:200]}"
        + f" -> {status} {reason[:300]}"
    )


class Refusals:
    """The filter."""

    def __init__(self, application: Any) -> None:
        """Stand before an application."""
        self._application = application

    @webob.dec.wsgify
    def __call__(self, request: Any) -> Any:
        """Pass a request on, and write down what was refused."""
        response = request.get_response(self._application)
        if is_worth_a_line(request.environ, response.status_int):
            line = render_line(request.environ, response.status_int, response.text or "")
            LOG.warning("%s", line.replace("\n", " "))
        return response


def filter_factory(_global: Any, **_local: Any) -> Callable[[Any], Refusals]:
    """Give the filter; Paste finds this function by its name."""
    return Refusals
