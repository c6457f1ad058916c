"""The two ends of a renewal as their Neutrons serve them: central's pages, a site's holdings."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from isthmus import errors
from isthmus.clients.http.neutron import NeutronClient
from isthmus.federation.digest import Page
from isthmus.federation.renewal import Noting, Renewal
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName

#: Most objects that a site may name of one page, and the length of an id.
_MOST_NAMED, _ID_LENGTH = 1000, 36


class CentralPages:
    """`isthmus.federation.renewal.Wanting`."""

    def __init__(self, client: NeutronClient) -> None:
        """Bind it to central's client."""
        self._client = client

    def make_page(
        self,
        site: SiteName,
        kind: ResourceType,
        after: str,
        attributes: Collection[str],
        *,
        network: str = "",
    ) -> Page:
        """Have central make a page of digests.

        Args:
            site: whose copy is compared.
            kind: type of the objects.
            after: id before the first object of the page; empty for the first page.
            attributes: names of those that the site takes over.
            network: id of the only network whose objects are compared; empty for all.

        Raises:
            ProtocolError: the answer is no page.
        """
        body = {"site": site, "type": kind.value, "after": after, "attributes": list(attributes)}
        if network:
            body["network_id"] = network
        answer = self._client.post("site_digest", body)
        try:
            digests = {str(one): str(text) for one, text in answer["digests"].items()}
            until = str(answer["until"] or "")
        except (KeyError, AttributeError) as error:
            raise errors.ProtocolError(f"not a page of digests: {error!r}") from error
        return Page(kind=kind, after=after, until=until, digests=digests, network=network)


class SiteHoldings:
    """`isthmus.federation.renewal.Holding`; the site is believed only in what it may ask for."""

    def __init__(self, client: NeutronClient) -> None:
        """Bind it to the site's client."""
        self._client = client

    def list_carried(self) -> Mapping[ResourceType, Collection[str]]:
        """List the types that the site accepts, each with its attributes."""
        answer = self._client.post("site_comparison", {})
        try:
            return {
                ResourceType(kind): [str(name) for name in names]
                for kind, names in answer["carried"].items()
            }
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise errors.ProtocolError(f"not a list of what is carried: {error!r}") from error

    def has(self, page: Page) -> bool:
        """Return whether the digest of a page is the same at the site."""
        return self._ask(page).get("same") is True

    def find_differing(self, page: Page) -> Sequence[str]:
        """List the ids of a page whose digests differ at the site."""
        named = self._ask(page, digests=dict(page.digests)).get("differing")
        if (
            not isinstance(named, list)
            or len(named) > _MOST_NAMED
            or not all(isinstance(one, str) and 0 < len(one) <= _ID_LENGTH for one in named)
        ):
            raise errors.ProtocolError("the site's answer has no list of at most 1,000 ids")
        return named

    def _ask(self, page: Page, **more: Any) -> Mapping[str, Any]:
        body = {"type": page.kind.value, "after": page.after, "until": page.until}
        if page.network:
            body["network_id"] = page.network
        return self._client.post("site_comparison", {**body, "digest": page.digest, **more})


def open_renewal(
    site: SiteName,
    *,
    central: NeutronClient,
    client: NeutronClient,
    journal: Noting,
    network: str = "",
) -> Renewal:
    """Prepare the renewal of a site.

    Args:
        site: its name.
        central: client of central's Neutron.
        client: of the site's Neutron, with the login of its lane.
        journal: central's, to which differences are noted.
        network: id of the only network that is compared; empty for all.
    """
    return Renewal(
        site,
        central=CentralPages(central),
        holder=SiteHoldings(client),
        journal=journal,
        network=network,
    )
