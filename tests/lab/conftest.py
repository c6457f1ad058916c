"""One lab for all tests that want a whole cloud; each uses networks and servers of its own."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from isthmus import errors
from isthmus.lab.capability import check_machine
from isthmus.lab.opened import OpenLab
from isthmus.testing.needed import lack
from isthmus.wiring.lab import choose_topology, machine_tools, open_labs


class Silent:
    """Hears of phases and says nothing."""

    def begin(self, phase: str) -> None: ...

    def end(self, phase: str, seconds: float) -> None: ...


def need_lab() -> None:
    """Skip where no lab can be made; fail there if everything is required."""
    try:
        check_machine(machine_tools())
    except errors.Refused as refusal:
        lack(refusal.message)


def new_name() -> str:
    """Give a lab's name that no other test run on this machine has."""
    return f"t{uuid.uuid4().hex[:8]}"


#: What tests record of times, in the order in which it is shown.
_TIMES = ("named_after_s", "short_of_cpu_s", "clean_after_s", "load")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the times that tests have recorded, as a table."""
    rows = []
    for outcome, reports in terminalreporter.stats.items():
        for one in reports:
            said = dict(getattr(one, "user_properties", ()))
            if getattr(one, "when", "") == "call" and said.keys() & set(_TIMES):
                name = one.nodeid.partition("[")[2].removesuffix("]") or one.nodeid
                rows.append((*(str(said.get(key, "-")) for key in _TIMES), outcome, name))
    for row in ((*_TIMES, "outcome", "state"), *rows) if rows else ():
        *times, outcome, name = row
        line = "".join(f"{time:>16}" for time in times)
        terminalreporter.write_line(f"{line}  {outcome:<8}  {name}")


@pytest.fixture(scope="session")
def lab() -> Iterator[OpenLab]:
    """Two sites with two hypervisors each."""
    need_lab()
    labs, name = open_labs(), new_name()
    try:
        yield labs.up(name, choose_topology(None, 2, 2), reporter=Silent())
    finally:
        with contextlib.suppress(errors.NotFound):
            labs.down(name)


@pytest.fixture
def make_network(lab: OpenLab) -> Callable[..., str]:
    """Make networks at central with an IPv4 and an IPv6 subnet; gives the id."""
    api = lab.tools.open_api(lab.plan.clouds_file, "central")

    def make(cidr: str = "10.77.0.0/24", cidr6: str = "fd00:77::/64") -> str:
        body: dict[str, Any] = {"network": {"name": uuid.uuid4().hex}}
        network_id = str(api.call("POST", "/v2.0/networks", body=body)["network"]["id"])
        four = {"network_id": network_id, "ip_version": 4, "cidr": cidr}
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        six = {"network_id": network_id, "ip_version": 6, "cidr": cidr6, **modes}
        for subnet in (four, six):
            api.call("POST", "/v2.0/subnets", body={"subnet": subnet})
        return network_id

    return make
