"""The user for whom this thread works: that user's token is sent along when central is asked."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import pecan
from oslo_context import context as oslo_context

_token: contextvars.ContextVar[str | None] = contextvars.ContextVar("isthmus_person", default=None)


@contextlib.contextmanager
def acting_for(context: Any) -> Iterator[None]:
    """Work for the user of a request; an elevated context is still that user's."""
    before = _token.set(_token_of(context))
    try:
        yield
    finally:
        _token.reset(before)


def find_token() -> str | None:
    """Return the token of the user for whom this thread works; None where there is none.

    Neutron's policy creates contexts on the way (Source: `neutron.policy.OwnerCheck`), with a
    project and no token, which replace the request's as the thread's current one. The context of
    the served request has the token.
    """
    return _token.get() or _token_of(_served()) or _token_of(oslo_context.get_current())


def _token_of(context: Any) -> str | None:
    return getattr(context, "auth_token", None) or None


def _served() -> Any:
    """Return the context of the request that this thread serves."""
    try:
        return pecan.request.environ.get("neutron.context")
    except AttributeError:  # it serves none
        return None
