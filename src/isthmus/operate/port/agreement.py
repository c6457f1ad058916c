"""Whether what the tiers know of a port agrees. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class PortView:
    """What one tier knows of a port."""

    tier: str
    known_as: str  #: "port", "shadow", "nothing", or "" where the tier did not answer
    mac_address: str = ""
    addresses: tuple[str, ...] = ()
    status: str = ""
    host: str = ""
    port_key: int | None = None  #: OVN's at the tier; at central what the home has reported
    #: whether it is as central, the home and this tier's OVN have it; None where that was not seen
    agrees: bool | None = None
    differs: tuple[str, ...] = ()  #: what is not
    error: str = ""  #: why the tier did not answer, or did not show its OVN


@dataclass(frozen=True, slots=True)
class OvnRow:
    """The row of a port, or of a shadow of it, in a site's OVN."""

    key: int | None
    requested_key: int | None  #: that the row asks for
    is_bound: bool  #: whether a hypervisor has it


@dataclass(frozen=True, slots=True)
class Location:
    """What a port's home has reported of where it is."""

    site: str
    port_key: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """A site's view, and the row of its OVN."""

    view: PortView
    row: OvnRow | None = None  #: None where there is none
    shadow_key: int | None = None  #: that Neutron there asks for
    is_present: bool = True  #: whether the network is to stay at the site


def judge_central(central: PortView, location: Location | None, seen: Sequence[Seen]) -> PortView:
    """Tell whether central knows where a port is, as far as its home shows that."""
    if central.error:
        return central
    key = None if location is None else location.port_key
    homes = [one for one in seen if one.view.known_as == "port"]
    unheard = [one.view.tier for one in homes if one.row and one.row.is_bound and location is None]
    differs = [f"has not heard where it is at {tier}" for tier in unheard]
    known = {one.view.tier for one in homes}
    asked = {one.view.tier for one in seen if one.view.known_as}
    if location is not None and location.site in asked - known:
        differs.append(f"has it at {location.site}, which has no such port")
    unseen = any(one.view.error for one in homes) or len(asked) < len(seen)
    agrees = False if differs else None if unseen else True
    return replace(central, port_key=key, agrees=agrees, differs=tuple(differs))


def judge(seen: Seen, central: PortView, location: Location | None) -> PortView:
    """Compare a site's view with central's, and with the site's OVN.

    A shadow has the addresses of allowed address pairs besides.
    """
    view = seen.view
    if view.known_as == "nothing" and seen.is_present and location is not None:
        return replace(view, agrees=False, differs=(f"no shadow; it is at {location.site}",))
    if view.known_as not in ("port", "shadow"):
        return view
    is_shadow = view.known_as == "shadow"
    differs = []
    if view.mac_address != central.mac_address:
        differs.append(f"MAC {view.mac_address}, at central {central.mac_address}")
    wanted, here = set(central.addresses), set(view.addresses)
    if not (wanted <= here if is_shadow else wanted == here):
        differs.append(f"addresses {_say(here)}, at central {_say(wanted)}")
    if is_shadow and location is None and not central.error:
        differs.append("central does not know where the port is")
    if not view.error:
        differs += _judge_row(seen, None if location is None else location.port_key)
    agrees = False if differs else None if view.error or central.error else True
    return replace(view, agrees=agrees, differs=tuple(differs))


def _judge_row(seen: Seen, reported: int | None) -> Iterator[str]:
    """Compare the row of a site's OVN with what was asked for, and with what the home reported."""
    row = seen.row
    if row is None:
        yield "OVN has no row of it"
        return
    asked = row.requested_key if seen.shadow_key is None else seen.shadow_key
    if row.key != asked and asked is not None:
        yield f"OVN has key {row.key}, asked for was {asked}"
    if reported is not None and asked not in (None, reported):
        yield f"key {asked}, at central {reported}"


def _say(addresses: Iterable[str]) -> str:
    return ", ".join(sorted(addresses)) or "none"
