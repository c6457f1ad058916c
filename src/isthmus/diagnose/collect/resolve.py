"""Which port a person means: an id, a name, a server, or an address, at central or at a site."""

from collections.abc import Sequence

from isthmus import errors
from isthmus.diagnose.collect.protocols import Api, WaysIn
from isthmus.diagnose.question import family_of
from isthmus.diagnose.world import Row

#: Ends of a way that lead through a router, which is not followed yet.
_ROUTED = frozenset({"external", "internet"})


def resolve_port(ways: WaysIn, asked: str) -> tuple[Row, str, str]:
    """Find the port that a person means, with an address and a site where these are known.

    Args:
        ways: to central and the sites.
        asked: id, name, ADDRESS or ADDRESS@NETWORK, id of a server, or name of a lab's server.

    Returns:
        The port, the address that was asked for (empty where none was), and the site that alone
        knows the port (empty where central does).

    Raises:
        NotFound: there is none, or none that the person may see.
        Conflict: several are meant.
        Unsupported: what is asked for lies behind a router.
    """
    if asked in _ROUTED:
        raise errors.Unsupported(
            f"{asked!r} lies behind a router, and ways through routers are not followed yet; give "
            "a port, a server or an address of a network"
        )
    address, _, network = asked.partition("@")
    if family_of(address):
        return _by_address(ways.api, address, network), address, ""
    known = ways.find_server_port(asked)
    if known is not None and (rows := ways.api.list("port", id=known)):
        return rows[0], "", ""
    for filters in ({"id": asked}, {"name": asked}, {"device_id": asked}):
        if row := _choose(ways.api.list("port", **filters), asked):
            return row, "", ""
    sites = ways.api.list("site")
    at_sites = _ask_sites(ways, sites, asked)
    if row := _choose([one for one, _ in at_sites], asked):
        return row, "", at_sites[0][1]
    raise errors.NotFound(
        f"there is no port, server or address {asked!r} that you may see, at central or at "
        f"{len(sites)} sites"
    )


def _by_address(api: Api, address: str, network: str) -> Row:
    rows = api.list("port", fixed_ips=f"ip_address={address}")
    if network:
        networks = api.list("network", id=network) or api.list("network", name=network)
        ids = {row["id"] for row in networks}
        if not ids:
            raise errors.NotFound(f"there is no network {network!r} that you may see")
        rows = [row for row in rows if row["network_id"] in ids] or _by_pair(api, ids, address)
    row = _choose(rows, address)
    if row is None:
        raise errors.NotFound(
            f"no port that you may see has the address {address}"
            + ("" if network else "; say on which network: ADDRESS@NETWORK")
        )
    return row


def _by_pair(api: Api, networks: set[str], address: str) -> list[Row]:
    """Find the port that may use an address by its allowed address pairs."""
    return [
        row
        for network in sorted(networks)
        for row in api.list("port", network_id=network)
        if any(
            str(one["ip_address"]).partition("/")[0] == address
            for one in row.get("allowed_address_pairs") or ()
        )
    ]


def _choose(rows: Sequence[Row], asked: str) -> Row | None:
    if len(rows) > 1:
        ids = ", ".join(f"{row['id']} ({row.get('name') or row['network_id']})" for row in rows)
        raise errors.Conflict(f"{asked!r} means {len(rows)} ports; say which by its id: {ids}")
    return rows[0] if rows else None


def _ask_sites(ways: WaysIn, sites: Sequence[Row], name: str) -> list[tuple[Row, str]]:
    """Ask the sites; one that does not answer is told of when its rows are read."""
    found: dict[str, tuple[Row, str]] = {}
    for site in sites:
        try:
            rows = ways.open_site_api(site["name"], site["region"]).list("port", name=name)
        except errors.Transient:
            continue
        found |= {row["id"]: (row, site["name"]) for row in rows}
    return list(found.values())
