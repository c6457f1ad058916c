"""The user of a call, and the user on whose behalf it is made."""

from typing import Any

from oslo_log import log as logging

from isthmus.model.principal import Caller

LOG = logging.getLogger(__name__)


def get_caller(context: Any) -> Caller:
    """Return the user whose token came with a call."""
    return Caller(
        context.user_id or "",
        context.user_name or "",
        getattr(context, "user_domain_id", None) or "",
    )


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
