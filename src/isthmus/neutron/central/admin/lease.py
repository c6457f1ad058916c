"""Leases: which tier may allocate which addresses and keys."""

from typing import Any

from isthmus import errors
from isthmus.model.intent import What
from isthmus.model.lease import LeaseId
from isthmus.model.site import SiteName
from isthmus.neutron.api import listing
from isthmus.neutron.api.caller import record_event
from isthmus.neutron.api.faults import translated
from isthmus.neutron.db.session import writing
from isthmus.store.leases import lease
from isthmus.store.tiers import forget, registration
from neutron import policy


class LeaseApi:
    """Leases follow use; they are read-only, except that those of a removed site can be freed."""

    def get_site_leases(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[listing.Row]:
        """List leases."""
        rows = listing.collect_rows(context, lease.list_page, filters=filters, **paging)
        for row in rows:
            row["size"] = int(row["last"]) - int(row["first"]) + 1
        return listing.to_rows(rows, fields)

    def free_for_good(self, context: Any, id: str, body: Any = None) -> dict[str, Any]:
        """Free a lease of a site that was removed and never returned it.

        The caller vouches that nothing of that site runs any more. `{"all": true}` frees all leases
        of its holder, and with the last one the homes of its ports.
        """
        with translated():
            row = listing.get_one(self.get_site_leases, context, "lease", id, None)
            if not policy.check(context, "get_site_lease", row, pluralized="site_leases"):
                raise errors.NotFound(f"there is no lease {id}")
            policy.enforce(context, "free_for_good", row, pluralized="site_leases")
            if not registration.is_aside(row["site"]):
                raise errors.InUse(f"lease {id} is of {row['site']}, which can give it back")
            with writing(context.elevated()) as connection:
                lease.delete(connection, [LeaseId(id)])
                freed = "all that it had" if (body or {}).get("all") else f"lease {id}"
                record_event(connection, What.LEASE_FREED, row["site"], details=freed)
                holder = SiteName(row["site"])
                if (body or {}).get("all") or not lease.list_leases(connection, site=holder):
                    registration.free_for_good(connection, holder)
                forget.free_datapaths(connection)
        return {"site_lease": row}

    def get_site_lease(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show a lease."""
        with translated():
            return listing.get_one(self.get_site_leases, context, "lease", id, fields)
