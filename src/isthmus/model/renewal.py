"""A renewal that somebody asked for: a site is compared with what it should hold, now."""

import enum
from dataclasses import dataclass

from isthmus.model.site import SiteName


class RenewalState(enum.StrEnum):
    """How far a requested renewal is."""

    WAITING = "waiting"  #: for a worker
    COMPARING = "comparing"  #: a worker compares page by page, or waits for the site to answer
    DONE = "done"  #: all was compared; what differed has its jobs
    FAILED = "failed"  #: a tier refused; the error says why


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalRequest:
    """What a worker has taken on."""

    id: str
    site: SiteName
    network_id: str = ""  #: empty: all that the site has
