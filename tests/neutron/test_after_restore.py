"""Central's database came back from a backup: what its sites and its people know since is kept."""

import contextlib
import ipaddress
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.server import ADMIN
from tests.neutron.test_central_report import Stretched, item
from tests.neutron.test_registration import make_network, register, restored

from isthmus import errors
from isthmus.model.site import SiteName
from isthmus.store.leases import lease as lease_store
from isthmus.store.sql.tables import NAMED_LEASES, NAMED_NUMBERS, REGISTRATIONS
from isthmus.store.tiers import epoch, registration
from isthmus.testing.until import until

pytestmark = pytest.mark.neutron


@contextlib.contextmanager
def back_from_backup(central: CentralServer) -> Iterator[None]:
    """Have central be as it is now, and wait for its sites: its database is a backup."""
    with central.database(write=True) as connection:
        epoch.begin(connection, "restored, the test says")
    try:
        yield
    finally:
        with central.database(write=True) as connection:
            for one in epoch.list_waiting(connection):
                registration.go_on_without(connection, one, welcome=lambda *_: None)
            connection.execute(sa.update(REGISTRATIONS).values(owes=False))
            for table in (NAMED_LEASES, NAMED_NUMBERS):
                left = sa.delete(table).where(table.c.get("decided", sa.false()).is_(sa.false()))
                connection.execute(left)


def settle(central: CentralServer) -> None:
    """Have central decide what was named: any hello reminds it."""

    def settles() -> bool:
        register(central, "site2", leases=None)
        with central.database() as connection:
            return epoch.is_recovered(connection)

    until(settles, timeout_s=240, what="what was named is decided")


def change(central: CentralServer, net: Stretched, port: dict[str, Any], **values: Any) -> None:
    path = f"/v2.0/ports/{port['id']}"
    central.call("PUT", path, {"port": values}, net.user).only()


def agreed(port: dict[str, Any], **since: Any) -> dict[str, Any]:
    """Give a port as its site has it: changed since the backup, and agreed on."""
    now = {**port, **since}
    return {**now, "isthmus:base": {name: now[name] for name in ("name", "description")}}


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_what_a_person_changes_after_the_restore_is_no_older_than_the_site(
    central: CentralServer, when: str
) -> None:
    """Before its site registers, before the last one does, and before the site's report."""
    net = Stretched(central)
    port = net.port(name="old", description="old", admin_state_up=True)
    assert net.report(port)["code"] == ""

    def turn(now: str) -> None:
        if now == when:
            change(central, net, port, description="central's", admin_state_up=False)
            change(central, net, port, description="central's, again")

    with back_from_backup(central):
        turn("before")
        register(central, "site1", ports=[port["id"]])
        turn("between")
        register(central, "site2", ports=[])
    turn("after")
    (wanted,) = central.wanted("site1", ("port", port["id"]))
    assert wanted["state"]["isthmus:stale"] is True  # the site says first how the port is
    said = agreed(port, name="the site's", description="the site's, too")
    central.clear_journal()
    assert net.report(said)["code"] == ""
    shown = net.shown(port)
    assert shown["name"] == "the site's"  # changed there alone, since the backup
    assert shown["admin_state_up"] is False  # changed at central alone, since the restore
    assert shown["description"] == "central's, again"  # on both sides: central wins, as ever
    # The site is told, and takes it: central is no older any more.
    assert ("port", port["id"]) in central.jobs("site1")
    (wanted,) = central.wanted("site1", ("port", port["id"]))
    assert "isthmus:stale" not in wanted["state"]
    # And from here on what the site says is held against what the two agree on.
    later = agreed(port, name="the site's", description="central's, again", admin_state_up=False)
    assert net.report({**later, "name": "new"})["code"] == ""
    assert net.shown(port)["name"] == "new"


