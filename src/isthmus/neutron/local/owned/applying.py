"""Whether this thread is carrying out an item of central's.

While it is, the guards that keep tenants from changing central's objects pass, addresses outside
the site's leases are accepted, and nothing is journalled: what came from central need not be
reported back to it.
"""

import contextlib
import contextvars
from collections.abc import Iterator

from isthmus.model.item import Item

_current: contextvars.ContextVar[Item | None] = contextvars.ContextVar("isthmus_item", default=None)


@contextlib.contextmanager
def carrying_out(item: Item) -> Iterator[None]:
    """Mark this thread as carrying out an item, within the block."""
    token = _current.set(item)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Item | None:
    """Return the item that this thread carries out, if any."""
    return _current.get()
