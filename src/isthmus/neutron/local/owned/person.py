"""For whom this thread works just now: that person's token goes along when central is asked."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import pecan
from oslo_context import context as oslo_context

_token: contextvars.ContextVar[str | None] = contextvars.ContextVar("isthmus_person", default=None)


@contextlib.contextmanager
def acting_for(context: Any) -> Iterator[None]:
    """Work for the person of a request; an elevated context is still his."""
    before = _token.set(_token_of(context))
    try:
        yield
    finally:
        _token.reset(before)


def find_token() -> str | None:
    """Find the token of the person for whom this thread works; None where that is nobody.

    Neutron's policy makes contexts of its own on the way (Source: `neutron.policy.OwnerCheck`),
    with a project and no token, which take the place of the request's as the thread's current one.
    The request that is being served knows better.
    """
    return _token.get() or _token_of(_served()) or _token_of(oslo_context.get_current())


def _token_of(context: Any) -> str | None:
    return getattr(context, "auth_token", None) or None


def _served() -> Any:
    """Find the context of the request that this thread serves."""
    try:
        return pecan.request.environ.get("neutron.context")
    except AttributeError:  # it serves none
        return None
