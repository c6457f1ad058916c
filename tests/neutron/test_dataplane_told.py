"""What a site tells of its OVN: of one network, of lost rules, and of who is alive."""

import signal
from collections.abc import Iterator

import pytest
from tests.neutron.site_dataplane import gone, make_network, running_site, shadow
from tests.neutron.site_server import Server, Site

from isthmus.testing.until import until

pytestmark = pytest.mark.neutron


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as made:
        yield made


@pytest.fixture(scope="module")
def api(site: Site) -> Server:
    return site.start().ready()


@pytest.fixture(scope="module")
def worker(site: Site) -> Server:
    return site.start("maintenance").ready()


def test_what_is_told_of_one_network_is_of_that_network(site: Site, api: Server) -> None:
    one, two = make_network(api, 16), make_network(api, 17)
    ports = {
        network_id: api("create", kind="port", body={"network_id": network_id, "name": "x"})["id"]
        for network_id in (one, two)
    }
    api("apply", items=[shadow(161, one), shadow(171, two)])
    assert api("wait_idle")
    until(lambda: api("collect", networks=[one, two])["drift"] == [], what="northd has done it")
    site.ovn.nbctl("clear", "Logical_Switch_Port", ports[one], "options")
    until(lambda: api("collect", networks=[one])["drift"], what="the loss is shown")
    there, here = api("collect", networks=[two]), api("collect", networks=[one])
    assert [row["id"] for row in here["drift"]] == [ports[one]]
    assert there["drift"] == []
    for part in ("switches", "ports", "shadows", "port_keys"):
        assert {row["network_id"] for row in there[part]} == {two}, part
    assert api("sweep")
    api("apply", items=[gone(161), gone(171)])
    assert api("wait_idle")


def test_cleared_rules_of_a_group_are_found_and_written_again(
    site: Site, api: Server, worker: Server
) -> None:
    network_id = make_network(api, 18)
    port = api("create", kind="port", body={"network_id": network_id, "name": "mine"})
    (group_id,) = port["security_groups"]
    group = f"pg_{group_id.replace('-', '_')}"
    assert api("wait_idle")
    assert api("collect", networks=[network_id])["lost_rules"] == []

    def lost() -> set[str]:
        found = api("collect", networks=[network_id])["lost_rules"]
        assert {one["security_group_id"] for one in found} <= {group_id}
        return {one["id"] for one in found}

    def repaired() -> bool:
        assert api("sweep")
        worker("repair")
        acls = site.ovn.nbctl("--bare", "--columns=acls", "find", "Port_Group", f"name={group}")
        return not lost() and bool(acls)

    site.ovn.nbctl("clear", "Port_Group", group, "acls")
    until(lambda: len(lost()) >= 4, what="the rules of a new group are missed")
    until(repaired, what="they are written again")


@pytest.mark.parametrize("lost", ["the port's", "the subnet's"])
def test_lost_options_of_dhcp_are_written_again(
    site: Site, api: Server, worker: Server, lost: str
) -> None:
    network_id = make_network(api, 19 + (lost == "the port's"))
    body = {"network_id": network_id, "cidr": "10.19.0.0/24", "ip_version": 4, "name": "s"}
    subnet = api("create", kind="subnet", body=body)
    port_id = api("create", kind="port", body={"network_id": network_id, "name": "p"})["id"]
    assert api("wait_idle")

    def told() -> list[int]:
        (row,) = (
            one for one in api("collect", networks=[network_id])["ports"] if one["id"] == port_id
        )
        return list(row["dhcp"])

    def repaired() -> bool:
        assert api("sweep")
        worker("repair")
        return told() == [4]

    until(lambda: told() == [4], what="the port has its options")
    if lost == "the port's":
        site.ovn.nbctl("clear", "Logical_Switch_Port", port_id, "dhcpv4_options")
    else:
        found = site.ovn.nbctl(
            "--bare", "--columns=_uuid", "find", "DHCP_Options",
            f"external_ids:subnet_id={subnet['id']}",
        )  # fmt: skip
        site.ovn.nbctl("dhcp-options-del", found.strip())
    until(lambda: told() == [], what="the loss is told")
    until(repaired, what="they are written again")
    # A row is right though it says nothing: without a gateway, and without a metadata port.
    body = {**body, "cidr": "10.20.0.0/24", "gateway_ip": None, "name": "bare"}
    bare = api("create", kind="subnet", body=body)
    assert api("wait_idle")
    for _ in range(2):
        assert api("sweep")
        worker("repair")
    assert (
        api("get", kind="subnet", object_id=bare["id"])["revision_number"]
        == bare["revision_number"]
    )


def test_who_of_ovn_lives_is_told_by_a_neutron(site: Site, api: Server) -> None:
    def behind() -> set[str]:
        report = api("pulse")
        named = {key: report[key] for key in ("northbound", "southbound", "northd")}
        return {name for name, one in named.items() if (one["behind_s"] or 0) > 2}

    until(lambda: api("pulse")["northd"]["answered_s"] is not None, what="northd answers")
    until(lambda: behind() == set(), what="nobody is missed")
    site.ovn.kill("northd")
    try:
        until(lambda: behind() == {"northd"}, what="northd is missed", timeout_s=60)
    finally:
        site.ovn.start("northd")
    until(lambda: behind() == set(), what="northd is back", timeout_s=60)
    site.ovn.kill("sb")
    try:
        until(lambda: "southbound" in behind(), what="the database is missed", timeout_s=120)
        said = {"unseen": "the southbound database of OVN does not answer"}
        until(lambda: api("collect") == said, what="its rows count as unseen", timeout_s=60)
    finally:
        site.ovn.start("sb")
    until(lambda: behind() == set(), what="the database is back", timeout_s=120)
    until(lambda: "unseen" not in api("collect"), what="rows are read again", timeout_s=60)


def test_a_maintenance_worker_that_hangs_or_is_dead_is_missed(
    site: Site, api: Server, worker: Server
) -> None:
    def missed() -> bool:
        return (api("pulse")["maintenance"]["behind_s"] or 0) > 2

    def answers() -> bool:
        return api("pulse").get("maintenance", {}).get("answered_s") is not None

    until(answers, what="it answers", timeout_s=60)
    until(lambda: not missed(), what="it is not missed")
    worker.send(signal.SIGSTOP)
    try:
        until(missed, what="one that hangs is missed", timeout_s=60)
    finally:
        worker.send(signal.SIGCONT)
    until(lambda: not missed(), what="it is back", timeout_s=60)
    worker.close()  # no test behind this one has it
    until(missed, what="one that is dead is missed", timeout_s=60)
    site.start("maintenance").ready()
    until(lambda: not missed(), what="another one answers in its place", timeout_s=60)
