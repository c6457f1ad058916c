"""The user of a call, and the user on whose behalf it is made."""

from typing import Any

import sqlalchemy as sa
from oslo_context import context as oslo_context
from oslo_log import log as logging

from isthmus.model.intent import Event, What
from isthmus.model.principal import Caller
from isthmus.store.delivery import event

LOG = logging.getLogger(__name__)

#: Who does what nobody asked for.
CENTRAL_ITSELF = "central"


def get_caller(context: Any) -> Caller:
    """Return the user whose token came with a call."""
    return Caller(
        context.user_id or "",
        context.user_name or "",
        getattr(context, "user_domain_id", None) or "",
    )


def record_event(
    connection: sa.Connection,
    what: What,
    site: str,
    *,
    kind: str = "",
    resource_id: str = "",
    details: str = "",
) -> None:
    """Record an event of which the request that this thread serves is the cause.

    Args:
        connection: of the transaction that makes it so.
        what: what happened.
        site: at which site.
        kind: type of the object; empty where it is about the site as a whole.
        resource_id: the object.
        details: why, or what exactly.
    """
    who = _name_caller()
    event.record(
        connection,
        Event(what=what, who=who, site=site, type=kind, resource_id=resource_id, details=details),
    )


def _name_caller() -> str:
    """Return the name of the user whose request this thread serves, as oslo.log finds it."""
    context: Any = oslo_context.get_current()
    return str((context and (context.user_name or context.user_id)) or CENTRAL_ITSELF)


def get_service(context: Any) -> Caller:
    """Return the service that makes a call on a user's behalf (`X-Service-Token`)."""
    return Caller(
        context.service_user_id or "",
        context.service_user_name or "",
        getattr(context, "service_user_domain_id", None) or "",
    )


def log_refusal(context: Any, caller: Caller, what: str) -> None:
    """Log that a request was refused, and whose it was."""
    LOG.warning(
        "refused: user=%s name=%s project=%s request=%s: %s",
        caller.user_id,
        caller.user_name,
        context.project_id,
        context.request_id,
        what,
    )