def test_a_port_that_its_home_has_no_more_is_central_s_to_say(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    assert net.report(port)["code"] == ""
    with back_from_backup(central):
        register(central, "site1", ports=[])
        register(central, "site2", ports=[])
    (wanted,) = central.wanted("site1", ("port", port["id"]))
    assert "isthmus:stale" not in wanted["state"]


def test_a_report_takes_no_port_from_its_home(central: CentralServer) -> None:
    """Until central has recovered, what a site has claimed stands against others that name it."""
    net = Stretched(central)
    port = net.port()
    assert net.report(port)["code"] == ""
    with back_from_backup(central):
        register(central, "site1", ports=[port["id"]])
        assert net.report({**port, "name": "new"})["code"] == ""
        register(central, "site2", ports=[port["id"]])
    path = f"/v2.0/site-mappings?type=port&resource_id={port['id']}"
    assert [one["site"] for one in central.call("GET", path).only()] == ["site1"]
    assert (
        net.report({**port, "name": "newer", "isthmus:base": {**port, "name": "new"}})["code"] == ""
    )


def test_a_site_is_answered_nothing_before_it_has_registered(central: CentralServer) -> None:
    """It would hear of leases that it has returned since the backup, and somebody else may have."""
    net = Stretched(central)
    port = net.port()
    assert net.report(port)["code"] == ""
    pool = {"kind": "subnet", "pool_id": net.subnet["id"], "address": None}

    def ask() -> list[tuple[int, str]]:
        bundle = central.try_bundle("site1", "network", net.network["id"], project=net.project)
        request = central.lease_request("site1", count=0, **pool)
        return [reply.refusal() for reply in (bundle, request) if reply.status >= 400]

    with back_from_backup(central):
        assert ask() == [(503, errors.Unregistered.code)] * 2
        assert net.report({**port, "name": "new"})["code"] == ""
        register(central, "site1", ports=[port["id"]])
        assert ask() == []
        register(central, "site2", ports=[])


def test_the_shadow_of_a_port_that_its_home_has_not_reported_is_said_to_be_stale(
    central: CentralServer,
) -> None:
    net = Stretched(central)
    port = net.port()
    assert net.report(port)["code"] == ""

    def is_stale() -> bool:
        (wanted,) = central.wanted("site2", ("shadow", port["id"]))
        return bool(wanted["state"].get("isthmus:stale"))

    assert not is_stale()
    with back_from_backup(central):
        register(central, "site2", ports=[])  # else nothing is read for it
        assert is_stale()
        register(central, "site1", ports=[port["id"]])
    assert is_stale()
    central.clear_journal()
    assert net.report(port)["code"] == ""
    # All others are told, though nothing has changed: what waited for them has been left alone.
    assert not is_stale()
    assert ("shadow", port["id"]) in central.jobs("site2")


def number_of(address: str) -> int:
    return int(ipaddress.ip_address(address))


def speak(central: CentralServer, net: Stretched, site: str, *ports: Any, **said: Any) -> Any:
    """Register a site that names its leases on a network, its ports and what they have."""
    ids = [one["id"] for one in ports]
    places = [
        (place, str(number_of(ip["ip_address"])))
        for place, one in enumerate(ports)
        for ip in one["fixed_ips"]
    ]
    with central.database() as connection:
        known = lease_store.list_leases(connection, site=SiteName(site))
    leases = [lease_store.to_state(one) for one in known]
    words = {"leases": leases, "ports": ids, "addresses": {net.subnet["id"]: places}, "shadows": []}
    return register(central, site, **{**words, **said})


def a_lease(net: Stretched, first: str, last: str, kind: str = "subnet") -> dict[str, str]:
    """Give a lease that central has forgotten."""
    pool = net.subnet["id"] if kind == "subnet" else net.network["id"]
    ends = {
        "first": str(number_of(first) if kind == "subnet" else first),
        "last": str(number_of(last) if kind == "subnet" else last),
    }
    return {"id": str(uuid.uuid4()), "kind": kind, "pool_id": pool, **ends}


def at(net: Stretched, address: str) -> list[dict[str, str]]:
    return [{"subnet_id": net.subnet["id"], "ip_address": address}]


def holder_of(central: CentralServer, net: Stretched, address: str) -> str | None:
    number = number_of(address)
    for one in central.call("GET", "/v2.0/site-leases").only():
        if one["pool_id"] == net.subnet["id"] and int(one["first"]) <= number <= int(one["last"]):
            return str(one["site"])
    return None


def ports_with(central: CentralServer, net: Stretched, address: str) -> list[str]:
    path = f"/v2.0/ports?network_id={net.network['id']}&fixed_ips=ip_address%3D{address}"
    return [one["id"] for one in central.call("GET", path).only()]


def born_at_site2(net: Stretched, address: str) -> dict[str, Any]:
    """Give a port of site2, with a key of its lease and a hypervisor of its own."""
    (keys,) = (one for one in net.leases["site2"] if one["kind"] == "port_key")
    port = net.port(fixed_ips=at(net, address))
    where = {"chassis": "far-chassis", "hostname": "far-host", "encap_ip": "198.51.100.2"}
    port["isthmus:location"] = {**where, "port_key": int(keys["first"])}
    port["mac_address"] = port["mac_address"].replace("fa:16:01", "fa:16:02")
    return port


def take_all(central: CentralServer, net: Stretched) -> list[str]:
    """Give out whatever central and site2 may give of a subnet."""
    given = []
    while True:
        made = central.try_create("port", net.user, network_id=net.network["id"])
        if made.status != 201:
            break
        given += [one["ip_address"] for one in made.only()["fixed_ips"]]
    subnet = net.subnet["id"]
    while (
        central.lease_request("site2", kind="subnet", pool_id=subnet, count=64, address=None).status
        == 201
    ):
        pass
    return given


@pytest.mark.parametrize("first", ["site1", "site2"])
@pytest.mark.parametrize("where", ["own lease", "lease that went over", "new lease"])
def test_an_address_that_changed_since_the_backup_has_a_new_holder(
    central: CentralServer, where: str, first: str
) -> None:
    """The port that had it has another one by now; who has it is told by its home alone."""
    net = Stretched(central, prefix=27)
    old = net.port()
    if where == "new lease":  # it was central's own
        made = central.create("port", net.user, network_id=net.network["id"])
        central.bundle("site1", "port", made["id"], project=net.project)
        old = {**net.port(), "id": made["id"], "mac_address": made["mac_address"]}
        old["fixed_ips"] = [
            {name: made["fixed_ips"][0][name] for name in ("subnet_id", "ip_address")}
        ]
    assert net.report(old)["code"] == ""
    address = old["fixed_ips"][0]["ip_address"]
    central.clear_journal()
    changed = {**old, "fixed_ips": at(net, net.address())}
    with back_from_backup(central):
        change(central, net, old, description="a person's, since the restore")
        if where == "own lease":
            new = net.port(fixed_ips=at(net, address))
            home, there = "site1", {"site1": [changed, new], "site2": []}
            more = {}
        else:
            new = born_at_site2(net, address)
            home, there = "site2", {"site1": [changed], "site2": [new]}
            more = {"site2": [a_lease(net, address, address)]}
        for site in sorted(there, reverse=first == "site2"):
            with central.database() as connection:
                known = lease_store.list_leases(connection, site=SiteName(site))
            named = [lease_store.to_state(one) for one in known]
            if where == "lease that went over" and site == "site1":
                named = cut(named, net, address)
            speak(central, net, site, *there[site], leases=[*named, *more.get(site, [])])
    assert holder_of(central, net, address) == home
    # Whoever reports first.
    for site, port in (("site1", changed), (home, new)):
        (result,) = central.report(site, {"type": "port", "id": port["id"], "state": port})
        assert result["code"] == "", result
    assert ports_with(central, net, address) == [new["id"]]
    assert net.shown(changed)["fixed_ips"] == changed["fixed_ips"]
    assert net.shown(changed)["description"] == "a person's, since the restore"
    assert address not in take_all(central, net)
    assert ports_with(central, net, address) == [new["id"]]


def cut(leases: list[dict[str, str]], net: Stretched, address: str) -> list[dict[str, str]]:
    """Give leases without one address, as a site that gave it back names them."""
    number, left = number_of(address), []
    for one in leases:
        if one["pool_id"] != net.subnet["id"] or not (
            int(one["first"]) <= number <= int(one["last"])
        ):
            left.append(one)
            continue
        assert number == int(one["first"]), "it is cut from below"
        left.append({**one, "id": str(uuid.uuid4()), "origin": one["id"], "first": str(number + 1)})
    return left


def test_a_site_that_registers_anew_claims_what_it_names_now(central: CentralServer) -> None:
    """Central died, say, before it had noted that the site has registered."""
    net = Stretched(central, prefix=27)
    ports = [net.port() for _ in range(2)]
    for one in ports:
        net.must_take(one)
    addresses = [one["fixed_ips"][0]["ip_address"] for one in ports]
    with back_from_backup(central):
        for address in addresses:
            lease = a_lease(net, address, address)
            speak(central, net, "site2", leases=[lease])
            with central.database(write=True) as connection:
                connection.execute(sa.update(REGISTRATIONS).values(waits=True))
        with central.database() as connection:
            claimed = connection.scalars(sa.select(NAMED_LEASES.c.id)).all()
        assert claimed == [lease["id"]]
        speak(central, net, "site1", *ports)
        speak(central, net, "site2", leases=[lease])
    assert {holder_of(central, net, one) for one in addresses} == {"site1"}


def test_a_lease_that_is_yet_to_be_decided_is_not_void_for_who_registers_again(
    central: CentralServer,
) -> None:
    """The answer to its first registration was lost: it would give up what it is then given."""
    net = Stretched(central, prefix=27)
    kept = net.port()
    net.must_take(kept)
    address = kept["fixed_ips"][0]["ip_address"]
    with back_from_backup(central):
        lease = a_lease(net, address, address)
        for _ in range(2):
            assert speak(central, net, "site2", leases=[lease])["void"] == []
        speak(central, net, "site1", kept)
    assert speak(central, net, "site2", leases=[lease])["void"] == [lease["id"]]
    assert holder_of(central, net, address) == "site1"


def test_a_network_that_ovn_alone_remembers_keeps_its_tunnel_key(central: CentralServer) -> None:
    """Servers send by it: no other site may be told another one."""
    network, _, _ = make_network(central, 43)
    taken, _, _ = make_network(central, 44)
    central.bundle("site2", "network", taken, project=None, admin=True)
    path = "/v2.0/site-presences?network_id="
    (other,) = central.call("GET", f"{path}{taken}").only()
    key = other["datapath_key"] - 1000
    strays = [["site1", str(uuid.uuid4()), one, 5, []] for one in (network, str(uuid.uuid4()))]
    register(central, "site1")
    with restored(central):
        register(central, "site1", shadows=strays, datapaths={network: key})
    settle(central)
    (found,) = central.call("GET", f"{path}{network}").only()
    assert (found["site"], found["datapath_key"]) == ("site1", key)


def test_no_mac_is_given_out_before_all_sites_have_spoken(central: CentralServer) -> None:
    """Nor the address that follows from it: central may have forgotten the port that has both."""
    net = Stretched(central)
    modes = dict.fromkeys(("ipv6_address_mode", "ipv6_ra_mode"), "slaac")
    values = {"network_id": net.network["id"], "cidr": "2001:db8:9::/64", "ip_version": 6}
    subnet = central.create("subnet", net.user, **values, **modes)["id"]
    known = central.create("port", net.user, network_id=net.network["id"], fixed_ips=[])
    lost = net.port(mac_address="fa:16:01:00:00:31")
    address = {"subnet_id": subnet, "ip_address": "2001:db8:9:0:f816:1ff:fe00:31"}
    lost["fixed_ips"].append(address)
    body = {"network_id": net.network["id"], "mac_address": lost["mac_address"]}
    six = {**body, "fixed_ips": [{"subnet_id": subnet}]}
    with back_from_backup(central):
        for one in (six, {**body, "fixed_ips": []}):
            refused = central.try_create("port", ADMIN, **one)
            assert (refused.status, "restored" in refused.text) == (503, True), refused
        path, change = f"/v2.0/ports/{known['id']}", {"port": {"mac_address": body["mac_address"]}}
        assert central.call("PUT", path, change, ADMIN).status == 503
        speak(central, net, "site1", lost)
        speak(central, net, "site2")
    net.must_take(lost)
    assert {one["ip_address"] for one in net.shown(lost)["fixed_ips"]} >= {address["ip_address"]}
    for one in (six, {**body, "fixed_ips": []}):
        assert central.try_create("port", ADMIN, **one).status == 409


def test_two_ports_that_really_have_one_address_are_left_to_a_person(
    central: CentralServer,
) -> None:
    """No site takes an address from another one's port by its word."""
    net = Stretched(central, prefix=27)
    port = net.port()
    assert net.report(port)["code"] == ""
    address = port["fixed_ips"][0]["ip_address"]
    with back_from_backup(central):
        liar = born_at_site2(net, address)
        with central.database() as connection:
            known = lease_store.list_leases(connection, site=SiteName("site2"))
        named = [lease_store.to_state(one) for one in known]
        lease = a_lease(net, address, address)
        speak(central, net, "site2", liar, leases=[*named, lease])
        speak(central, net, "site1", port)
    assert holder_of(central, net, address) == "site1"
    assert ports_with(central, net, address) == [port["id"]]
    # It is asked to register once more, and hears that its lease is void.
    assert register(central, "site2", leases=None)["register"] is True
    assert register(central, "site2", leases=[lease])["void"] == [lease["id"]]
    assert holder_of(central, net, address) == "site1"


def test_what_central_gave_out_itself_since_the_backup_is_kept_for_its_port(
    central: CentralServer,
) -> None:
    """Ports were made at central and came to a site: nobody else is given their addresses."""
    net = Stretched(central, prefix=27)
    made = central.create("port", net.user, network_id=net.network["id"])
    # Of what central had when it was backed up, and of what nobody had.
    low = str(ipaddress.ip_address(made["fixed_ips"][0]["ip_address"]) + 1)
    high = "10.0.0.29"
    assert (holder_of(central, net, low), holder_of(central, net, high)) == ("central", None)
    ports = [net.port(fixed_ips=at(net, one)) for one in (low, high)]
    with back_from_backup(central):
        speak(central, net, "site1", *ports)
        speak(central, net, "site2")
    for one in (low, high):
        named = central.try_create(
            "port", net.user, network_id=net.network["id"], fixed_ips=[{"ip_address": one}]
        )
        assert named.status == 409, named
        assert "has yet to learn" in named.text
        asked = central.lease_request(
            "site2", kind="subnet", pool_id=net.subnet["id"], count=1, address=str(one)
        )
        assert asked.status == 409, asked
    given = take_all(central, net)
    assert not {low, high} & set(given)
    assert {holder_of(central, net, one) for one in (low, high)} == {"central"}
    # A third one that went at its site before central had heard of it.
    first, second = ports
    assert net.report(first)["code"] == ""
    assert ports_with(central, net, low) == [first["id"]]
    body = {"network_id": net.network["id"], "fixed_ips": [{"ip_address": high}]}
    gone = {"type": "port", "id": second["id"], "state": None}
    central.report("site2", gone)  # which knows the port by its shadow, and is not its home
    central.clear_journal()
    assert central.try_create("port", net.user, **body).status == 409
    assert central.report("site1", gone)[0]["code"] == ""
    central.clear_journal()
    assert central.try_create("port", net.user, **body).status == 201


@pytest.mark.parametrize("liar", ["names nothing", "names it too"])
def test_a_port_that_central_forgot_is_its_own_site_s_to_report(
    central: CentralServer, liar: str
) -> None:
    """site2 knows it by its shadow, and reports it as its own before its site does."""
    net = Stretched(central, prefix=27)
    port = net.port()
    (keys,) = (one for one in net.leases["site2"] if one["kind"] == "port_key")
    where = {"chassis": "far-chassis", "hostname": "far-host", "encap_ip": "198.51.100.2"}
    stolen = {
        **port,
        "fixed_ips": [],
        "isthmus:location": {**where, "port_key": int(keys["first"])},
    }
    named = [stolen] if liar == "names it too" else []
    with back_from_backup(central):
        speak(central, net, "site1", port)
        speak(central, net, "site2", *named)
    (result,) = central.report("site2", item(stolen))
    assert result["code"] == "isthmus.refused.conflict", result
    assert "site1" in result["message"]
    if named:  # who has it, only a person can tell: he disables who lies
        assert net.report(port)["code"] == "isthmus.refused.conflict"
        path = "/v2.0/sites/site2"
        central.call("PUT", path, {"site": {"state": "disabled"}}).only()
    try:
        net.must_take(port)
    finally:
        if named:
            central.call("PUT", path, {"site": {"state": "enabled"}}).only()
    homes = central.call("GET", f"/v2.0/site-mappings?resource_id={port['id']}").only()
    assert [one["site"] for one in homes] == ["site1"]


def test_what_a_lost_site_s_ports_have_is_known_by_others(central: CentralServer) -> None:
    """Central goes on without site1, whose ports since the backup only their shadows show."""
    net = Stretched(central, prefix=27)
    address, key = "10.0.0.29", 20_000
    lost = str(uuid.uuid4())
    shadow = ["site1", lost, net.network["id"], key, [str(number_of(address))]]
    with back_from_backup(central):
        speak(central, net, "site2", shadows=[shadow])
        rows = central.call("GET", "/v2.0/sites").only()
        (row,) = (one["id"] for one in rows if one["name"] == "site1")
        central.call("PUT", f"/v2.0/sites/{row}/go_on_without", {}).only()
        given = take_all(central, net)
        assert given
        assert address not in given
        assert holder_of(central, net, address) == "site1"
        leases = central.call("GET", "/v2.0/site-leases").only()
        assert [
            one["site"]
            for one in leases
            if one["pool_id"] == net.network["id"] and int(one["first"]) <= key <= int(one["last"])
        ] == ["site1"]
        # It comes back after all, and has its blocks.
        port = net.port(id=lost, fixed_ips=at(net, address))
        with central.database() as connection:
            known = lease_store.list_leases(connection, site=SiteName("site1"))
        held_back = {number_of(address), key}
        named = [lease_store.to_state(one) for one in known if one.block.first not in held_back]
        block, keys = a_lease(net, address, address), a_lease(net, str(key), str(key), "port_key")
        answer = speak(central, net, "site1", port, leases=[*named, block, keys])
        assert answer["void"] == []
    assert holder_of(central, net, address) == "site1"
    port["isthmus:location"]["port_key"] = key
    assert net.report(port)["code"] == ""
    assert ports_with(central, net, address) == [lost]
