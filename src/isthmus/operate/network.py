"""Networks: the sites where each is present, extension and withdrawal."""

from collections.abc import Sequence
from typing import Any

from isthmus import errors
from isthmus.clients.http.admin import AdminApi, Row
from isthmus.operate.cloud import calling, say_under_way
from isthmus.operate.lease import sort_leases
from isthmus.operate.site import naming, require_sites


def list_presences(
    api: AdminApi, *, network: str | None = None, site: str | None = None
) -> list[Row]:
    """List where networks are present.

    Args:
        api: central.
        network: id or name of one.
        site: name of one.

    Raises:
        NotFound: there is no such network, or no such site.
    """
    network_id = api.get_named("network", network)["id"] if network else None
    rows = api.list("site_presence", network_id=network_id, site=site)
    if site and not rows:
        require_sites(api, [site])
    return sorted(rows, key=lambda row: (row["network_id"], row["site"]))


def get_network(api: AdminApi, network: str) -> dict[str, Any]:
    """Get a network with what Isthmus keeps of it.

    Raises:
        NotFound: there is none.
    """
    found = api.get_named("network", network)
    presences = sorted(
        api.list("site_presence", network_id=found["id"]), key=lambda row: str(row["site"])
    )
    pools = [found["id"], *found.get("subnets", [])]
    return {
        "id": found["id"],
        "name": found["name"],
        "project_id": found["project_id"],
        "status": found["status"],
        "mtu": found.get("mtu"),
        "datapath_key": presences[0]["datapath_key"] if presences else None,
        "sites": [row["site"] for row in presences if not row["withdrawn"]],
        "withdrawing": [row["site"] for row in presences if row["withdrawn"]],
        "subnets": found.get("subnets", []),
        "leases": sort_leases(api.list("site_lease", pool_id=pools)),
    }


def extend_network(api: AdminApi, network: str, sites: Sequence[str]) -> list[Row]:
    """Extend a network to sites ahead of use; the rows have its name, too.

    Raises:
        NotFound: there is no such network, or no such site; says which names come near.
    """
    found = api.get_named("network", network)
    with naming(api, *sites):
        rows = [
            api.create("site_presence", {"network_id": found["id"], "site": site}) for site in sites
        ]
    return [{**row, "network_name": found["name"]} for row in rows]


def say_extending(api: AdminApi, rows: Sequence[Row]) -> str:
    """Describe what a network that was extended waits for; nothing where the sites have it.

    Args:
        api: central.
        rows: as `extend_network` returned them.

    Raises:
        Refused: a site refused it.
    """
    network = api.get("network", rows[0]["network_id"])
    ids = [network["id"], *network.get("subnets", [])]
    return say_under_way(api, site=[row["site"] for row in rows], resource_id=ids)


def say_withdrawing(api: AdminApi, row: Row) -> str:
    """Describe what a network that was withdrawn from a site waits for; nothing where it has gone.

    Args:
        api: central.
        row: as `withdraw_network` returned it.

    Raises:
        Refused: the site refused to let it go, or the network was extended to it again.
    """
    left = api.list("site_presence", network_id=row["network_id"], site=row["site"])
    if not left:
        return ""
    if not left[0]["withdrawn"]:
        raise errors.Conflict(f"the network is wanted at site {row['site']} again: it stays there")
    jobs = say_under_way(api, site=row["site"], resource_id=row["network_id"])
    return jobs or f"site {row['site']} has yet to say that it has none of it left"


def withdraw_network(api: AdminApi, network: str, site: str) -> Row:
    """Withdraw a network from a site; return where it was.

    Raises:
        NotFound: it is not there.
        InUse: ports of it live there.
    """
    rows = list_presences(api, network=network, site=site)
    if not rows:
        raise errors.NotFound(f"network {network!r} is not present at site {site!r}")
    with calling(rows[0]["network_id"], network):
        api.delete("site_presence", rows[0]["id"])
    return rows[0]
