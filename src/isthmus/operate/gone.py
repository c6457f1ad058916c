"""What sites that were removed have not let go of."""

from dataclasses import dataclass

from isthmus import errors
from isthmus.clients.http.admin import AdminApi
from isthmus.model.lease import PoolKind

#: Whose name begins so was a site: `isthmus.store.tiers.registration.aside`.
GONE = "gone/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """What a site that was removed has not let go of."""

    incarnation: str  #: gone/ID, with the id of the site as it was
    leases: int
    addresses: int
    port_keys: int
    ports: int  #: that are at home there, as far as central knows


def list_gone(api: AdminApi) -> list[Gone]:
    """List what removed sites have not let go of."""
    names = {row["site"] for row in api.iterate("site_lease")}
    names |= {row["site"] for row in api.iterate("site_mapping", type="port")}
    found = (find_gone(api, one) for one in sorted(names) if one.startswith(GONE))
    return [one for one in found if one is not None]


def get_gone(api: AdminApi, incarnation: str) -> Gone:
    """Get what one incarnation of a removed site has not let go of.

    Raises:
        NotFound: it holds nothing.
    """
    found = find_gone(api, incarnation)
    if found is None:
        name = _name(incarnation)
        raise errors.NotFound(f"no removed site {name} holds anything: see isthmus gone list")
    return found


def free_gone(api: AdminApi, incarnation: str) -> None:
    """Free for good what one incarnation of a removed site held."""
    for lease in api.iterate("site_lease", page_size=1, site=incarnation):
        api.act("site_lease", lease["id"], "free_for_good", {"all": True})
        return
    for home in api.list("site_mapping", type="port", site=incarnation):
        api.act("site_mapping", home["id"], "release", {"force": True})


def find_gone(api: AdminApi, incarnation: str) -> Gone | None:
    """Find what a removed site holds, by its name or the id that it had; None where nothing."""
    name = _name(incarnation)
    leases = api.list("site_lease", site=name)
    ports = api.list("site_mapping", type="port", site=name)
    if not leases and not ports:
        return None
    sizes = dict.fromkeys(PoolKind, 0)
    for one in leases:
        sizes[PoolKind(one["kind"])] += int(one["size"])
    return Gone(
        incarnation=name,
        leases=len(leases),
        addresses=sizes[PoolKind.SUBNET],
        port_keys=sizes[PoolKind.PORT_KEY],
        ports=len(ports),
    )


def _name(incarnation: str) -> str:
    return incarnation if incarnation.startswith(GONE) else f"{GONE}{incarnation}"
