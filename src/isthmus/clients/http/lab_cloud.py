"""Clients of a lab's clouds: a given `clouds.yaml`, passwords only, and quick to open.

openstacksdk's loader takes a second to import and looks at the environment; a lab's own file needs
neither.
"""

import functools
from pathlib import Path
from typing import Any

import requests
import yaml
from keystoneauth1 import session
from keystoneauth1.identity import v3

from isthmus import errors
from isthmus.clients.http.neutron import NeutronClient
from isthmus.clients.http.transport import Timeouts, bound

#: Longest wait for one answer, in seconds: a lab's machine may be very busy.
_TIMEOUT_S = 120


def open_cloud(clouds_file: Path, name: str) -> NeutronClient:
    """Open the Neutron of one cloud.

    Raises:
        NotFound: the file has no such cloud.
    """
    clouds = yaml.safe_load(clouds_file.read_text())["clouds"]
    if name not in clouds:
        raise errors.NotFound(f"{clouds_file} has no cloud {name!r}; it has: {', '.join(clouds)}")
    entry = clouds[name]
    auth = tuple(sorted(entry["auth"].items()))
    return NeutronClient(
        _session(auth), name=name, region=entry["region_name"], interface=entry["interface"]
    )


def answers(url: str) -> bool:
    """Tell whether anything answers HTTP there, whatever it says."""
    try:
        requests.get(url, timeout=5, allow_redirects=False)
    except requests.exceptions.RequestException:
        return False
    return True


@functools.cache
def _session(auth: tuple[tuple[str, Any], ...]) -> session.Session:
    auth_session = session.Session(auth=v3.Password(**dict(auth)), timeout=_TIMEOUT_S)
    bound(auth_session, Timeouts(_TIMEOUT_S, _TIMEOUT_S))
    return auth_session
