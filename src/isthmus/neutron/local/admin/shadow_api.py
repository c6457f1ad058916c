"""Shadow ports as this site's API shows them: what it knows of the ports of other sites."""

from typing import Any

from isthmus.neutron.api import listing
from isthmus.neutron.api.faults import translated
from isthmus.neutron.db.session import reading
from isthmus.store.ports import shadow as shadow_store


class ShadowApi:
    """Shadows follow the ports of other sites; they are read-only."""

    def get_site_shadows(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[listing.Row]:
        """List shadows."""
        with translated(), reading(context) as connection:
            found = shadow_store.list_page(
                connection, filters=filters or {}, page=listing.to_page(**paging)
            )
        rows = []
        for shadow in found:
            row = shadow.to_dict()
            rows.append({"id": row.pop("port_id"), **row})
        return listing.to_rows(rows, fields)

    def get_site_shadow(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show a shadow."""
        with translated():
            return listing.get_one(self.get_site_shadows, context, "shadow of port", id, fields)
