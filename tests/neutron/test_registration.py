"""Registrations: what a site names is believed as far as central can check it."""

import contextlib
import ipaddress
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.server import ADMIN, site_user, tenant
from tests.neutron.test_central_report import Stretched

from isthmus.model import number
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.central.site_api.belief.rate import Pace
from isthmus.store.delivery import journal
from isthmus.store.sql.tables import EPOCHS, JOURNAL, LANES, NAMED_PORTS, REGISTRATIONS
from isthmus.store.tiers import epoch, named_port, registration

pytestmark = pytest.mark.neutron


def nobody(_connection: sa.Connection, move: named_port.Move) -> None:
    raise AssertionError(f"{move} moves, and no port should")


def try_register(central: CentralServer, site: str, **said: Any) -> Any:
    body = {"registration": None, "epoch": 1, "heard": 0, "proof": None, "leases": [], **said}
    path, body = "/v2.0/site-registrations", {"site_registration": body}
    return central.call("POST", path, body, site_user(site))


def register(central: CentralServer, site: str, **said: Any) -> Any:
    """Register as central knows the site, unless something else is said."""
    return try_register(central, site, **{**known_as(central, site), **said}).only()


def known_as(central: CentralServer, site: str) -> dict[str, Any]:
    """Give as what central knows a site."""
    with central.database() as connection:
        known = registration.find(connection, SiteName(site))
    if known is None:
        return {}
    return {"epoch": max(1, known.epoch), "registration": known.registration}


def applied(answer: Any) -> dict[str, Any]:
    """Return what a site says afterwards that has applied an answer."""
    return {key: answer[key] for key in ("heard", "proof")}


def named(pool: str, first: int, last: int, kind: str = "subnet") -> dict[str, str]:
    one = {"id": str(uuid.uuid4()), "kind": kind, "pool_id": pool}
    return {**one, "first": str(first), "last": str(last)}


def make_network(central: CentralServer, third: int, **more: Any) -> tuple[str, str, int]:
    """Make a tenant's network; gives it, its subnet, and the subnet's address as a number."""
    user = ADMIN if more else tenant("victim")
    network = central.create("network", user, name="n", **more)["id"]
    values = {"network_id": network, "cidr": f"10.77.{third}.0/24", "ip_version": 4}
    subnet = central.create("subnet", user, **values)["id"]
    return network, subnet, (10 << 24) + (77 << 16) + (third << 8)


def own_epoch(central: CentralServer) -> int:
    with central.database() as connection:
        return int(connection.scalar(sa.select(EPOCHS.c.epoch)) or 0)


def own_site_epoch(central: CentralServer, site: str) -> int:
    with central.database() as connection:
        known = registration.find(connection, SiteName(site))
    return known.epoch if known is not None else 0


@contextlib.contextmanager
def restored(central: CentralServer) -> Iterator[None]:
    """Have central wait for its sites, as when its database came back from a backup."""
    with central.database(write=True) as connection:
        epoch.begin(connection, "restored, the test says")
    try:
        yield
    finally:
        with central.database(write=True) as connection:
            for one in epoch.list_waiting(connection):
                registration.go_on_without(connection, one, welcome=nobody)
            connection.execute(sa.update(REGISTRATIONS).values(owes=False))


def test_a_registration_gets_no_network_and_no_block(central: CentralServer) -> None:
    network, subnet, base = make_network(central, 1)
    register(central, "site1")
    lies = [
        named(subnet, base + 2, base + 254),
        named(subnet, base + 9, base + 9),
        named(network, 1, 1024, "port_key"),
        named(subnet, 0, 2**127),
    ]
    for epoch_of_site in (1, 2):
        answer = register(
            central, "site1", epoch=epoch_of_site, leases=lies, datapaths={network: 16711999}
        )
        assert answer["void"] == [one["id"] for one in lies]
    leases = central.call("GET", "/v2.0/site-leases").only()
    assert not [one for one in leases if one["pool_id"] in (network, subnet)]
    mappings = central.call("GET", "/v2.0/site-mappings?site=site1").only()
    assert not [one for one in mappings if one["resource_id"] in (network, subnet)]
    assert central.bundle("site1", "network", network, project=None)["items"] == []


