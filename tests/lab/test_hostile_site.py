"""Somebody owns site1: with all that its services hold and see he gets nothing that is not site1's.

Each attempt is made at central and site2, on real Keystones; afterwards nothing there has changed,
and each attempt stands in the log with who and what.
"""

import contextlib
import json
import re
import urllib.error
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from tests.lab.hostile import Answer, Attacker
from tests.lab.person import Person

from isthmus.clients.http.lab_cloud import open_cloud
from isthmus.clients.http.neutron import NeutronClient
from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until

pytestmark = [pytest.mark.lab, pytest.mark.root]

#: Rows that no attempt may change, as an administrator sees them at each tier.
_WATCHED = {
    "central": (
        *("networks", "subnets", "ports", "security-groups", "rbac-policies"),
        *("sites", "site-presences", "site-mappings", "site-leases"),
    ),
    "site2": ("networks", "subnets", "ports", "security-groups", "site-shadows"),
}
#: What Isthmus adds that can be listed.
_OURS = {
    "central": ("sites", "site-holdings", "site-jobs", "site-leases", "site-mappings"),
    "site2": ("site-holdings", "site-shadows"),
}
#: Whose tokens he has.
USERS = ("site_user", "service", "carrier")
_FLEETING = ("last_seen_at", "updated_at", "revision_number", "backlog", "parked", "last_error")


@dataclass(frozen=True)
class Victim:
    """What is not site1's: a tenant's network at site2 with a port there, and one with no home."""

    project: str
    network: str
    subnet: str
    homeless: dict[str, Any]
    port: dict[str, Any]
    group: str


@pytest.fixture(scope="module")
def clients(lab: OpenLab) -> dict[str, NeutronClient]:
    names = ("central", "site1", "site2", "demo-central", "other-central", "other-site2")
    return {name: open_cloud(lab.plan.clouds_file, name) for name in names}


def make(client: NeutronClient, kind: str, **values: Any) -> dict[str, Any]:
    return dict(client.post(kind, values))


@pytest.fixture(scope="module")
def victim(lab: OpenLab, clients: dict[str, NeutronClient]) -> Victim:
    owner, admin = clients["other-central"], clients["central"]
    network = make(owner, "network", name="victim")
    where = {"network_id": network["id"], "ip_version": 4}
    subnet = make(owner, "subnet", cidr="10.66.0.0/24", **where)
    group = make(owner, "security_group", name="databases")
    homeless = make(owner, "port", network_id=network["id"], name="vip")
    admin.post("site_presence", {"network_id": network["id"], "site": "site2"})
    at_site2 = make(
        clients["other-site2"],
        "port",
        network_id=network["id"],
        name="db",
        security_groups=[group["id"]],
    )
    host = lab.plan.sites[1].hypervisors[0].name
    body = {"port": {"binding:host_id": host}}
    clients["site2"].call("PUT", f"/v2.0/ports/{at_site2['id']}", body=body)

    def told() -> dict[str, Any] | None:
        rows = admin.get_all("port", id=at_site2["id"])
        return dict(rows[0]) if rows and rows[0]["binding:host_id"] else None

    port = until(told, what="the port of site2 is known at central", timeout_s=120)
    assert port is not None
    return Victim(
        project=network["project_id"],
        network=network["id"],
        subnet=subnet["id"],
        homeless=homeless,
        port=port,
        group=group["id"],
    )


@pytest.fixture(scope="module")
def attacker(lab: OpenLab) -> Attacker:
    made = Attacker(lab.plan)
    home = lab.plan.tier_dir(made.tier("site1"))
    made.log_in("site_user", home / "neutron.conf", "isthmus")
    made.log_in("service", home / "neutron.conf", "keystone_authtoken")
    # What Xjob sends to site1, which sees it.
    xjob = lab.plan.tier_dir(made.tier("central")) / "xjob.conf"
    made.log_in("carrier", xjob, "isthmus_xjob:site1")
    return made


