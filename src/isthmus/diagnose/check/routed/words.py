"""How checks of routers name what they speak of, and when they apply."""

from isthmus.diagnose.check.look import Look
from isthmus.diagnose.course import Kind
from isthmus.diagnose.world import Row, Source, TableNotSeenError
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Subject

#: The group of checks that follow a packet from router to router.
WALK = "walk"


def name_of(row: Row | None, row_id: object) -> str:
    """Return a name and an id, as a person knows the object."""
    name = str((row or {}).get("name") or "")
    return f"{name} ({row_id})" if name and name != row_id else str(row_id)


def router_of(look: Look, router_id: str) -> str:
    """Return a router's name and id."""
    return f"router {name_of(look.fabric.router(router_id), router_id)}"


def network_of(look: Look, network_id: str) -> str:
    """Return a network's name and id."""
    return f"network {name_of(look.fabric.network(network_id), network_id)}"


def subnet_of(row: Row) -> str:
    """Return a subnet's prefix and id."""
    return f"subnet {row.get('cidr')} ({row['id']})"


def central(look: Look, text: str) -> str:
    """Return evidence of central."""
    return look.evidence(Source.CENTRAL, CENTRAL, text)


def subject(kind: str, row_id: object, place: str = CENTRAL) -> Subject:
    """Return an object as the subject of a verdict."""
    return Subject(str(row_id), kind, place)


def require(look: Look, table: str) -> None:
    """Give up where a table of central was not read.

    Raises:
        TableNotSeenError: it was not.
    """
    if not look.fabric.has(table):
        raise TableNotSeenError(f"{Source.CENTRAL.value} {CENTRAL}: {table} was not read")


def by_a_router(look: Look) -> str:
    """Return why a check of routers does not apply."""
    if not look.course.needs_router:
        return "the ends are on one network"
    return "" if look.sender.is_port else "it comes in from outside"


def on_a_router(look: Look) -> str:
    """Return why a check of the routers on a leg does not apply."""
    return "" if look.course.needs_router else "the ends are on one network"


def with_a_floating_ip(look: Look) -> str:
    """Return why a check of a floating IP does not apply."""
    if look.course.kind not in (Kind.OUT, Kind.IN):
        return "it stays inside"
    return "" if look.course.floating else "it has no floating IP"


def routers_on(look: Look) -> list[str]:
    """List the routers of a leg, in order."""
    ids = [one.router_id for one in look.course.passages]
    if look.course.router_id:
        ids.append(look.course.router_id)
    return list(dict.fromkeys(ids))
