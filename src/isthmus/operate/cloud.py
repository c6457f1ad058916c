"""The cloud as an operator reaches it: the Admin API of central, and the Neutron of each tier."""

from typing import Protocol

from isthmus.clients.http.admin import AdminApi
from isthmus.clients.http.neutron import NeutronClient


class Cloud(Protocol):
    """Ways to central and to the sites, with the person's own credentials."""

    @property
    def api(self) -> AdminApi:
        """The Admin API of central."""

    def open_central(self) -> NeutronClient:
        """Open the Neutron of central."""

    def open_site(self, name: str, region: str) -> NeutronClient:
        """Open the Neutron of a site."""
