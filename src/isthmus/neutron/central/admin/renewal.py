"""Renewals: a site is compared with what it should hold now, because somebody asked for it."""

import uuid
from typing import Any

from isthmus import errors
from isthmus.model.intent import What
from isthmus.model.site import SiteName, SiteState
from isthmus.neutron.api import listing
from isthmus.neutron.api.caller import record_event
from isthmus.neutron.api.faults import translated
from isthmus.neutron.db.session import reading, writing
from isthmus.store.delivery import renewal
from isthmus.store.tiers import site as site_store


class RenewalApi:
    """Requested renewals; Xjob carries them out, and says how far they are."""

    def get_site_renewals(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[listing.Row]:
        """List renewals, those that have ended a day ago or longer not always among them."""
        rows = listing.collect_rows(context, renewal.list_page, filters=filters, **paging)
        return listing.to_rows(rows, fields)

    def get_site_renewal(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show a renewal."""
        with translated():
            return listing.get_one(self.get_site_renewals, context, "renewal", id, fields)

    def create_site_renewal(self, context: Any, site_renewal: dict[str, Any]) -> listing.Row:
        """Request a renewal; it is recorded, and waits for a worker."""
        body = site_renewal["site_renewal"]
        with translated():
            name = SiteName(body["site"])
            with reading(context) as connection:
                row_id = site_store.find_row_id(connection, name)
            if row_id is None:
                raise errors.NotFound(f"there is no site {name!r}", site=name)
            with writing(context) as connection:
                # Before any other read, so that all of them show what others have committed.
                if site_store.lock(connection, row_id).state is SiteState.DISABLED:
                    raise errors.Conflict(
                        f"site {name} is disabled, so nobody sends to it: enable it first"
                    )
                # Neutron takes a UUID in any form.
                network_id = body["network_id"] and str(uuid.UUID(body["network_id"]))
                found = renewal.request(connection, name, network_id)
                about = {"kind": "network", "resource_id": network_id} if network_id else {}
                record_event(connection, What.RESYNC_ASKED, name, **about)
            return listing.get_one(self.get_site_renewals, context, "renewal", found, None)
