"""What is there twice: which port, and where each of them can be deleted."""

import re

from tests.unit.test_audit import NET, port, run, world


def _read_commands(remedy: str) -> list[str]:
    return re.findall(r"`([^`]+)`", remedy)


def test_a_port_of_which_central_has_not_heard_is_deleted_at_its_site() -> None:
    state = world()
    state["two"]["ports"].append(port(3, mac_address="fa:16:00:00:00:01"))
    found = {one.code: one for one in run(state)}
    assert _read_commands(found["port.address_twice"].remedy) == [
        "openstack port delete port1",
        "openstack --os-cloud two port delete port3",
    ]
    state = world()
    keys = state["one"]["ovn"]["port_keys"]
    state["two"]["ovn"]["port_keys"] = [{**keys[0], "port_id": "port3"}]
    found = {one.code: one for one in run(state)}
    assert _read_commands(found["port.key_twice"].remedy) == [
        "openstack port delete port1",
        "openstack --os-cloud two port delete port3",
    ]


def test_one_port_at_two_sites_has_no_key_of_another() -> None:
    state = world()
    state["two"]["ports"].append(port(1))
    state["two"]["ovn"]["port_keys"] = [{"port_id": "port1", "network_id": NET, "key": 1}]
    found = {one.code for one in run(state)}
    assert "port.two_homes" in found
    assert "port.key_twice" not in found