def test_a_registration_whose_answer_was_lost_is_made_again(central: CentralServer) -> None:
    """Central keeps what it was told, but the site knows nothing of what it has to do."""
    heard = applied(register(central, "site1"))
    assert not register(central, "site1", leases=None, **heard)["register"]
    epoch_of_site = own_site_epoch(central, "site1") + 1
    register(central, "site1", epoch=epoch_of_site, **heard)  # the site never sees the answer
    assert register(central, "site1", leases=None, **heard)["register"]
    answer = register(central, "site1", **heard)
    assert not register(central, "site1", leases=None, **applied(answer))["register"]


def test_a_registration_takes_no_block_of_a_pool_that_is_there(central: CentralServer) -> None:
    network, subnet, base = make_network(central, 2)
    central.bundle("site1", "network", network, project=None, admin=True)
    register(central, "site1")
    held = [one for one in register(central, "site1")["leases"] if one["pool_id"] == subnet]
    (lease,) = held
    # A part of what it holds, under an id of its own, is no lie; more than that is.
    part = named(subnet, int(lease["last"]) - 3, int(lease["last"]))
    more = named(subnet, base + 200, base + 220)
    wider = {**lease, "last": str(base + 254)}
    del wider["site"]
    answer = register(central, "site1", leases=[part, more, wider])
    assert answer["void"] == [more["id"]]
    assert [one for one in answer["leases"] if one["pool_id"] == subnet] == held


@pytest.mark.parametrize(
    "lie",
    [{"first": "-1"}, {"last": str(2**128)}, {"first": "9", "last": "8"}, {"id": "x"}],
)
def test_what_is_no_block_is_no_registration(
    central: CentralServer, lie: Mapping[str, str]
) -> None:
    _, subnet, base = make_network(central, 3)
    block = {**named(subnet, base + 2, base + 3), **lie}
    assert try_register(central, "site1", leases=[block]).status == 400


def test_what_central_forgot_is_believed_within_bounds(central: CentralServer) -> None:
    network, subnet, base = make_network(central, 4)
    _, elsewhere, other = make_network(central, 5, availability_zone_hints=["zone2"])
    _, outside, third = make_network(central, 6, **{"router:external": True})
    port = central.create(
        "port", network_id=network, fixed_ips=[{"ip_address": "10.77.4.100"}], name="in use"
    )
    fine = named(subnet, base + 96, base + 103)
    keys = named(network, 1, 64, "port_key")
    void = [
        named(subnet, base, base + 7),  # the network's own address
        named(subnet, base + 104, base + 104 + 4096),
        named(subnet, 0, 2**127),
        named(network, 32000, 40000, "port_key"),
        named(elsewhere, other + 9, other + 9),
        named(outside, third + 9, third + 9),
        named(str(uuid.uuid4()), base + 5, base + 5),
    ]
    register(central, "site1")
    with restored(central):
        answer = register(central, "site1", leases=[*void, fine, keys])
        assert sorted(answer["void"]) == sorted(one["id"] for one in void)
    held = {
        (int(one["first"]) - base, int(one["last"]) - base): one["id"]
        for one in answer["leases"]
        if one["pool_id"] == subnet
    }
    # The site learns from the answer that one address of it is central's.
    assert set(held) == {(96, 99), (101, 103)}
    assert held[96, 99] == fine["id"]
    assert keys["id"] in {one["id"] for one in answer["leases"]}
    leases = central.call("GET", "/v2.0/site-leases").only()
    blocks = [
        (int(one["first"]) - base, int(one["last"]) - base, one["site"])
        for one in leases
        if one["pool_id"] == subnet
    ]
    assert [site for first, last, site in blocks if first <= 100 <= last] == ["central"]
    assert central.bundle("site1", "network", network, project=None)["items"]
    # What it gave up, and a site has yet to hear of, is central's as well.
    with central.database(write=True) as connection:
        journal.record(connection, [IntentKey(SiteName("site2"), ResourceType.PORT, port["id"])])
    assert central.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
    with central.database(write=True) as connection:
        journal.record(connection, [IntentKey(SiteName("site2"), ResourceType.PORT, port["id"])])
    with restored(central):
        answer = register(central, "site1", leases=[named(subnet, base + 100, base + 100)])
        assert len(answer["void"]) == 1
    central.clear_journal()
    with restored(central):
        again = named(subnet, base + 100, base + 100)
        assert register(central, "site1", leases=[again])["void"] == []


