"""Joins the operators' commands with central and the sites, as clouds.yaml names them."""

from isthmus.clients.http.admin import AdminApi
from isthmus.clients.http.cloud import PersonalCloud
from isthmus.clients.http.neutron import NeutronClient
from isthmus.model.site import CENTRAL


class Admin:
    """Central and the sites, as an operator reaches them."""

    def __init__(self, cloud_name: str, *, anew: bool = False) -> None:
        """Read the entry of clouds.yaml; nothing is called yet.

        Args:
            cloud_name: of the entry.
            anew: whether to log in though an earlier command's login may do: Keystone is then
                asked by this command, and by each tier that it calls.

        Raises:
            Invalid: there is no such entry.
        """
        self._cloud = PersonalCloud(cloud_name, anew=anew)
        self.api = AdminApi(self.open_central())

    def open_central(self) -> NeutronClient:
        """Open central's client."""
        return self._cloud.open_client(name=CENTRAL)

    def open_own(self, name: str) -> NeutronClient:
        """Open the client of a site that the entry itself is of."""
        return self._cloud.open_client(name=name)

    def open_site(self, name: str, region: str) -> NeutronClient:
        """Open a site's client, with the person's own token."""
        return self._cloud.open_client(name=name, region=region)
