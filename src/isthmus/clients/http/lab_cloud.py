"""Clients of a lab's clouds: a given `clouds.yaml`, passwords only, and quick to open.

openstacksdk's loader takes a second to import and looks at the environment; a lab's own file needs
neither.
"""

import functools
import socket
import urllib.parse
from pathlib import Path
from typing import Any

import requests
import yaml
from keystoneauth1 import adapter, exceptions, session
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
    """Tell whether anything answers HTTP there, whatever it says; of `tcp`, whether it listens."""
    place = urllib.parse.urlsplit(url)
    try:
        if place.scheme == "tcp":
            socket.create_connection((place.hostname or "", place.port or 0), timeout=5).close()
            return True
        requests.get(url, timeout=5, allow_redirects=False)
    except (requests.exceptions.RequestException, OSError):
        return False
    return True


def upload_image(clouds_file: Path, cloud: str, name: str, data: bytes) -> None:
    """Upload an image that everybody may use, as a raw one.

    Args:
        clouds_file: of the lab.
        cloud: of an administrator.
        name: of the image.
        data: the image itself.

    Raises:
        StepFailed: Glance does not take it.
    """
    entry = yaml.safe_load(clouds_file.read_text())["clouds"][cloud]
    glance = adapter.Adapter(
        _session(tuple(sorted(entry["auth"].items()))),
        service_type="image",
        region_name=entry["region_name"],
        interface=entry["interface"],
    )
    wanted = {
        "name": name,
        "disk_format": "raw",
        "container_format": "bare",
        "visibility": "public",
    }
    try:
        made = glance.post("/v2/images", json=wanted).json()
        kind = {"Content-Type": "application/octet-stream"}
        glance.put(f"/v2/images/{made['id']}/file", data=data, headers=kind)
    except exceptions.ClientException as error:
        raise errors.StepFailed(f"the Glance of {cloud} did not take {name}: {error}") from error


@functools.cache
def _session(auth: tuple[tuple[str, Any], ...]) -> session.Session:
    auth_session = session.Session(auth=v3.Password(**dict(auth)), timeout=_TIMEOUT_S)
    bound(auth_session, Timeouts(_TIMEOUT_S, _TIMEOUT_S))
    return auth_session