def test_a_site_that_central_went_on_without_registers_when_it_is_back(
    central: CentralServer,
) -> None:
    network, subnet, base = make_network(central, 9)
    central.bundle("site2", "network", network, project=None, admin=True)
    register(central, "site1")
    central.clear_journal()
    with restored(central):
        with central.database(write=True) as connection:
            for one in epoch.list_waiting(connection):
                assert registration.go_on_without(connection, one, welcome=nobody)
        # What it asks or tells before it has registered is not heard.
        incarnation = {"kind": "subnet", "pool_id": subnet, "count": 1}
        assert central.lease_request("site1", **incarnation).status == 503
        assert register(central, "site1", leases=None)["register"]
        # What central gave to nobody since is its own again; what it gave to site2 is void.
        register(central, "site2")
        (lease,) = [one for one in register(central, "site2")["leases"] if one["pool_id"] == subnet]
        given = named(subnet, int(lease["first"]), int(lease["first"]) + 3)
        free = named(subnet, base + 200, base + 210)
        answer = register(central, "site1", leases=[given, free])
        assert answer["void"] == [given["id"]]
        assert not register(central, "site1", leases=None, **applied(answer))["register"]


def test_a_site_added_while_central_waits_is_waited_for(central: CentralServer) -> None:
    """It may have been added after the backup, and know what central has forgotten."""
    network, subnet, base = make_network(central, 7)
    body: dict[str, Any] = {"availability_zones": ["z"], "service_user": "isthmus-late"}
    with restored(central):
        central.create("site", name="late", region="Late", **body)
        shown = {one["name"]: one["waits_for"] for one in central.call("GET", "/v2.0/sites").only()}
        assert shown["late"]
        block = named(subnet, base + 20, base + 29)
        assert register(central, "late", leases=[block])["void"] == []
    assert central.bundle("late", "network", network, project=None)["items"]
    central.call("PUT", "/v2.0/sites/late", {"site": {"state": "disabled"}})
    assert central.call("DELETE", "/v2.0/sites/late").status == 204


def test_addresses_one_by_one_are_bounded_by_a_share(central: CentralServer) -> None:
    """Half of a pool without known use, or eight numbers: the same as for blocks."""
    network = central.create("network", name="small")["id"]
    values = {"network_id": network, "cidr": "10.78.0.0/27", "ip_version": 4}
    subnet = central.create("subnet", **values)["id"]
    central.bundle("site1", "network", network, project=None, admin=True)
    refused = None
    for last in range(30, 1, -1):
        reply = central.lease_request(
            "site1", kind="subnet", pool_id=subnet, count=0, address=f"10.78.0.{last}"
        )
        if reply.status != 201:
            refused = reply
            break
    assert refused is not None
    assert refused.status == 409
    assert "no more until they are used" in refused.text
    leases = central.call("GET", f"/v2.0/site-leases?site=site1&pool_id={subnet}").only()
    assert sum(one["size"] for one in leases) == 14  # of 29: half of it, and the one that tips it


def test_a_pace_lets_one_go_at_a_time() -> None:
    at = [0.0]
    pace = Pace(every_s=2.0, clock=lambda: at[0])
    gone = []
    for at[0] in (0.0, 1.0, 2.0, 3.9, 4.0):
        gone.append(pace.is_time())
    assert gone == [True, False, True, False, True]


def test_a_hello_that_a_report_overtakes_tells_of_no_restore(central: CentralServer) -> None:
    """The site says hello, reports before central hears it, and is as healthy as it was."""
    answer = register(central, "site1")
    sequence = number.make(1, 1000)
    central.report("site1", sequence=sequence)
    with central.database(write=True) as connection:
        connection.execute(sa.update(LANES).where(LANES.c.lane == "site1").values(seen=sequence))
    hello = register(central, "site1", leases=None, **applied(answer))
    assert (hello["restored"], hello["register"]) == (False, False)
    assert (hello["epoch"], hello["seen"]) == (answer["epoch"], sequence)


