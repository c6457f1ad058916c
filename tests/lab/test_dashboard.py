"""Horizon at central, in a browser: it shows what the lab has, and makes what is made there."""

import contextlib
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.lab.browser import Dashboard, missing_programs, open_browser
from tests.lab.conftest import Silent, need_lab, new_name
from tests.lab.insist import create_server

from isthmus import errors
from isthmus.lab.dashboard.horizon import Horizon, get_horizon
from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until
from isthmus.wiring.lab import choose_topology, open_labs

pytestmark = [pytest.mark.lab]
#: Panels of services that a lab has not.
ABSENT = ("/project/instances/", "/project/volumes/", "/project/images", "/project/containers")


def need_horizon() -> Horizon:
    """Skip without Horizon or a browser, required or not: `./dev test all` alone installs them."""
    try:
        horizon = get_horizon()
    except errors.Unsupported as lacking:
        pytest.skip(lacking.message)
    if names := missing_programs():
        pytest.skip(f"missing: {', '.join(names)} (./dev test all installs it)")
    return horizon


@pytest.fixture(scope="module")
def shown() -> Iterator[OpenLab]:
    """A lab of one site, with a dashboard."""
    need_lab()
    horizon = need_horizon()
    labs, name = open_labs(), new_name()
    topology = choose_topology(None, 1, 1)
    try:
        yield labs.up(name, topology, reporter=Silent(), horizon=horizon)
    finally:
        with contextlib.suppress(errors.NotFound):
            labs.down(name)


@pytest.fixture
def driver() -> Iterator[Any]:
    """A browser in which nobody has logged in."""
    with open_browser() as opened:
        yield opened


@pytest.fixture
def dashboard(shown: OpenLab, driver: Any) -> Dashboard:
    """Horizon, with an ordinary member of project demo logged in."""
    login = _login(shown, "demo")
    opened = Dashboard(driver, login["url"])
    opened.log_in(login["user"], login["password"])
    return opened


@pytest.fixture
def api(shown: OpenLab) -> Any:
    """Central's Neutron as the same person."""
    return shown.tools.open_api(shown.plan.clouds_file, "demo-central")


def test_a_member_starts_at_the_networks_and_sees_no_service_that_is_not_there(
    dashboard: Dashboard,
) -> None:
    assert dashboard.path == "/project/networks/"
    panels = dashboard.list_panels()
    assert {"/project/networks/", "/project/security_groups/", "/project/network_topology/"} <= set(
        panels
    )
    assert [panel for panel in panels if panel.startswith(ABSENT)] == []
    assert [panel for panel in panels if panel.startswith("/admin/")] == []


def test_a_wrong_password_is_refused(shown: OpenLab, driver: Any) -> None:
    opened = Dashboard(driver, _login(shown, "demo")["url"])
    opened.open("/auth/login/")
    opened.type("username", "demo")
    opened.type("password", "wrong")
    opened.press("#loginBtn")
    assert "Invalid credentials" in opened.find(".alert-danger").text
    opened.open("/project/networks/")
    assert opened.path == "/auth/login/"


def test_pages_show_the_network_its_subnet_and_ports_the_group_and_the_topology(
    dashboard: Dashboard, api: Any, shown: OpenLab
) -> None:
    name = f"net-{uuid.uuid4().hex[:6]}"
    network = api.call("POST", "/v2.0/networks", body={"network": {"name": name}})["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.78.0.0/24", "name": "v4"}
    api.call("POST", "/v2.0/subnets", body={"subnet": subnet})
    server = create_server(shown, name="seen", site="site1", network=network)
    (address,) = server["addresses"]
    group = api.call(
        "POST", "/v2.0/security-groups", body={"security_group": {"name": f"sg-{name}"}}
    )["security_group"]["id"]
    rule = {
        "security_group_id": group,
        "direction": "ingress",
        "protocol": "tcp",
        "port_range_min": 8443,
        "port_range_max": 8443,
    }
    api.call("POST", "/v2.0/security-group-rules", body={"security_group_rule": rule})
    try:
        dashboard.open("/project/networks/")
        (row,) = [row for row in dashboard.list_rows("networks") if name in row]
        assert "v4 10.78.0.0/24" in row

        # Central hears from the site that the port is up.
        def port() -> Mapping[str, Any] | None:
            rows = api.get_all("port", id=server["port_id"])
            return next((one for one in rows if one["status"] == "ACTIVE"), None)

        active = until(port, what="the server's port is ACTIVE at central")
        dashboard.open(f"/project/networks/{network}/detail?tab=network_tabs__ports_tab")
        (row,) = [row for row in dashboard.list_rows("ports") if address in row]
        assert {address, active["mac_address"], "Active"} <= set(row)
        dashboard.open(f"/project/networks/{network}/detail")
        assert network in dashboard.list_texts("dl dd")
        dashboard.open("/project/security_groups/")
        names = {text for row in dashboard.list_rows("security_groups") for text in row}
        assert {f"sg-{name}", "default"} <= names
        dashboard.open(f"/project/security_groups/{group}/")
        assert "8443" in " ".join(text for row in dashboard.list_rows("rules") for text in row)
        dashboard.open("/project/network_topology/")
        until(
            lambda: name in " ".join(dashboard.list_texts("#topologyCanvasContainer")),
            what=f"the topology shows {name}",
        )
        assert dashboard.troubles() == []
    finally:
        shown.servers.delete("seen")


def test_a_network_made_in_the_dashboard_is_at_central_and_kept_to_the_site_that_was_chosen(
    dashboard: Dashboard, api: Any
) -> None:
    name = f"made-{uuid.uuid4().hex[:6]}"
    dashboard.press("#networks__action_create")
    dashboard.type("net_name", name)
    dashboard.press("[name=az_hints] option[value=site1]")
    dashboard.press(".modal .button-next")
    dashboard.type("subnet_name", "inside")
    dashboard.type("cidr", "10.79.0.0/24")
    dashboard.press(".modal .button-next")
    dashboard.press(".modal .button-final")
    until(
        lambda: any(name in row for row in dashboard.list_rows("networks")),
        what=f"the list has {name}",
    )
    (network,) = api.get_all("network", name=name)
    (subnet,) = api.get_all("subnet", network_id=network["id"])
    assert (subnet["name"], subnet["cidr"]) == ("inside", "10.79.0.0/24")
    assert network["availability_zone_hints"] == ["site1"]
    assert dashboard.troubles() == []


def test_it_dies_and_is_started_as_any_other_program_of_the_lab(shown: OpenLab) -> None:
    import signal

    running = shown.get_program("central.horizon")
    assert _state(shown) == "up"
    shown.kill("central.horizon", signal.SIGKILL)
    until(lambda: _state(shown) != "up", what="the status says that it is dead")
    shown.start("central.horizon")
    assert _state(shown) == "up"
    assert shown.get_program("central.horizon").process != running.process
    with urllib.request.urlopen(f"{_login(shown, 'demo')['url']}auth/login/", timeout=60) as page:
        assert page.status == 200


def _state(lab: OpenLab) -> str:
    (row,) = [row for row in lab.list_processes() if row["name"] == "central.horizon"]
    return str(row["state"])


def _login(lab: OpenLab, user: str) -> Mapping[str, str]:
    (row,) = [row for row in lab.list_logins() if row["user"] == user]
    return dict(row)
