"""Sites: one place with one Neutron, one OVN and one Keystone region."""

import enum
from dataclasses import dataclass
from typing import NewType

SiteName = NewType("SiteName", str)

#: The lane in which a site reports to central, and the owner of central's own address blocks.
CENTRAL = SiteName("central")


class SiteState(enum.StrEnum):
    """What an operator wants of a site."""

    ENABLED = "enabled"  #: takes part in everything
    DRAINING = "draining"  #: keeps what it has; no network is extended to it any more
    DISABLED = "disabled"  #: central neither sends to it nor takes its reports


class Reachability(enum.StrEnum):
    """What central last saw of a site."""

    UNKNOWN = "unknown"  #: never tried yet
    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One site as central knows it."""

    name: SiteName
    region: str  #: Keystone region that holds the site's endpoints
    availability_zones: tuple[str, ...]  #: Neutron zones that the site serves; at least one
    state: SiteState = SiteState.ENABLED
    service_user: str  #: who alone may speak for the site; `isthmus.model.principal`
    tunnel_prefixes: tuple[str, ...] = ()  #: where its tunnel addresses lie; () for anywhere
    #: Physical networks that it shares with the other sites that name them; others are its own.
    fabrics: tuple[str, ...] = ()
    reachability: Reachability = Reachability.UNKNOWN
    description: str = ""