def test_a_proof_of_what_cannot_be_begins_no_epoch(central: CentralServer) -> None:
    """Such a number is central's only because a site claimed to have seen it."""
    told = register(central, "site1")
    before = own_epoch(central)
    with central.database() as connection:
        secret = connection.scalar(sa.select(EPOCHS.c.secret))
        lanes = dict(connection.execute(sa.select(LANES.c.lane, LANES.c.sent)).all())
    heard = number.make((1 << number.EPOCH_BITS) - 3, 7)
    proof = epoch.prove(str(secret), SiteName("site1"), told["registration"], heard)
    assert register(central, "site1", heard=heard, proof=proof)["restored"] is False
    assert own_epoch(central) == before
    with central.database() as connection:
        after = dict(connection.execute(sa.select(LANES.c.lane, LANES.c.sent)).all())
    assert {lane: after[lane] for lane in after if lane != "site1"} == {
        lane: lanes[lane] for lane in lanes if lane != "site1"
    }
    assert number.epoch_of(after["site1"]) == number.epoch_of(lanes["site1"])
    # One that central can have given, and does not know of, is heeded.
    heard = number.make(before, 1 << 30)
    proof = epoch.prove(str(secret), SiteName("site1"), told["registration"], heard)
    register(central, "site1", heard=heard, proof=proof, leases=None)
    assert own_epoch(central) == before + 1
    with central.database() as connection:
        waiting = epoch.list_waiting(connection)
    for site in waiting:
        register(central, site)
    with central.database() as connection:
        assert epoch.list_waiting(connection) == []
        assert connection.scalar(sa.select(EPOCHS.c.recovered))


def test_a_site_made_again_does_not_make_central_think_that_it_was_restored(
    central: CentralServer,
) -> None:
    body: dict[str, Any] = {
        "name": "again",
        "region": "Again",
        "availability_zones": ["z"],
        "service_user": "isthmus-again",
    }
    central.create("site", **body)
    told = try_register(central, "again").only()
    for _ in range(5):
        told = try_register(central, "again", registration=told["registration"]).only()
    central.call("PUT", "/v2.0/sites/again", {"site": {"state": "disabled"}})
    assert central.call("DELETE", "/v2.0/sites/again").status == 204
    central.create("site", **body)
    before = own_epoch(central)
    said = {key: told[key] for key in ("registration", "heard", "proof")}
    answer = try_register(central, "again", leases=None, **said).only()
    assert answer["registration"] != told["registration"]
    assert answer["register"]
    assert own_epoch(central) == before
    network, subnet, _ = make_network(central, 8)
    central.bundle("site2", "network", network, project=None, admin=True)
    assert central.lease_request("site2", kind="subnet", pool_id=subnet, count=8).status == 201
    central.call("PUT", "/v2.0/sites/again", {"site": {"state": "disabled"}})
    assert central.call("DELETE", "/v2.0/sites/again").status == 204


def test_what_is_parked_or_new_keeps_no_site_waiting(central: CentralServer) -> None:
    network, subnet, base = make_network(central, 9)
    central.bundle("site1", "network", network, project=None, admin=True)
    ports = [
        central.create("port", network_id=network, name=name) for name in ("parked", "due", "new")
    ]
    central.clear_journal()
    lane = SiteName("site1")
    keys = [IntentKey(lane, ResourceType.PORT, one["id"]) for one in ports]
    with central.database(write=True) as connection:
        journal.record(connection, keys[:2])
    register(central, "site1")
    row_id = register(central, "site1")["registration"]
    with central.database(write=True) as connection:
        known = registration.find(connection, lane)
        assert known is not None
        assert (known.registered_at is not None, known.registration) == (True, row_id)
        # As after the registration: one is refused by the site, one has yet to be carried.
        registration.put(connection, lane, row_id, known.epoch, welcome=nobody)
        parked = sa.update(JOURNAL).where(JOURNAL.c.resource_id == ports[0]["id"])
        connection.execute(parked.values(parked=True))
        journal.record(connection, keys[2:])
        new = sa.update(JOURNAL).where(JOURNAL.c.resource_id == ports[2]["id"])
        # Its time is before that of the registration: the database's clock was set back meanwhile.
        connection.execute(new.values(created_at=sa.func.datetime("now", "-1 hour")))
    answer = register(central, "site1")
    assert answer["pending"] == 1
    address = ports[0]["fixed_ips"][0]["ip_address"]
    assert answer["aside"] == [
        {
            "kind": "subnet",
            "pool_id": subnet,
            "number": str(base + int(address.rpartition(".")[2])),
            "port_id": ports[0]["id"],
        }
    ]
    with central.database(write=True) as connection:
        connection.execute(sa.delete(JOURNAL).where(JOURNAL.c.resource_id == ports[1]["id"]))
    assert register(central, "site1")["pending"] == 0
    central.clear_journal()


