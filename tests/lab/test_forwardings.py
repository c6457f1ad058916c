"""Ports of a floating IP lead to servers of both sites, and replies come back by the same site."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import openstack
import pytest
from tests.lab.person import Person
from tests.lab.test_exits import PACKET_S, SERVERS, Cloud, check_rows
from tests.lab.test_two_sites import address

from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.stress,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]
CIDRS = ("10.92.0.0/24", "fd00:92::/64")
PORT = 7000
#: Answers whoever calls, by TCP and UDP, with a name and the address that called.
ECHO = """
import selectors, socket, sys
name, port = sys.argv[1], int(sys.argv[2])
chosen = selectors.DefaultSelector()
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    one = socket.socket(socket.AF_INET, kind)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("", port))
    if kind == socket.SOCK_STREAM:
        one.listen()
    chosen.register(one, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in chosen.select():
        if key.fileobj.type == socket.SOCK_STREAM:
            call, peer = key.fileobj.accept()
            with call:
                call.sendall(f"{name} {peer[0]}".encode())
        else:
            _, peer = key.fileobj.recvfrom(100)
            key.fileobj.sendto(f"{name} {peer[0]}".encode(), peer)
"""
CALL = """
import socket, sys
protocol, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
with socket.socket(socket.AF_INET, kind) as one:
    one.settimeout(3)
    one.connect((host, port))
    if protocol == "udp":
        one.send(b"?")
    print(one.recv(100).decode())
"""


@contextlib.contextmanager
def answering(name: str, server: dict[str, Any]) -> Iterator[None]:
    """Let a server say its name to whoever calls."""
    words = ("ip", "netns", "exec", server["netns"], sys.executable, "-c", ECHO, name, str(PORT))
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout
    until(lambda: "ready" in output.readline(), what=f"{name} listens")
    try:
        yield
    finally:
        process.terminate()
        process.communicate(timeout=30)


def call_from_outside(cloud: Cloud, site: str, protocol: str, public: str, port: int) -> str:
    """Call from outside a site; gives who answers, "" for nobody."""
    words = ("lab", "external", "exec", site, "--", sys.executable, "-c", CALL)
    done = cloud.person.run(*words, protocol, public, str(port), check=False)
    return done.stdout.split()[0] if done.returncode == 0 and done.stdout.strip() else ""


def call_from_inside(cloud: Cloud, server: str, protocol: str, public: str, port: int) -> str:
    """Call from a server; gives who answers, "" for nobody."""
    netns = cloud.servers[server]["netns"]
    words = ["ip", "netns", "exec", netns, sys.executable, "-c", CALL, protocol, public, str(port)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.split()[0] if done.returncode == 0 and done.stdout.strip() else ""


@pytest.fixture
def cloud(lab: OpenLab, make_network: Callable[..., str]) -> Iterator[Cloud]:
    with contextlib.ExitStack() as undo:
        yield Cloud(Person(lab.plan), make_network(*CIDRS), undo)


def admit(cloud: Cloud) -> None:
    """Let everybody call the servers."""
    port = cloud.central.get_port(cloud.servers["exit-1"]["port_id"])
    for protocol in ("tcp", "udp"):
        with contextlib.suppress(openstack.exceptions.ConflictException):  # another test's
            cloud.central.create_security_group_rule(
                security_group_id=port.security_group_ids[0],
                direction="ingress",
                ethertype="IPv4",
                protocol=protocol,
                port_range_min=PORT,
                port_range_max=PORT,
            )


def test_ports_of_one_floating_ip_lead_to_servers_of_both_sites(cloud: Cloud) -> None:
    out = cloud.external("site1")
    cloud.gateways(out)
    cloud.undo.callback(cloud.gateways)
    admit(cloud)
    floating = cloud.made(cloud.central.create_ip(floating_network_id=out.id), "ip")
    public = str(floating.floating_ip_address)
    ports = {}
    for number, server in enumerate(SERVERS):
        for protocol in ("tcp", "udp"):
            made = cloud.central.create_port_forwarding(
                floatingip_id=floating.id,
                internal_port_id=cloud.servers[server]["port_id"],
                internal_ip_address=address(cloud.servers[server], 4),
                internal_port=PORT,
                external_port=8000 + number,
                protocol=protocol,
            )
            cloud.undo.callback(cloud.central.delete_port_forwarding, made, floating.id)
            ports[server, protocol] = 8000 + number
    with contextlib.ExitStack() as servers:
        for server in SERVERS:
            servers.enter_context(answering(server, cloud.servers[server]))
        see_all(cloud, public, ports)
        # With an exit of its own site2 leaves by that, but for the replies of these ports.
        other = cloud.external("site2")
        cloud.undo.callback(cloud.gateways)
        own = cloud.gateways(out, other)[other.id]
        until(
            lambda: cloud.called_as("exit-2", "site2") == own[4],
            what="exit-2 leaves by its own site",
            timeout_s=PACKET_S,
        )
        see_all(cloud, public, ports)
        assert cloud.called_as("exit-2", "site2") == own[4]
        check_rows(cloud, 2)
        for made in list(cloud.central.port_forwardings(floating)):
            cloud.central.delete_port_forwarding(made, floating.id)
        until(
            lambda: not call_from_outside(cloud, "site1", "tcp", public, 8000),
            what="nobody answers",
            timeout_s=PACKET_S,
        )
    cloud.gateways()
    cloud.person.agree()
    check_rows(cloud, 0)


def _is_answered_by(server: str, call: Callable[[], str]) -> bool:
    return call() == server


def see_all(cloud: Cloud, public: str, ports: dict[tuple[str, str], int]) -> None:
    """See that every port answers outside, and at both sites inside."""
    for (server, protocol), port in ports.items():
        calls = {"outside": partial(call_from_outside, cloud, "site1")}
        calls |= {one: partial(call_from_inside, cloud, one) for one in SERVERS if one != server}
        for place, call in calls.items():
            until(
                partial(_is_answered_by, server, partial(call, protocol, public, port)),
                what=f"{public} {protocol} {port} is {server}, called from {place}",
                timeout_s=PACKET_S,
            )