@pytest.fixture(scope="module")
def own(clients: dict[str, NeutronClient]) -> dict[str, Any]:
    """What is site1's: a tenant's network that is there, and at site2 as well."""
    network = make(clients["demo-central"], "network", name="own")
    where = {"network_id": network["id"], "ip_version": 4}
    subnet = make(clients["demo-central"], "subnet", cidr="10.67.0.0/24", **where)
    for site in ("site1", "site2"):
        clients["central"].post("site_presence", {"network_id": network["id"], "site": site})
    rows = clients["central"].get_all("site_lease", site="site1")
    pools = {network["id"]: "keys", subnet["id"]: "addresses"}
    leases = {pools[row["pool_id"]]: row for row in rows if row["pool_id"] in pools}
    return {"network": network, "subnet": subnet, **leases}


def collect(clients: dict[str, NeutronClient], victim: Victim) -> dict[str, Any]:
    """Read all that must stay as it is; of leases, which sites trade all the time, the victim's."""
    pools = (victim.network, victim.subnet)
    found: dict[str, Any] = {}
    for tier, plurals in _WATCHED.items():
        for plural in plurals:
            (rows,) = clients[tier].call("GET", f"/v2.0/{plural}").values()
            rows = [row for row in rows if row.get("pool_id", pools[0]) in pools]
            kept = [{k: v for k, v in row.items() if k not in _FLEETING} for row in rows]
            found[f"{tier} {plural}"] = sorted(json.dumps(row, sort_keys=True) for row in kept)
    return found


def a_port(lab: OpenLab, own: dict[str, Any], nth: int, **more: Any) -> dict[str, Any]:
    """Say what site1 may say: a port with an address, a key and a hypervisor of its own."""
    host = lab.plan.sites[0].hypervisors[0]
    number = int(own["addresses"]["first"]) + nth
    address = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
    return {
        "id": str(uuid.uuid4()),
        "network_id": own["network"]["id"],
        "project_id": own["network"]["project_id"],
        "name": "made-up",
        "mac_address": f"fa:16:01:00:00:{nth:02x}",
        "fixed_ips": [{"subnet_id": own["subnet"]["id"], "ip_address": address}],
        "security_groups": [],
        "device_owner": "compute:nova",
        "binding:host_id": host.name,
        "binding:vif_type": "ovs",
        "status": "ACTIVE",
        "isthmus:base": None,
        "isthmus:location": {
            "chassis": host.name,
            "hostname": host.name,
            "encap_ip": str(host.address),
            "port_key": int(own["keys"]["first"]) + nth,
        },
        **more,
    }


def takeover(port: dict[str, Any]) -> dict[str, Any]:
    """Say of a port of somebody else's that only this site has changed it."""
    base = {k: v for k, v in port.items() if not k.startswith("binding")}
    return {
        **base,
        "name": "owned",
        "port_security_enabled": False,
        "security_groups": [],
        "isthmus:base": base,
        "isthmus:location": None,
    }


