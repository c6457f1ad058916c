"""QoS policies made at central: what they limit is measured with iperf3, at each site."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from tests.lab.person import Person
from tests.lab.test_two_sites import address

from isthmus.lab.opened import OpenLab
from isthmus.testing.needed import skip_without
from isthmus.testing.until import until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.stress,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

SITES = {"qa": "site1", "qb": "site2"}
#: What the policy lets through, and what is measured without it at least, in kbit/s.
LIMIT, FREE = 2000, 20_000
SECONDS = 8


@contextmanager
def listening(server: dict[str, Any]) -> Iterator[None]:
    """Let a server answer one iperf3 after the other."""
    words = ("ip", "netns", "exec", server["netns"], "iperf3", "--server", "--forceflush")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout
    until(lambda: "listening" in output.readline(), what="iperf3 listens")
    try:
        yield
    finally:
        process.terminate()
        process.communicate(timeout=30)


def measure(client: dict[str, Any], server: dict[str, Any], *more: str) -> float:
    """Send for some seconds by UDP, ten times the limit; give what arrives, in kbit/s."""
    words = ("ip", "netns", "exec", client["netns"], "iperf3", "--client", address(server, 4))
    done = subprocess.run(
        [*words, "--udp", "--bitrate", f"{FREE * 2}k", "--time", str(SECONDS), "--json", *more],
        capture_output=True,
        text=True,
        timeout=SECONDS + 60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    end = json.loads(done.stdout)["end"]
    arrived = end.get("sum_received") or end["sum"]
    lost = 0.0 if "sum_received" in end else float(arrived["lost_percent"])
    return float(arrived["bits_per_second"]) / 1000 * (1 - lost / 100)


def check_limited(kbps: float) -> None:
    """See that the limit holds, and that it is not far below."""
    assert 0.5 * LIMIT <= kbps <= 1.3 * LIMIT, kbps


def test_a_limit_of_centrals_holds_at_both_sites(
    lab: OpenLab, make_network: Callable[..., str], record_property: Callable[[str, object], None]
) -> None:
    skip_without([] if shutil.which("iperf3") else ["iperf3"])
    person = Person(lab.plan)
    central = person.network("central")
    network = make_network("10.91.0.0/24", "fd00:91::/64")
    policy = central.create_qos_policy(name="slow")
    made = central.create_qos_bandwidth_limit_rule(
        policy, max_kbps=LIMIT, max_burst_kbps=LIMIT // 10, direction="egress"
    )
    servers = {name: person.server(name, site, network) for name, site in SITES.items()}
    for here, there in (("qa", "qb"), ("qb", "qa")):
        until(partial(person.ping, here, address(servers[there], 4)), timeout_s=120)
    found: dict[str, float] = {}
    with listening(servers["qa"]), listening(servers["qb"]):
        both = (("qa", "qb"), ("qb", "qa"))
        for here, there in both:
            found[f"free {here}"] = measure(servers[here], servers[there])
        central.update_network(network, qos_policy_id=policy.id)
        person.agree()
        for here, there in both:
            found[f"network {here}"] = measure(servers[here], servers[there])
        central.update_qos_bandwidth_limit_rule(made, policy, max_kbps=LIMIT * 4)
        person.agree()
        for here, there in both:
            found[f"more {here}"] = measure(servers[here], servers[there])
        central.delete_qos_bandwidth_limit_rule(made, policy)
        central.create_qos_bandwidth_limit_rule(
            policy, max_kbps=LIMIT, max_burst_kbps=LIMIT // 10, direction="ingress"
        )
        central.update_network(network, qos_policy_id=None)
        central.update_port(servers["qb"]["port_id"], qos_policy_id=policy.id)
        person.agree()
        found["in qb"] = measure(servers["qa"], servers["qb"])
        found["out qb"] = measure(servers["qb"], servers["qa"])
    print(json.dumps({name: round(kbps) for name, kbps in found.items()}))  # noqa: T201
    record_property("kbps", found)
    for name, kbps in found.items():
        if name.startswith(("network", "in ")):
            check_limited(kbps)
        elif name.startswith("more"):
            assert 2 * LIMIT <= kbps <= 1.3 * 4 * LIMIT, found
        else:
            assert kbps > 4 * LIMIT, found
    for name in SITES:
        person.run("lab", "server", "delete", name)
    central.delete_network(network)
    central.delete_qos_policy(policy)
    person.agree()
    for site in SITES.values():
        assert policy.id not in {one.id for one in person.network(site).qos_policies()}
