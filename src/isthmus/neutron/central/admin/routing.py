"""Routings: which object is at which site; the home of a port among them."""

from typing import Any

from isthmus import errors
from isthmus.model.intent import ResourceType
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central import home
from isthmus.neutron.central.admin import listing
from isthmus.neutron.db.session import writing
from isthmus.store.tables import ROUTINGS
from neutron import policy

_SHOWN = ("id", "type", "resource_id", "site", "project_id", "withdrawn", "created_at")


class RoutingCalls:
    """Routings are made by use, not by hand: they are read, and the home of a port released."""

    def get_site_routings(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[listing.Row]:
        """List routings."""
        columns = {name: ROUTINGS.c[name] for name in _SHOWN}
        rows = listing.collect_rows(context, columns, filters=filters, **paging)
        return listing.to_rows(rows, fields)

    def get_site_routing(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show a routing."""
        with translated():
            return listing.get_one(self.get_site_routings, context, "routing", id, fields)

    def release(self, context: Any, id: str, body: Any = None) -> dict[str, Any]:
        """Have a port's home let go of it, so that another site may have the port.

        With `force` the home is forgotten at once, though it may still use the port.
        """
        with translated():
            row = listing.get_one(self.get_site_routings, context, "routing", id, None)
            if not policy.check(context, "get_site_routing", row, pluralized="site_routings"):
                raise errors.NotFound(f"there is no routing {id}")
            policy.enforce(context, "update_site_routing", row, pluralized="site_routings")
            if row["type"] != ResourceType.PORT:
                raise errors.Invalid(
                    f"a {row['type']} has no home: withdraw its network's presence"
                )
            force = (body or {}).get("force", False)
            if not isinstance(force, bool):
                raise errors.Invalid(f"force must be true or false, not {force!r}")
            with writing(context.elevated()) as connection:
                home.release(connection, row["resource_id"], force=force)
            row["withdrawn"] = True
        return {"site_routing": row}