def calls(victim: Victim, own: dict[str, Any]) -> list[tuple[str, str, str, str, Any]]:
    """List the attempts that are plain calls: who, where, method, path, body."""
    forged = {"type": "security_group", "id": str(uuid.uuid4())}
    forged["state"] = {"id": forged["id"], "project_id": "p", "name": "x"}  # type: ignore[assignment]
    apply = {"site_apply": {"sequence": 2**60, "items": [forged]}}
    keys = [{"type": "port", "id": victim.port["id"]}, {"type": "network", "id": victim.network}]
    desired = {"site_desired_state": {"site": "site2", "keys": keys}}
    bundle = {"site_bundle": {"type": "network", "ids": [victim.network]}}
    new_port = {"port": {"network_id": victim.network, "name": "intruder"}}
    rename = {"port": {"name": "owned"}}
    site = {"site": {"name": "evil", "region": "evil", "availability_zones": ["z"]}}
    site["site"]["service_user"] = "evil"
    presence = {"site_presence": {"network_id": victim.network, "site": "site1"}}
    share = {"object_type": "network", "object_id": victim.network, "target_tenant": "*"}
    rbac = {"rbac_policy": {**share, "action": "access_as_shared"}}
    found: list[tuple[str, str, str, str, Any]] = []
    for who in USERS:
        for tier in ("central", "site2"):
            port = victim.port["id"]
            found += [
                (who, tier, "GET", f"ports/{port}", None),
                (who, tier, "PUT", f"ports/{port}", rename),
                (who, tier, "DELETE", f"ports/{port}", None),
                (who, tier, "POST", "ports", new_port),
                (who, tier, "GET", f"networks/{victim.network}", None),
                (who, tier, "DELETE", f"networks/{victim.network}", None),
                (who, tier, "GET", f"security-groups/{victim.group}", None),
                (who, tier, "POST", "rbac-policies", rbac),
                (who, tier, "GET", f"site-holdings/{tier}", None),
                (who, tier, "POST", "site-applies", apply),
                (who, tier, "POST", "site-desired-states", desired),
            ]
        found += [
            (who, "central", "POST", "sites", site),
            (who, "central", "DELETE", "sites/site2", None),
            (who, "central", "PUT", "sites/site2", {"site": {"state": "disabled"}}),
            (who, "central", "POST", "site-presences", presence),
            (who, "site2", "GET", f"site-shadows/{victim.port['id']}", None),
        ]
    for who in ("service", "carrier"):
        found += [
            (who, "central", "POST", "site-bundles", bundle),
            (who, "central", "POST", "site-lease-requests", lease_request(victim.subnet, count=4)),
            (who, "central", "POST", "site-reports", report(victim.port["id"], None)),
        ]
    # A body that says for whom it asks is not understood any more.
    asking = {"site_bundle": {**bundle["site_bundle"], "asking_admin": True}}
    many = {"site_bundle": {"type": "network", "ids": [str(uuid.uuid4()) for _ in range(65)]}}
    names = {"site_bundle": {"type": "network", "ids": ["not-an-id"]}}
    found += [
        ("site_user", "central", "POST", "site-bundles", one) for one in (asking, many, names)
    ]
    found += [
        ("site_user", "central", "POST", "site-lease-requests", one)
        for one in (
            lease_request(victim.subnet, count=4),
            lease_request(victim.subnet, address="10.66.0.9"),
            lease_request(own["subnet"]["id"], address="8.8.8.8"),
        )
    ]
    return found


def lease_request(pool: str, **request: Any) -> dict[str, Any]:
    return {"site_lease_request": {"kind": "subnet", "pool_id": pool, **request}}


def report(port_id: str, state: Any, *, kind: str = "port", sequence: int = 1) -> dict[str, Any]:
    item = {"type": kind, "id": port_id, "state": state}
    return {"site_report": {"sequence": sequence, "items": [item]}}


