"""Leases of all sites."""

from isthmus import errors
from isthmus.clients.http.admin import AdminApi, Row
from isthmus.operate.site import require_sites


def list_leases(
    api: AdminApi, *, pool: str | None = None, site: str | None = None, kind: str | None = None
) -> list[Row]:
    """List leases; None = no filter.

    Args:
        api: central's.
        pool: id or name of a subnet (addresses) or of a network (port keys).
        site: name of the holder.
        kind: of pool, `subnet` or `network`.

    Raises:
        NotFound: there is no such pool, or no such site.
    """
    pool_id = None
    if pool:
        try:
            pool_id = api.get_named("subnet", pool)["id"]
        except errors.NotFound:
            pool_id = api.get_named("network", pool)["id"]
    rows = api.list("site_lease", pool_id=pool_id, site=site, kind=kind)
    if site and not rows:
        require_sites(api, [site])
    return rows
