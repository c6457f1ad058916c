"""A cloud of `clouds.yaml`: who a person is, and where central and the sites answer to him."""

from typing import Any

from openstack import config as openstack_config
from openstack import exceptions

from isthmus import errors
from isthmus.clients.http.breaker import Breaker
from isthmus.clients.http.neutron import NeutronClient
from isthmus.clients.http.transport import MIB, Timeouts, bound

#: How long a person waits for one answer, in seconds, where clouds.yaml sets nothing.
_TIMEOUT_S = 60.0
_CONNECT_S = 10.0
#: Largest answer: the holdings of a whole tier comes in one.
_MOST_BYTES = 512 * MIB


class PersonalCloud:
    """One entry of clouds.yaml, logged in when the first call is made."""

    def __init__(self, name: str) -> None:
        """Read the entry.

        Args:
            name: of the entry; empty for what the environment says (OS_AUTH_URL ...).

        Raises:
            Invalid: there is no such entry, or it is not complete.
        """
        # The library's own log handler would write over the CLI's output.
        loader = openstack_config.OpenStackConfig(app_name="isthmus")
        try:
            self._region = loader.get_one(cloud=name or None)
        except exceptions.ConfigException as error:
            known = ", ".join(sorted(set(loader.get_cloud_names()) - {"defaults"})) or "none"
            raise errors.Invalid(
                f"cloud {name!r} cannot be used: {str(error).rstrip('.')}; known clouds: {known}. "
                "Give --os-cloud, or set OS_CLOUD and OS_CLIENT_CONFIG_FILE"
            ) from error
        self.name = name
        self._auth_session: Any = None

    @property
    def region(self) -> str:
        """The region of the entry, central's."""
        return str(self._region.get_region_name("network") or "")

    def open_client(self, *, name: str, region: str | None = None) -> NeutronClient:
        """Open a client of a Neutron.

        Args:
            name: what to call it in messages.
            region: its region; None for the entry's own.

        Raises:
            Invalid: the entry is not complete.
        """
        if self._auth_session is None:
            try:
                self._auth_session = self._region.get_session()
            except exceptions.ConfigException as error:
                raise errors.Invalid(f"cloud {self.name!r} cannot be used: {error}") from error
            self._auth_session.timeout = self._auth_session.timeout or _TIMEOUT_S
            bound(self._auth_session, Timeouts(_CONNECT_S, self._auth_session.timeout, _MOST_BYTES))
        return NeutronClient(
            self._auth_session,
            name=name,
            region=region or self.region,
            interface=self._region.get_interface("network") or "public",
            endpoint=None if region else self._region.get_endpoint("network"),
            breaker=Breaker(),
            for_person=True,
        )
