"""Moved: `isthmus.neutron.db.session`."""

from isthmus.neutron.db.session import now, reading, writing

__all__ = ["now", "reading", "writing"]