def reports(lab: OpenLab, victim: Victim, own: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """List what site1 says that is not so: type, id, state."""
    foreign = lab.plan.sites[1].hypervisors[0]

    def lie(nth: int, location: dict[str, Any] | None = None, **more: Any) -> tuple[str, str, Any]:
        state = a_port(lab, own, nth, **more)
        state["isthmus:location"] |= location or {}
        return "port", state["id"], state

    elsewhere = {"subnet_id": victim.subnet, "ip_address": "10.66.0.77"}
    outside = {"subnet_id": own["subnet"]["id"], "ip_address": "10.67.0.250"}
    return [
        ("port", victim.homeless["id"], takeover(victim.homeless)),
        ("port", victim.port["id"], takeover(victim.port)),
        lie(10, {"port_key": int(own["keys"]["last"]) + 1}),
        lie(11, {"port_key": 40000}),
        lie(12, {"chassis": foreign.name}),
        lie(13, {"encap_ip": str(foreign.address)}),
        lie(14, {"encap_ip": "not-an-ip; drop"}),
        lie(15, {"hostname": "h" * 300}),
        lie(16, network_id=victim.network),
        lie(17, project_id=victim.project),
        lie(18, security_groups=[victim.group]),
        lie(19, device_owner="network:router_gateway"),
        lie(20, mac_address="all of them"),
        lie(21, name="n" * 300),
        lie(22, fixed_ips=[elsewhere]),
        lie(23, fixed_ips=[outside]),
        ("network", victim.network, None),
        ("port", "not-an-id", None),
    ]


def claims(victim: Victim, own: dict[str, Any]) -> list[dict[str, str]]:
    """List the leases that site1 names though they are none of its own."""

    def lease(kind: str, pool: str, first: int, last: int) -> dict[str, str]:
        one = {"id": str(uuid.uuid4()), "kind": kind, "pool_id": pool}
        return {**one, "first": str(first), "last": str(last)}

    base = (10 << 24) + (66 << 16)
    held = {key: own["addresses"][key] for key in ("id", "kind", "pool_id", "first", "last")}
    stretched = {**held, "id": str(uuid.uuid4()), "last": str(int(held["last"]) + 200)}
    return [
        lease("subnet", victim.subnet, base + 2, base + 254),
        lease("subnet", victim.subnet, base + 100, base + 100),
        lease("subnet", victim.subnet, 0, 2**127),
        lease("subnet", own["subnet"]["id"], 0, 2**127),
        lease("port_key", victim.network, 1, 32767),
        lease("port_key", own["network"]["id"], 1, 32767),
        stretched,
    ]


class Attempts:
    """What was tried, and what came of it."""

    def __init__(self, attacker: Attacker) -> None:
        self._attacker = attacker
        self.made: list[tuple[str, str, Answer]] = []
        self.won: list[Any] = []

    def note(self, what: str, tier: str, answer: Answer, *, refused: bool) -> None:
        self.made.append((what, tier, answer))
        if not refused:
            self.won.append((what, answer.status, str(answer.body)[:300]))

    def call(self, who: str, tier: str, method: str, path: str, body: Any = None) -> None:
        answer = self._attacker.call(who, tier, method, path, body)
        self.note(f"{who} {tier} {method} {path}", tier, answer, refused=answer.status >= 400)

    def lists(self, who: str, tier: str, plural: str, hidden: set[str] | None) -> None:
        """List; to a stranger a list is empty, which no status says. None: all of it is hidden."""
        answer = self._attacker.call(who, tier, "GET", plural)
        shown = {row["id"] for row in (answer.body or {}).get(plural.replace("-", "_"), [])}
        seen = shown if hidden is None else shown & hidden
        self.note(f"{who} {tier} lists {plural}", tier, answer, refused=not seen)

    def bundle(self, who: str, kind: str, one: str) -> None:
        """Ask as the site on behalf of somebody; what he may not see is missing."""
        body = {"site_bundle": {"type": kind, "ids": [one]}}
        headers = {"X-Service-Token": self._attacker.tokens["site_user"][0]}
        path = "site-bundles"
        answer = self._attacker.call(who, "central", "POST", path, body, headers=headers)
        items = (answer.body or {}).get("site_bundle", {}).get("items", [])
        self.note(f"bundle of {kind} for {who}", "central", answer, refused=not items)

    def bundle_of_nobody(self, network: str) -> None:
        """Ask as the site on behalf of nobody, for what central has mapped to it."""
        body = {"site_bundle": {"type": "network", "ids": [network]}}
        answer = self._attacker.call("site_user", "central", "POST", "site-bundles", body)
        if (answer.body or {}).get("site_bundle", {}).get("items", []):
            self.won.append(("bundle of nobody", answer.status, str(answer.body)[:300]))

    def report(self, kind: str, one: str, state: Any) -> None:
        """Report; a refusal is the result of the item, not of the call."""
        body = report(one, state, kind=kind)
        answer = self._attacker.call("site_user", "central", "POST", "site-reports", body)
        refused = answer.status >= 400 or answer.code != ""
        self.note(f"report {kind} {json.dumps(state)[:300]}", "central", answer, refused=refused)

    def register(self, lease: dict[str, str], network: str) -> None:
        """Register as site1 does, with one lease more; what is not believed is void."""
        row_id, _, life = self._attacker.incarnation().partition("/")
        epoch, _, life = life.partition(".")
        body = {"registration": row_id, "epoch": int(epoch), "life": life}
        body["datapaths"] = {network: 16711999}
        body = {"site_registration": {**body, "leases": [lease]}}
        answer = self._attacker.call("site_user", "central", "POST", "site-registrations", body)
        said = (answer.body or {}).get("site_registration", {})
        refused = answer.status >= 400 or lease["id"] in said["void"]
        self.note(f"registration with {lease}", "central", answer, refused=refused)

    def nobody(self, tier: str, headers: dict[str, str]) -> None:
        answer = self._attacker.call("nobody", tier, "GET", "sites", headers=headers)
        self.note(f"nobody {tier} {headers}", tier, answer, refused=answer.status == 401)


def test_nothing_is_had_that_is_not_site1s(
    lab: OpenLab,
    clients: dict[str, NeutronClient],
    attacker: Attacker,
    victim: Victim,
    own: dict[str, Any],
) -> None:
    Person(lab.plan).agree()
    before = collect(clients, victim)
    attempts = Attempts(attacker)
    for one in calls(victim, own):
        attempts.call(*one)
    everybody = [(who, tier) for who in USERS for tier in ("central", "site2")]
    for who, tier in everybody:
        attempts.lists(who, tier, "ports", {victim.port["id"], victim.homeless["id"]})
        attempts.lists(who, tier, "networks", {victim.network})
        for plural in _OURS[tier]:
            attempts.lists(who, tier, plural, None)
    wanted = {"network": victim.network, "subnet": victim.subnet, "security_group": victim.group}
    for kind, one_id in {**wanted, "port": victim.homeless["id"]}.items():
        for who in USERS:
            attempts.bundle(who, kind, one_id)
    for lie in reports(lab, victim, own):
        attempts.report(*lie)
    for lease in claims(victim, own):
        attempts.register(lease, victim.network)
    # With what it has named, it still gets nothing as nobody.
    attempts.bundle_of_nobody(victim.network)
    huge = b'{"site_report": {"items": ["' + b"x" * 9_000_000 + b'"]}}'
    for tier in ("central", "site2"):
        attempts.nobody(tier, {})
        attempts.nobody(tier, {"X-Auth-Token": "garbage"})
        attempts.nobody(tier, {"X-Roles": "admin", "X-User-Id": "x", "X-Service-Roles": "service"})
        # The server hangs up before it has read it, so there may be no answer to look at.
        with contextlib.suppress(urllib.error.URLError):
            assert attacker.call("site_user", tier, "POST", "site-reports", huge).status == 413
    # Said to be gone is what is somebody else's: it is gone at site1, where it never was.
    attacker.call("site_user", "central", "POST", "site-reports", report(victim.port["id"], None))

    assert len(attempts.made) >= 120
    assert attempts.won == []
    after = collect(clients, victim)
    made_up = [row for row in after["central ports"] if "made-up" in row]
    assert not [row for row in made_up if victim.project in row or victim.group in row]
    assert {
        name: [row for row in rows if "made-up" not in row] for name, rows in after.items()
    } == (before)
    logs = {tier: attacker.log(tier) for tier in ("central", "site2")}
    unseen = [what for what, tier, made in attempts.made if not _is_logged(logs[tier], made)]
    assert unseen == []
    assert all(re.search("refused: .*/site-reports -> 413", log) for log in logs.values())


def _is_logged(log: str, answer: Answer) -> bool:
    """Tell whether a line says who and what, by the id of the request."""
    lines = [line for line in log.splitlines() if answer.request_id in line]
    told = [line for line in lines if "refused: " in line or "unexpected: " in line]
    return any(answer.user_id in line for line in told)
