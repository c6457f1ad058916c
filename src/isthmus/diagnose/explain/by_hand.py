"""How one builds a bare copy by hand: OVN rows, a veth, an interface, and no Neutron. Pure."""

from collections.abc import Callable, Iterator, Sequence

from isthmus.diagnose.explain.stage import Command, Where, at_site, on_host

Step = tuple[str, tuple[Command, ...]]

_SWITCHES = {False: ("bare", "bare"), True: ("bare-a", "bare-b")}
_ADDRESSES = {False: ("192.0.2.1", "192.0.2.2"), True: ("192.0.2.1", "198.51.100.1")}
_GATEWAYS = ("192.0.2.254", "198.51.100.254")


def build_by_hand(site: str, hosts: Sequence[str], *, routed: bool) -> Iterator[Step]:
    """Yield the steps that build a bare copy at a site, try it, and take it away.

    Args:
        site: whose OVN it is built in.
        hosts: its hypervisors; two ends are put on the first and the last.
        routed: whether two switches are joined by a router, instead of one switch.
    """
    places = (hosts[0], hosts[-1])
    switches, addresses = _SWITCHES[routed], _ADDRESSES[routed]

    def nb(text: str) -> Command:
        return at_site(site, f"ovn-nbctl {text}")

    made = tuple(dict.fromkeys(switches))
    yield (
        "A logical switch is a network: one row northbound, and ovn-northd makes a datapath of it.",
        tuple(nb(f"ls-add {one}") for one in made),
    )
    yield (
        "A port of it has a MAC address and an address; nobody has plugged it in yet.",
        tuple(
            nb(words)
            for at, (switch, address) in enumerate(zip(switches, addresses, strict=True), start=1)
            for words in (
                f"lsp-add {switch} bare{at}",
                f"lsp-set-addresses bare{at} '{_mac(at)} {address}'",
            )
        ),
    )
    if routed:
        yield "A router has a port with an address on each switch.", tuple(_join(nb, made))
    for at, host in enumerate(places, start=1):
        yield (
            f"A server on {host} is a namespace with one end of a veth; ovn-controller claims the "
            "port when an interface names it.",
            tuple(_plug(at, host, addresses[at - 1], _GATEWAYS[at - 1] if routed else "")),
        )
    yield (
        "The tunnel between the two hypervisors is there already: packets pass."
        if places[0] != places[1]
        else "Packets pass.",
        (
            at_site(site, "ovn-nbctl --wait=hv sync"),
            Command(f"ip netns exec bare1 ping -c 3 {addresses[1]}", Where.NETNS, places[0]),
        ),
    )
    away = [on_host(host, f"ovs-vsctl del-port br-int bare{at}-tap")
            for at, host in enumerate(places, start=1)]  # fmt: skip
    spaces = [Command(f"ip netns delete bare{at}", Where.NETNS, host)
              for at, host in enumerate(places, start=1)]  # fmt: skip
    router = [nb("lr-del bare-router")] if routed else []
    yield "And away with it.", (*away, *spaces, *router, *(nb(f"ls-del {one}") for one in made))


def _join(nb: Callable[[str], Command], switches: Sequence[str]) -> Iterator[Command]:
    yield nb("lr-add bare-router")
    for at, (switch, gateway) in enumerate(zip(switches, _GATEWAYS, strict=True), start=1):
        yield nb(f"lrp-add bare-router to-{switch} {_mac(at + 16)} {gateway}/24")
        yield nb(f"lsp-add {switch} {switch}-router")
        yield nb(f"lsp-set-type {switch}-router router")
        yield nb(f"lsp-set-addresses {switch}-router router")
        yield nb(f"lsp-set-options {switch}-router router-port=to-{switch}")


def _plug(at: int, host: str, address: str, gateway: str) -> Iterator[Command]:
    def netns(text: str) -> Command:
        return Command(text, Where.NETNS, host)

    yield netns(f"ip netns add bare{at}")
    yield on_host(host, f"ip link add bare{at}-tap type veth peer name bare{at}-eth")
    yield on_host(host, f"ip link set bare{at}-eth netns bare{at}")
    yield on_host(host, f"ip link set bare{at}-tap up")
    yield netns(f"ip -n bare{at} link set bare{at}-eth address {_mac(at)} mtu 1400 up")
    yield netns(f"ip -n bare{at} address add {address}/24 dev bare{at}-eth")
    if gateway:
        yield netns(f"ip -n bare{at} route add default via {gateway}")
    yield on_host(
        host,
        f"ovs-vsctl add-port br-int bare{at}-tap -- set Interface bare{at}-tap "
        f"external_ids:iface-id=bare{at}",
    )


def _mac(at: int) -> str:
    return f"0a:00:00:00:00:{at:02x}"
