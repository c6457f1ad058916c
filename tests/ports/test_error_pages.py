"""Error pages that a proxy sends in the name of an API, for one call or for all of them."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from keystoneauth1 import session, token_endpoint
from tests.ports.test_transport import Answer, Hostile, client, hostile

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.clients.http.delivery import SiteCarrier
from isthmus.clients.http.transport import Timeouts
from isthmus.model.item import Item
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName

__all__ = ["hostile"]

#: Everything is answered at once here, if the machine is not busy.
PATIENT = Timeouts(connect_s=30.0, read_s=60.0)
ITEM = Item(ResourceType.PORT, "4ca3d70b-cde7-41f7-889e-5de208be7d46", {"id": "p"})
PAGE = "<html><body><h1>The server encountered an internal error</h1></body></html>"


def page(status: int) -> bytes:
    return answer(f"{status} X", "text/html", PAGE)


def answer(status: str, kind: str, body: str) -> bytes:
    """Answer, and say that the connection ends: a client might use it again while it is closed."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def answer_but(status: int, *, small: bool) -> Answer:
    """Answer batches with a page, and small calls with one too, or as an API does."""
    first = iter([True])

    def say(sock: socket.socket, _: threading.Event) -> None:
        is_batch = next(first, False)
        fine = answer("200 OK", "application/json", "{}")
        sock.sendall(page(status) if is_batch or not small else fine)

    return say


def to_site(url: str, tmp_path: Path) -> object:
    return SiteCarrier(client(url, tmp_path, PATIENT)).deliver(
        SiteName("site1"), [ITEM], sequence=1
    )


def to_central(url: str, _tmp_path: Path) -> object:
    auth = session.Session(auth=token_endpoint.Token(url, "t"), timeout=PATIENT.read_s)
    return CentralClient(auth, endpoint=url).send_reports([ITEM], sequence=1)


@pytest.mark.parametrize("send", [to_site, to_central])
@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_api_that_answers_other_calls_is_there(
    hostile: Callable[[Answer], Hostile],
    tmp_path: Path,
    send: Callable[[str, Path], object],
    status: int,
) -> None:
    """Else one batch that ends a worker stops the lane, and nobody hears of which object it is."""
    there = hostile(answer_but(status, small=True))
    with pytest.raises(errors.StepFailed, match=r"internal error.*answers other calls") as caught:
        send(there.url, tmp_path)
    assert not isinstance(caught.value, errors.Transient), "the batch is halved, and the site is up"
    assert len(there.heard) == 2


@pytest.mark.parametrize("send", [to_site, to_central])
@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_api_that_answers_nothing_is_away(
    hostile: Callable[[Answer], Hostile],
    tmp_path: Path,
    send: Callable[[str, Path], object],
    status: int,
) -> None:
    away = hostile(answer_but(status, small=False))
    with pytest.raises(errors.Unreachable, match="internal error"):
        send(away.url, tmp_path)
    assert len(away.heard) == 2


def test_nobody_there_is_not_asked_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(errors.Unreachable, match="cannot be reached"):
        to_site(url, tmp_path)
