"""The lab of the fault matrix, and who does the steps of its states there."""

import contextlib
import json
import shlex
import sqlite3
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.lab.fault import print_step
from tests.lab.fault_disk import Disks
from tests.lab.person import Person

from isthmus.dataplane.kind.responder import RaMode, ResponderKey, name_port
from isthmus.lab.opened import OpenLab
from isthmus.services.render import PHYSICAL_NETWORK
from isthmus.testing.until import until

#: A stranger's switch port.
STRANGER = "99999999-9999-4999-8999-999999999999"


class World:
    """A lab of its own: a network that both sites have, and a server at each."""

    def __init__(self, lab: OpenLab, disks: Disks) -> None:
        self.lab = lab
        self.disks = disks
        self.person = Person(lab.plan)
        self._locks: dict[str, sqlite3.Connection] = {}
        central = self.person.network("central")
        network = central.create_network(name="matrix")
        subnet = central.create_subnet(network_id=network.id, ip_version=4, cidr="10.91.0.0/24")
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        central.create_subnet(network_id=network.id, ip_version=6, cidr="fd00:91::/64", **modes)
        spare = central.create_subnet(
            network_id=network.id, ip_version=4, cidr="10.93.0.0/24", enable_dhcp=False
        )
        physical = {"provider_network_type": "flat", "provider_physical_network": PHYSICAL_NETWORK}
        fabric = central.create_network(
            name="fabric", availability_zone_hints=["site1"], **physical
        )
        four, outside = self._find_outside()
        central.create_subnet(
            network_id=fabric.id, ip_version=4, cidr=four, gateway_ip=outside, enable_dhcp=False
        )
        a = self._make_server("a", "site1", network.id)
        b = self._make_server("b", "site2", network.id)
        self._make_server("c", "site1", fabric.id)
        (group,) = central.get_port(a["port_id"]).security_group_ids
        rules = central.security_group_rules(security_group_id=group, direction="ingress")
        # Of the default group: without a rule of egress the servers would be cut off.
        self.ids = {
            "network": network.id,
            "subnet": subnet.id,
            "spare": spare.id,
            "a": a["port_id"],
            "b": b["port_id"],
            "rule": next(iter(rules)).id,
            "stranger": STRANGER,
            "conf": str(lab.plan.folder / "tier" / "site1" / "neutron.conf"),
            "central": str(next(one for one in lab.plan.tiers if one.name == "central").address),
            "outside": outside,
            "responder": name_port(ResponderKey(network.id, RaMode.SLAAC)),
            "port_group": f"pg_{group.replace('-', '_')}",
        }
        until(self._is_maintained, what="each maintenance worker has started", timeout_s=600)
        self.agree()

    def _is_maintained(self) -> bool:
        for site in ("site1", "site2"):
            answer = self.person.network(site).get("/site-holdings")
            if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:  # it has yet to reach its OVN
                return False
            if "maintenance" not in _get_held(answer)["pulse"]:
                return False
        return True

    def _read_held(self, site: str) -> dict[str, Any]:
        return _get_held(self.person.network(site).get("/site-holdings"))

    def _find_outside(self) -> tuple[str, str]:
        """Find what is on site1's physical network: the IPv4 subnet, and the router in it."""
        rows = self.person.json("lab", "external", "list")
        (flat,) = (one for one in rows if (one["site"], one["type"]) == ("site1", "flat"))
        pairs = zip(flat["subnets"], flat["gateways"], strict=True)
        return next(pair for pair in pairs if _is_of_four(pair[0]))

    def pings(self, packets: str) -> bool:
        """Tell whether a server gets an answer: its name, and the address that it calls."""
        server, address = self.fill(packets).split()
        return self.person.ping(server, address)

    def _make_server(self, name: str, site: str, network_id: str) -> dict[str, Any]:
        """Make a server; a tier that has just started on a busy machine may answer 503 at first."""

        def attempt() -> dict[str, Any] | None:
            try:
                return self.person.server(name, site, network_id)
            except AssertionError as error:
                if "503" not in str(error):
                    raise
                return None

        return until(attempt, what=f"a server at {site}", timeout_s=600, every_s=5)

    def look_up(self) -> None:
        """Read what is there now: a lease that is given back has a successor with its next use."""
        a, b, network = (self.ids[name] for name in ("a", "b", "network"))
        held = self._read_held("site1")
        if self._find_lease(held) is None:
            site = self.person.network("site1")
            where = [{"subnet_id": self.ids["subnet"]}]
            made = site.create_port(network_id=network, name="uses-it", fixed_ips=where)
            site.delete_port(made.id)
            self.agree()
            held = self._read_held("site1")
        shadow = next(one for one in held["shadows"] if one["port_id"] == b)
        lease = self._find_lease(held)
        assert lease is not None, held["leases"]
        keys = {one["port_id"]: one["key"] for one in held["ovn"]["port_keys"]}
        datapaths = {one["network_id"]: one["datapath_key"] for one in held["datapaths"]}
        ports = {one["id"]: one for one in held["ports"]}
        self.ids |= {
            "b_encap": shadow["encap_ip"],
            "b_key": str(shadow["port_key"]),
            "b_address": next(filter(_is_of_four, shadow["addresses"])),
            "a_key": str(keys[a]),
            "a_address": next(
                filter(_is_of_four, (one["ip_address"] for one in ports[a]["fixed_ips"]))
            ),
            "network_key": str(datapaths[network]),
            "lease": lease["id"],
        }

    def _find_lease(self, held: dict[str, Any]) -> dict[str, Any] | None:
        """Find a lease of addresses of the subnet."""
        wanted = ("subnet", self.ids["subnet"])
        return next(
            (one for one in held["leases"] if (one["kind"], one["pool_id"]) == wanted), None
        )

    #: What OVN gives anew each time a row is written.
    _ROWS = {  # noqa: RUF012  (nobody writes it)
        "b_row": "nb site1 get Logical_Switch_Port {b} _uuid",
        "fabric": "nb site1 --bare --columns=name find Logical_Switch_Port type=localnet",
        "encap": "sb site1 --bare --columns=_uuid find Encap chassis_name=site2-h1",
    }

    def fill(self, step: str) -> str:
        """Put the ids of this lab into a step."""
        rows = {
            name: self.run(self.fill(how)).strip()
            for name, how in self._ROWS.items()
            if f"{{{name}}}" in step
        }
        for name, value in {**self.ids, **rows}.items():
            step = step.replace(f"{{{name}}}", value)
        return step

    def run(self, step: str) -> str:
        """Do a step; gives what was printed."""
        step = self.fill(step)
        verb, _, place = step.partition(" ")
        own = {
            "lock": self._lock,
            "unlock": self._unlock,
            "fill": self._fill,
            "empty": self.disks.empty,
            "fail": self.disks.fail,
            "mend": self.disks.mend,
        }
        if verb in own:
            own[verb](place)
            return ""
        if step.startswith("sql "):
            _, tier, text = step.split(" ", 2)
            self._write(tier, text)
            return ""
        words = shlex.split(print_step(step))
        return str(self.person.run(*words[1:]).stdout)

    def _find_database(self, tier: str) -> Path:
        plan = self.lab.plan
        return plan.tier_dir(next(one for one in plan.tiers if one.name == tier)) / "neutron.db"

    def _fill(self, tier: str) -> None:
        """Fill a disk on which SQLite's log has no room of its own left."""
        until(lambda: self._cut_log(tier), what=f"the log of {tier} is cut", timeout_s=60)
        self.disks.fill(tier)

    def _cut_log(self, tier: str) -> bool:
        with contextlib.closing(sqlite3.connect(self._find_database(tier))) as connection:
            ((busy, *_),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return not busy

    def _lock(self, tier: str) -> None:
        self._locks[tier] = sqlite3.connect(self._find_database(tier), isolation_level=None)
        until(lambda: self._locked(tier), what=f"a lock at {tier}", timeout_s=60)

    def _unlock(self, tier: str) -> None:
        self._locks.pop(tier).close()

    def _locked(self, tier: str) -> bool:
        try:
            self._locks[tier].execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True

    def _write(self, tier: str, text: str) -> None:
        with (
            contextlib.closing(
                sqlite3.connect(self._find_database(tier), timeout=60)
            ) as connection,
            connection,
        ):
            assert connection.execute(text).rowcount > 0, f"nothing is changed: {text}"

    def audit(self) -> list[dict[str, Any]]:
        """Give the findings."""
        done = self.person.run("audit", "-o", "json", check=False)
        assert done.returncode in (0, 1), done.stderr
        return list(json.loads(done.stdout))

    def status(self) -> str:
        """Give all that status says."""
        done = self.person.run("status", "-o", "json", check=False)
        assert done.returncode in (0, 1), done.stderr
        return str(done.stdout + done.stderr)

    def agree(self, within_s: int = 600) -> None:
        """Wait until neither command finds anything."""
        self.person.agree(within_s)
        until(
            lambda: self.person.run("status", check=False).returncode == 0,
            what="a status without trouble",
            timeout_s=within_s,
        )


def _get_held(answer: Any) -> dict[str, Any]:
    assert answer.status_code == HTTPStatus.OK, answer.text
    (held,) = answer.json()["site_holdings"]
    return dict(held)


def _is_of_four(address: str) -> bool:
    return ":" not in address