def test_a_site_that_registers_hears_what_rests_of_its_blocks(central: CentralServer) -> None:
    """One that was restored has forgotten what it gave up, and site2 has not heard of it yet."""
    net = Stretched(central)
    port = net.port()
    newer = register(central, "site1")["seen"] + 1
    assert not net.report(port, sequence=newer)["code"]
    gone = {"type": "port", "id": port["id"], "state": None}
    (result,) = central.report("site1", gone, sequence=newer)
    assert not result["code"]
    assert ("shadow", port["id"]) in central.jobs("site2")

    def rests() -> set[tuple[str, str, str]]:
        return {
            (one["kind"], one["pool_id"], one["number"])
            for one in register(central, "site1")["aside"]
            if one["port_id"] == port["id"]
        }

    address = int(ipaddress.ip_address(port["fixed_ips"][0]["ip_address"]))
    key = port["isthmus:location"]["port_key"]
    assert rests() == {
        ("subnet", net.subnet["id"], str(address)),
        ("port_key", net.network["id"], str(key)),
    }
    central.acknowledge_all("site2")
    assert rests() == set()


@pytest.mark.parametrize(
    ("old", "new", "home"),
    [
        ([], ["port"], "site2"),
        (["port"], ["port"], "site1"),  # nobody takes it by his own word
        (None, ["port"], "site1"),  # its home was restored, too, and does not know
        ([], [], "site1"),
    ],
)
def test_a_home_follows_its_port_where_central_was_restored(
    central: CentralServer, old: list[str] | None, new: list[str], home: str
) -> None:
    net = Stretched(central)
    port = central.create("port", net.user, network_id=net.network["id"])["id"]
    central.bundle("site1", "port", port, project=net.project)
    central.clear_journal()
    path = f"/v2.0/site-mappings?type=port&resource_id={port}"
    ids = {"port": port}
    said = {
        "site1": None if old is None else [ids[one] for one in old],
        "site2": [ids[one] for one in new],
    }
    state = {**net.port(), "id": port}
    with restored(central):
        # While it is not known where ports are nothing is decided by where they were.
        (refused,) = central.report("site2", {"type": "port", "id": port, "state": state})
        assert refused["code"] == "isthmus.transient.busy", refused
        assert central.try_bundle("site2", "port", port, project=net.project).status == 503
        assert ("port", port) not in central.jobs("site2")
        for site, ports in said.items():
            assert [row["site"] for row in central.call("GET", path).only()] == ["site1"]
            assert ("port", port) not in central.jobs(site)
            answer = register(central, site, ports=ports)
            assert answer["pending"] == (len(central.jobs(site, "port")) if site == "site2" else 1)
    (row,) = central.call("GET", path).only()
    assert (row["site"], row["withdrawn"]) == (home, False)
    assert ("port", port) in central.jobs(home)
    with central.database() as connection:
        assert connection.execute(sa.select(NAMED_PORTS)).all() == []


def test_a_port_that_moved_takes_its_groups_along(central: CentralServer) -> None:
    """What changes of them afterwards, the site where the port is hears of."""
    net = Stretched(central)
    group, named_by_it = (
        central.create("security_group", net.user, name="g")["id"] for _ in range(2)
    )
    rule = {"security_group_id": group, "direction": "ingress", "ethertype": "IPv4"}
    central.create("security_group_rule", net.user, **rule, remote_group_id=named_by_it)
    values = {"network_id": net.network["id"], "security_groups": [group]}
    port = central.create("port", net.user, **values)["id"]
    central.bundle("site1", "port", port, project=net.project)
    with restored(central):
        register(central, "site1", ports=[])
        register(central, "site2", ports=[port])
    groups = {("security_group", group), ("security_group", named_by_it)}
    assert groups <= central.jobs("site2")
    central.clear_journal()
    for one in (group, named_by_it):
        rule = {"security_group_id": one, "direction": "ingress", "protocol": "tcp"}
        central.create("security_group_rule", net.user, **rule)
    assert groups <= central.jobs("site2")


