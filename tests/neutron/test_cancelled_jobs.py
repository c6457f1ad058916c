"""What becomes of a port whose job a person has cancelled."""

import ipaddress

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.test_central_report import Stretched
from tests.neutron.test_registration import register

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import journal

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(600)]


@pytest.mark.parametrize("has", [False, True])
def test_the_address_of_a_port_whose_job_was_cancelled_is_not_given_again(
    central: CentralServer, has: bool
) -> None:
    """The restored site lacks it, is not sent it, and would give its address to another port."""
    net = Stretched(central)
    port = net.port()
    sequence = register(central, "site1")["seen"] + 1
    assert not net.report(port, sequence=sequence)["code"]
    central.clear_journal()
    with central.database(write=True) as connection:
        journal.record(connection, [IntentKey(SiteName("site1"), ResourceType.PORT, port["id"])])
    said = {"holdings": {"port": [port["id"]] if has else [], "shadow": []}}

    def list_aside() -> list[str]:
        found = register(central, "site1", **said)["aside"]
        return [one["number"] for one in found if one["port_id"] == port["id"]]

    assert list_aside() == [], "it is about to be sent"
    (job,) = central.call("GET", f"/v2.0/site-jobs?resource_id={port['id']}&site=site1").only()
    assert central.call("PUT", f"/v2.0/site-jobs/{job['id']}/cancel", {}).status == 200
    address = int(ipaddress.ip_address(port["fixed_ips"][0]["ip_address"]))
    assert list_aside() == ([] if has else [str(address)])
    central.clear_journal()
