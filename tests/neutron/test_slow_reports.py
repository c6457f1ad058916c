"""Central is so busy that a report takes longer than any other call is waited for."""

import contextlib
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.test_local_report import at_central, boot, make_network, settled

from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(600)]

#: Of `site1`'s calls to central, in seconds: as long as a site's by default.
READ_S = 10


SITE1_OPTIONS = {"read_timeout_s": READ_S}


class Busy:
    """Central answers no report before it is told to."""

    def __init__(self) -> None:
        self.reports = 0
        self.first_goes_on = threading.Event()
        self.goes_on = threading.Event()

    def before(self, call: str) -> None:
        if "site-reports" in call:
            self.reports += 1
            (self.first_goes_on if self.reports == 1 else self.goes_on).wait()

    def wait_for_report(self, number: int = 1) -> None:
        until(lambda: self.reports >= number, what="a report is under way")

    def end(self) -> None:
        self.first_goes_on.set()
        self.goes_on.set()


@contextlib.contextmanager
def busy_central(site: LocalServer) -> Iterator[Busy]:
    assert site.wan is not None
    busy, before = Busy(), site.wan.before
    site.wan.before = busy.before
    try:
        yield busy
    finally:
        busy.end()
        site.wan.before = before


def try_to_boot(site: LocalServer, network: Any) -> dict[str, Any] | None:
    body = {"network_id": network["id"], "project_id": network["project_id"]}
    reply = site.call("POST", "/v2.0/ports", {"port": body})
    return dict(reply.only()) if reply.status == 201 else None


def test_a_slow_report_is_sent_once_and_keeps_nobody_from_central(
    central: CentralServer, site1: LocalServer
) -> None:
    network, other = make_network(central, uuid.uuid4().hex), make_network(central, "other")
    with busy_central(site1) as busy:
        ports = [boot(site1, network)]
        busy.wait_for_report()
        # Those come in one report, which is cut in two and sent again where it is given up.
        ports += [boot(site1, network) for _ in range(4)]
        busy.first_goes_on.set()
        busy.wait_for_report(2)
        end = time.monotonic() + 1.5 * READ_S
        until(lambda: time.monotonic() > end, timeout_s=10 * READ_S, what="others give up by then")
        # A bundle is asked for and answered, in its own time where the machine is busy.
        ports.append(until(lambda: try_to_boot(site1, other), what="a port of another network"))
        assert busy.reports == 2
    for port in ports:
        settled(site1, port["id"])
        assert at_central(central, port["id"]) is not None


def test_a_site_that_ends_waits_for_no_report(central: CentralServer, site1: LocalServer) -> None:
    network = make_network(central, uuid.uuid4().hex)
    with busy_central(site1) as busy:
        port = boot(site1, network)
        busy.wait_for_report()
        process = site1._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        until(lambda: process.poll() is not None, what="the site's Neutron ends")
    site1.start()
    settled(site1, port["id"])
    assert at_central(central, port["id"]) is not None


def test_what_a_central_loses_that_is_restarted_is_sent_again(
    central: CentralServer, site1: LocalServer
) -> None:
    assert site1.wan is not None
    network = make_network(central, uuid.uuid4().hex)
    with busy_central(site1) as busy:
        port = boot(site1, network)
        busy.wait_for_report()
        site1.wan.cut()  # what is under way is reset, and so is what follows
        try:
            busy.end()
            other = boot(site1, network)
        finally:
            site1.wan.heal()
    for one in (port, other):
        settled(site1, one["id"])
        assert at_central(central, one["id"]) is not None