@pytest.mark.parametrize("hints", [[], ["zone1"]])
def test_no_site_has_a_port_of_a_network_that_is_not_there(
    central: CentralServer, hints: list[str]
) -> None:
    more = {"availability_zone_hints": hints} if hints else {}
    network, _, _ = make_network(central, 41 + len(hints), **more)
    port = central.create("port", network_id=network)["id"]
    central.bundle("site1", "port", port, project=None, admin=True)
    central.clear_journal()
    with restored(central):
        register(central, "site1", ports=[])
        register(central, "site2", ports=[port])
    path = f"/v2.0/site-mappings?type=port&resource_id={port}"
    assert [row["site"] for row in central.call("GET", path).only()] == ["site1"]
    assert ("port", port) in central.jobs("site1")
    assert ("port", port) not in central.jobs("site2")


@pytest.mark.parametrize("how", ["registers", "is settled with all"])
def test_a_clock_that_went_back_keeps_no_port_from_a_site(central: CentralServer, how: str) -> None:
    """What was noted while the database's clock was ahead is told before the site recovers, too."""
    net = Stretched(central)
    port = central.create("port", net.user, network_id=net.network["id"])["id"]
    central.bundle("site1", "port", port, project=net.project)
    central.clear_journal()

    def note() -> None:
        with central.database(write=True) as connection:
            journal.record(connection, [IntentKey(SiteName("site1"), ResourceType.PORT, port)])
            connection.execute(sa.update(JOURNAL).values(created_at=sa.text("'2099-01-01'")))

    register(central, "site1")
    with central.database() as connection:
        known = registration.find(connection, SiteName("site1"))
    assert known is not None
    if how == "registers":
        note()
        answer = register(central, "site1", epoch=known.epoch + 1)
        assert answer["pending"] == len(central.jobs("site1", "port"))
        return
    with restored(central):
        register(central, "site1", ports=[port])
        note()
        register(central, "site2", ports=[])
        answer = register(central, "site1", ports=[port])
        assert answer["pending"] == len(central.jobs("site1", "port"))


@pytest.mark.parametrize("said", [{"epoch": 1e400}, {"heard": 1e400}, {"datapaths": {"n": 1e400}}])
def test_an_infinite_number_is_none(central: CentralServer, said: Any) -> None:
    assert try_register(central, "site1", **said).status == 400
    lease = {"id": str(uuid.uuid4()), "kind": "subnet", "pool_id": str(uuid.uuid4())}
    for block in ({"first": 1e400, "last": "1"}, {"first": "1", "last": 1e400}):
        assert try_register(central, "site1", leases=[lease | block]).status == 400
    for request in ({"count": 1e400}, {"count": 1, "give_back": [{"lease": lease["id"], **block}]}):
        body = {"kind": "subnet", "pool_id": lease["pool_id"], "address": None, **request}
        assert central.lease_request("site1", **body).status == 400


@pytest.mark.parametrize("proof", ["\u00e9" * 64, "\ud800", "\u0661\u0662"])
def test_a_proof_in_any_letters_proves_nothing(central: CentralServer, proof: str) -> None:
    before = own_epoch(central)
    for known_as in (register(central, "site1")["registration"], str(uuid.uuid4())):
        said = {"registration": known_as, "heard": 2**60, "proof": proof}
        assert try_register(central, "site1", **said).status in (201, 400)
    assert own_epoch(central) == before


@pytest.mark.parametrize("lie", [["x"], [3], "x"])
def test_what_is_no_port_is_no_registration(central: CentralServer, lie: Any) -> None:
    assert try_register(central, "site1", ports=lie).status == 400


def test_a_restored_central_takes_no_port_from_its_site(central: CentralServer) -> None:
    """It may have forgotten the port; once it cannot have, the port was deleted."""
    lives = str(uuid.uuid4())
    heard = register(central, "site2")["heard"]
    holdings, jobs = {"port": [lives]}, ("port", lives)
    with restored(central):
        register(central, "site2", holdings=holdings, heard=heard)
        assert jobs not in central.jobs("site2")
    anew = own_site_epoch(central, "site2") + 1
    heard_since = register(central, "site2", holdings=holdings, heard=heard, epoch=anew)["heard"]
    assert jobs not in central.jobs("site2"), "the site's database is of an earlier life of central"
    other = str(uuid.uuid4())
    said = {"holdings": holdings, "heard": heard_since, "epoch": anew + 1, "registration": other}
    register(central, "site2", **said)
    assert jobs not in central.jobs("site2"), "it was another site"
    register(central, "site2", holdings=holdings, heard=heard_since, epoch=anew + 2)
    assert jobs in central.jobs("site2")
    assert central.desired("site2", jobs)[jobs] is None
