"""Whether this thread is carrying out an item of central's.

While it is, the guards that keep tenants from changing central's objects pass, addresses outside
the site's leases are accepted, and nothing is journalled: what came from central need not be
reported back to it.
"""

from isthmus.journal.turn import Turn
from isthmus.model.item import Item
from isthmus.neutron.db import guard


def current() -> Item | None:
    """Return the item that this thread carries out, if any."""
    return guard.find_subject(Item)


def find_turn() -> Turn | None:
    """Return how much time this thread has for what central sent; None where nobody bounds it."""
    return guard.find_subject(Turn)
