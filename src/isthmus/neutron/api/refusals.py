"""A log of refused requests: a filter of Neutron's pipeline, right behind `request_id`.

It refuses one kind itself: an address whose bytes are no UTF-8, at which Neutron, its extensions
and the libraries below fail with a 500 each, in a traceback of its own.

Neutron's own log says neither who called nor, for what its policy hides behind a 404 or an empty
list, that anything was refused. The callers of other tiers are services; somebody may also try with
an invalid token. Their refusals are logged, and those of every caller of the resources that Isthmus
adds.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import webob
import webob.dec
from oslo_log import log as logging

from isthmus import errors

LOG = logging.getLogger(__name__)

#: What Isthmus adds to Neutron's API.
_OURS = "/site"
_VERSION = "/v2.0"
#: Roles of services, of Keystone and ours; a tenant's refusals are Neutron's own business.
_SERVICE = "service"
_OUR_ROLES = "isthmus_"
#: What a service of ours asks to see whether a tier answers at all, with its Keystone.
#: (`definition` has the aliases, and imports Neutron.)
_SMALL = ("/extensions/isthmus", "/extensions/isthmus-local")
#: Roles of our services, which only POST to the resources that Isthmus adds, and GET that.
_MACHINES = frozenset({"isthmus_site", "isthmus_xjob", "isthmus_carrier"})


def find_verdict(environ: Mapping[str, Any], status: int) -> str:
    """Return the word for an answer that is logged; "" for one that is not."""
    roles = str(environ.get("HTTP_X_ROLES", "")).split(",")
    path = str(environ.get("PATH_INFO", "")).removeprefix(_VERSION)
    ours = path.startswith(_OURS)
    our_service = any(role.startswith(_OUR_ROLES) for role in roles)
    if status >= 400 and (ours or our_service or _SERVICE in roles or status in (401, 403, 413)):
        return "refused"
    method = environ.get("REQUEST_METHOD")
    known = (ours and method == "POST") or (path in _SMALL and method == "GET")
    if _MACHINES.intersection(roles) and not known:
        return "unexpected"
    context = environ.get("neutron.context")
    # A service of another tier: this tier's policy does not know its role.
    if _SERVICE in roles and context is not None and not context.is_service_role:
        return "unexpected"
    return ""


def render_line(environ: Mapping[str, Any], status: int, reason: str) -> str:
    """Return the log line: who got which answer."""
    user, name, roles = (
        environ.get(f"HTTP_X_{key}") or "nobody" for key in ("USER_ID", "USER_NAME", "ROLES")
    )
    service = environ.get("HTTP_X_SERVICE_USER_ID")
    where = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    line = (
        f"user={user} name={name} roles={roles}"
        + (f" service={service}" if service else "")
        + f" request={environ.get('openstack.request_id')}"
        + f" from={environ.get('REMOTE_ADDR')}: {environ.get('REQUEST_METHOD')} {where[:200]}"
        + f" -> {status} {reason[:300]}"
    )
    return line.replace("\n", " ")


def find_unreadable(environ: Mapping[str, Any]) -> str:
    """Return what of a request's address is not UTF-8 once its %XX are bytes; "" where all is."""
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}".encode("latin-1")
    query = unquote_to_bytes(str(environ.get("QUERY_STRING", "")).encode("latin-1"))
    for word, text in (("path", path), ("query string", query)):
        try:
            text.decode()
        except UnicodeDecodeError as error:
            return f"the {word} of the request is not UTF-8: {text[error.start : error.end]!r}"
    return ""


def answer_invalid(message: str) -> webob.Response:
    """Return the answer to a request that no method of Neutron's sees."""
    said = {"type": errors.Invalid.code, "message": message, "detail": ""}
    return webob.Response(
        status=400,
        content_type="application/json",
        body=json.dumps({"NeutronError": said}).encode(),
    )


class Refusals:
    """The filter."""

    def __init__(self, application: Any) -> None:
        """Wrap an application."""
        self._application = application

    @webob.dec.wsgify
    def __call__(self, request: Any) -> Any:
        """Pass a request on if it can be read, and log the answer if it is a refusal."""
        unreadable = find_unreadable(request.environ)
        if unreadable:
            response = answer_invalid(unreadable)
        else:
            response = request.get_response(self._application)
        verdict = find_verdict(request.environ, response.status_int)
        if verdict:
            reason = response.text if verdict == "refused" and response.charset else ""
            LOG.warning(
                "%s: %s", verdict, render_line(request.environ, response.status_int, reason)
            )
        return response


def filter_factory(_global: Any, **_local: Any) -> Callable[[Any], Refusals]:
    """Return the filter; Paste finds this function by its name."""
    return Refusals
