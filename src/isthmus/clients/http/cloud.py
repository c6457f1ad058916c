"""A cloud of `clouds.yaml`: who a person is, and where central and the sites answer to him."""

import os
from pathlib import Path
from typing import Any

import yaml
from keystoneauth1 import adapter
from keystoneauth1.identity.base import BaseIdentityPlugin
from openstack import config as openstack_config
from openstack import exceptions

from isthmus import errors
from isthmus.clients.http.breaker import Breaker
from isthmus.clients.http.login.kept import KeptLogin, find_logins_dir
from isthmus.clients.http.neutron import NeutronClient
from isthmus.clients.http.transport import MIB, Timeouts, bound

#: `0` for logins that are not kept between commands.
KEEP_VARIABLE = "ISTHMUS_KEEP_LOGIN"
#: How long a person waits for one answer, in seconds, where clouds.yaml sets nothing.
_TIMEOUT_S = 60.0
_CONNECT_S = 10.0
#: Largest answer: the holdings of a whole tier comes in one.
_MOST_BYTES = 512 * MIB


def _load() -> Any:
    """Read clouds.yaml.

    Raises:
        Invalid: it cannot be read, or is no YAML, or none with clouds in it.
    """
    sought = os.environ.get("OS_CLIENT_CONFIG_FILE", "")
    try:
        if sought:  # the library takes one that it cannot read for one that is not there
            yaml.safe_load(Path(sought).read_bytes())
        return openstack_config.OpenStackConfig(app_name="isthmus")
    except OSError as error:
        raise errors.Invalid(f"{error.filename or sought}: {error.strerror}") from error
    except exceptions.ConfigException as error:
        raise errors.Invalid(str(error)) from error
    except Exception as error:  # whatever a YAML parser, or what takes its result, may raise
        why = " ".join(str(error).split())
        raise errors.Invalid(
            f"{sought or 'clouds.yaml'} is no clouds.yaml: {why or type(error).__name__}"
        ) from error


def _say_sought(loader: Any) -> str:
    """Return where clouds.yaml was looked for."""
    files = dict.fromkeys(map(str, loader._config_files))  # noqa: SLF001 - it tells nobody else
    return "looked for " + ", ".join(one for one in files if one.endswith(".yaml"))


def list_clouds() -> list[str]:
    """List the entries of clouds.yaml.

    Raises:
        Invalid: it cannot be read.
    """
    return _list_names(_load())


def _list_names(loader: Any) -> list[str]:
    return sorted(set(loader.get_cloud_names()) - {"defaults"})


class PersonalCloud:
    """One entry of clouds.yaml, logged in when the first call is made."""

    def __init__(self, name: str, *, anew: bool = False) -> None:
        """Read the entry.

        Args:
            name: of the entry; empty for what the environment says (OS_AUTH_URL ...).
            anew: whether to log in though an earlier command's login may do.

        Raises:
            Invalid: there is no such entry, or it is not complete.
        """
        # The library's own log handler would write over the CLI's output.
        loader = _load()
        try:
            self._region = loader.get_one(cloud=name or None)
        except exceptions.ConfigException as error:
            known = ", ".join(_list_names(loader)) or "none"
            read = loader.config_filename
            where = (
                f"in {read}" if read else f"since there is no clouds.yaml: {_say_sought(loader)}"
            )
            raise errors.Invalid(
                f"cloud {name!r} cannot be used: {str(error).rstrip('.')}; known clouds: {known}, "
                f"{where}. Give --os-cloud, or set OS_CLOUD and OS_CLIENT_CONFIG_FILE"
            ) from error
        self.name = name
        self._anew = anew
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
        return NeutronClient(
            self._open_session(),
            name=name,
            region=region or self.region,
            interface=self._region.get_interface("network") or "public",
            endpoint=None if region else self._region.get_endpoint("network"),
            breaker=Breaker(),
            for_person=True,
        )

    def open_adapter(self, service: str) -> adapter.Adapter:
        """Open another service of the entry's region.

        Args:
            service: its type, such as `compute`.

        Raises:
            Invalid: the entry is not complete.
        """
        return adapter.Adapter(
            self._open_session(),
            service_type=service,
            region_name=str(self._region.get_region_name(service) or "") or None,
            interface=self._region.get_interface(service) or "public",
            endpoint_override=self._region.get_endpoint(service),
        )

    def _open_session(self) -> Any:
        if self._auth_session is None:
            try:
                self._auth_session = self._region.get_session()
            except exceptions.ConfigException as error:
                raise errors.Invalid(f"cloud {self.name!r} cannot be used: {error}") from error
            login = self._auth_session.auth
            if isinstance(login, BaseIdentityPlugin) and os.environ.get(KEEP_VARIABLE) != "0":
                self._auth_session.auth = KeptLogin(login, find_logins_dir(), anew=self._anew)
            self._auth_session.timeout = self._auth_session.timeout or _TIMEOUT_S
            bound(self._auth_session, Timeouts(_CONNECT_S, self._auth_session.timeout, _MOST_BYTES))
        return self._auth_session
