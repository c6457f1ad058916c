"""Site mappings: which object is at which site; the home of a port among them."""

from typing import Any

from isthmus import errors
from isthmus.model.resource import ResourceType
from isthmus.neutron.api import listing
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central import home
from isthmus.neutron.db.session import writing
from isthmus.store.tiers import mapping as store
from neutron import policy


class MappingApi:
    """Site mappings follow use: they are read-only, except that a home can release its port."""

    def get_site_mappings(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[listing.Row]:
        """List site mappings."""
        rows = listing.collect_rows(context, store.list_page, filters=filters, **paging)
        return listing.to_rows(rows, fields)

    def get_site_mapping(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show a site mapping."""
        with translated():
            return listing.get_one(self.get_site_mappings, context, "site mapping", id, fields)

    def release(self, context: Any, id: str, body: Any = None) -> dict[str, Any]:
        """Ask a port's home to release the port, so that it can move to another site.

        With `force` the home is deleted at once, even if the site still uses the port.
        """
        with translated():
            row = listing.get_one(self.get_site_mappings, context, "site mapping", id, None)
            if not policy.check(context, "get_site_mapping", row, pluralized="site_mappings"):
                raise errors.NotFound(f"there is no site mapping {id}")
            policy.enforce(context, "update_site_mapping", row, pluralized="site_mappings")
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
        return {"site_mapping": row}
