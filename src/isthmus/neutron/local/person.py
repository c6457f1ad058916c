"""For whom this thread works just now: that person's token goes along when central is asked."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

from oslo_context import context as oslo_context

_token: contextvars.ContextVar[str | None] = contextvars.ContextVar("isthmus_person", default=None)


@contextlib.contextmanager
def acting_for(context: Any) -> Iterator[None]:
    """Work for the person of a request; an elevated context is still his."""
    before = _token.set(getattr(context, "auth_token", None) or None)
    try:
        yield
    finally:
        _token.reset(before)


def find_token() -> str | None:
    """Find the token of the person for whom this thread works; None where that is nobody.

    Neutron makes contexts of its own on the way, which take the place of the request's as the
    thread's current one; so that one is asked only where nobody said for whom.
    """
    token = _token.get()
    return token or getattr(oslo_context.get_current(), "auth_token", None) or None
