"""Races between what a tenant does at central and what sites ask of it, over the API.

Each try lets two calls run at once, one of them a random moment later, and asks afterwards whether
the site can still learn of what happened. What is counted is what it never would.
"""

import random
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import sqlalchemy as sa
from tests.neutron.central_server import CentralServer, by_type
from tests.neutron.server import tenant

from isthmus.store.sql.tables import LEASES, SITE_MAPPINGS

_SITES = ("site1", "site2")


class Net:
    """A network that is present at both sites, of a project without quotas."""

    def __init__(self, central: CentralServer) -> None:
        self.central = central
        self.project = uuid.uuid4().hex
        self.user = tenant(self.project)
        self.network = central.create("network", self.user, name="n")
        central.create(
            "subnet",
            self.user,
            network_id=self.network["id"],
            cidr="10.0.0.0/16",
            ip_version=4,
        )
        quota = {"security_group": -1, "security_group_rule": -1, "port": -1}
        central.call("PUT", f"/v2.0/quotas/{self.project}", {"quota": quota}).only()
        for site in _SITES:
            self.ask(site, "network", self.network["id"])

    def ask(self, site: str, kind: str, one: str) -> Any:
        return self.central.bundle(site, kind, one, project=self.project)

    def port(self) -> dict[str, Any]:
        return self.central.create("port", self.user, network_id=self.network["id"])

    def homes(self, port_id: str) -> list[str]:
        path = f"/v2.0/site-mappings?type=port&resource_id={port_id}"
        return [row["site"] for row in self.central.call("GET", path).only()]


def at_once(rng: random.Random, spread_s: float, *calls: Callable[[], Any]) -> list[Any]:
    """Run calls at once, each after a random moment; gives what each returned."""

    def run(call: Callable[[], Any], after_s: float) -> Any:
        threading.Event().wait(after_s)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        started = [threads.submit(run, call, rng.uniform(0, spread_s)) for call in calls]
        return [one.result() for one in started]


def lose_rules(central: CentralServer, tries: int) -> list[str]:
    """Add a rule to a group while a site fetches it; give the rules that it never learns of."""
    net, rng, lost = Net(central), random.Random(1), []
    for number in range(tries):
        if number % 25 == 0:
            central.clear_journal()
        group = central.create("security_group", net.user, name="g")["id"]
        rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
        made, bundle = at_once(
            rng,
            0.04,
            partial(central.create, "security_group_rule", net.user, **rule),
            partial(net.ask, "site1", "security_group", group),
        )
        states = [one for one in by_type(bundle["items"], "security_group") if one["id"] == group]
        assert states, "the site gets the group in any case"
        there = any(made["id"] == one["id"] for one in states[0]["security_group_rules"])
        if not there and ("security_group", group) not in central.jobs("site1", "security_group"):
            lost.append(made["id"])
    return lost


def lose_removals(central: CentralServer, tries: int) -> list[str]:
    """Delete a port while a site fetches it; give those that the site would keep, or central."""
    net, rng, lost = Net(central), random.Random(2), []
    for number in range(tries):
        if number % 25 == 0:
            central.clear_journal()
        port = net.port()["id"]
        deleted, bundle = at_once(
            rng,
            0.08,
            partial(central.call, "DELETE", f"/v2.0/ports/{port}"),
            partial(net.ask, "site1", "port", port),
        )
        assert deleted.status == 204
        given = bool(by_type(bundle["items"], "port"))
        told = ("port", port) in central.jobs("site1", "port")
        if (given and not told) or (net.homes(port) and not told):
            lost.append(port)
    return lost


def share_homes(central: CentralServer, tries: int) -> list[str]:
    """Have two sites ask for one port at once; give the ports that do not have just one home."""
    net, rng, shared = Net(central), random.Random(3), []
    for number in range(tries):
        if number % 25 == 0:
            central.clear_journal()
        port = net.port()["id"]
        answers = at_once(rng, 0.01, *(partial(net.ask, site, "port", port) for site in _SITES))
        given = [
            site
            for site, answer in zip(_SITES, answers, strict=True)
            if by_type(answer["items"], "port")
        ]
        refused = [one["code"] for answer in answers for one in answer["refused"]]
        if len(given) != 1 or net.homes(port) != given or refused != ["isthmus.transient.stale"]:
            shared.append(port)
    return shared


def outlive_sites(central: CentralServer, tries: int) -> list[tuple[str, dict[str, int]]]:
    """Remove a site while it asks for a network; give the sites that left something behind."""
    rng, left = random.Random(4), []
    for number in range(tries):
        name, project = f"short-lived-{number}", uuid.uuid4().hex
        central.create(
            "site",
            name=name,
            region=f"Region-of-{name}",
            availability_zones=[f"zone-of-{name}"],
            service_user=f"isthmus-{name}",
        )
        network = central.create("network", tenant(project), name="n")["id"]
        values = {"network_id": network, "cidr": "10.0.0.0/16", "ip_version": 4}
        central.create("subnet", tenant(project), **values)
        disabled = {"site": {"state": "disabled"}}

        def remove(path: str = f"/v2.0/sites/{name}", body: Any = disabled) -> None:
            central.call("PUT", path, body).only()
            assert central.call("DELETE", path).status == 204

        ask = partial(central.try_bundle, name, "network", network, project=project)
        asked, _ = at_once(rng, 0.3, ask, remove)
        assert asked.status in (201, 404, 503), asked
        with central.database() as connection:
            rows = {
                table.name: int(
                    connection.scalar(
                        sa.select(sa.func.count()).select_from(table).where(table.c.site == name)
                    )
                    or 0
                )
                for table in (LEASES, SITE_MAPPINGS)
            }
        if any(rows.values()):
            left.append((name, rows))
    return left
