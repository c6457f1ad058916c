"""Lessons without Neutron: namespaces, a cable, a switch, and VXLAN between two hypervisors."""

from isthmus.lab.workshop.lesson import Lesson, Step, Words

_PREFIX = "192.0.2"  #: for documentation alone (RFC 5737), so that nothing answers by chance


def join_two() -> Lesson:
    """Return the lesson on namespaces and a veth."""
    return Lesson(
        number=1,
        title="Two namespaces and a cable",
        aim="A namespace is a network stack of its own: devices, addresses, routes. A server of "
        "this lab is one; the DHCP and metadata agents of Neutron live in such ones too.",
        steps=(
            Step(why="Make two.", commands=("ip netns add ws1", "ip netns add ws2")),
            Step(
                why="A veth is a cable with two ends: put one into each.",
                commands=("ip link add eth0 netns ws1 type veth peer name eth0 netns ws2",),
            ),
            Step(
                why="A device has no address and is down until somebody says otherwise.",
                commands=(*_address("ws1", "eth0", 1), *_address("ws2", "eth0", 2)),
            ),
            Step(
                why="Ask the other end.",
                commands=(f"ip netns exec ws1 ping -c 1 -W 5 {_PREFIX}.2",),
                shows="1 received",
            ),
            Step(
                why="The answer to an ARP request stands in the table of neighbours, with the MAC "
                "address.",
                commands=("ip -n ws1 neighbour show",),
                shows=f"{_PREFIX}.2",
            ),
        ),
        away=("ip netns delete ws1", "ip netns delete ws2"),
    )  # fmt: skip


def switch_three() -> Lesson:
    """Return the lesson on a bridge."""
    ends = tuple(
        command
        for at in (1, 2, 3)
        for command in (
            f"ip netns add ws{at}",
            f"ip link add eth0 netns ws{at} type veth peer name p{at} netns ws-switch",
            f"ip -n ws-switch link set p{at} master br0 up",
            *_address(f"ws{at}", "eth0", at),
        )
    )
    return Lesson(
        number=2,
        title="A switch for three",
        aim="More than two need a switch: a bridge forwards by MAC address, and learns where each "
        "is. Neutron's Linux bridge agent made such ones; br-int is one with flows.",
        steps=(
            Step(
                why="A namespace for the switch, and the bridge in it.",
                commands=(
                    "ip netns add ws-switch",
                    "ip -n ws-switch link add br0 type bridge",
                    "ip -n ws-switch link set br0 up",
                ),
            ),
            Step(why="Three namespaces, each with a cable to a port of it.", commands=ends),
            Step(
                why="Every one reaches every other.",
                commands=(f"ip netns exec ws1 ping -c 1 -W 5 {_PREFIX}.3",),
                shows="1 received",
            ),
            Step(
                why="What the switch has learned: a MAC address, and the port behind which it is.",
                commands=("ip netns exec ws-switch bridge fdb show br br0",),
                shows="dev p3",
            ),
        ),
        away=tuple(f"ip netns delete {one}" for one in ("ws1", "ws2", "ws3", "ws-switch")),
    )


def cross_the_wire(words: Words) -> Lesson:
    """Return the lesson on VXLAN between two hypervisors."""
    ends = tuple(
        Step(
            why=f"On {words.hosts[at]}: a namespace, a bridge, and a cable between them.",
            commands=(
                f"ip netns add ws{at + 1}",
                words.on(at, "ip link add ws-tap type veth peer name ws-eth"),
                words.on(at, f"ip link set ws-eth netns ws{at + 1}"),
                words.on(at, "ip link add ws-br type bridge"),
                words.on(at, "ip link set ws-br up"),
                words.on(at, "ip link set ws-tap master ws-br up"),
                *_address(f"ws{at + 1}", "ws-eth", at + 1),
                # VXLAN takes 50 bytes of each packet on the wire (RFC 7348).
                f"ip -n ws{at + 1} link set ws-eth mtu 1400",
            ),
        )
        for at in (0, 1)
    )
    tunnels = tuple(
        command
        for at in (0, 1)
        for command in (
            words.on(
                at,
                f"ip link add ws-vx type vxlan id 42 remote {words.addresses[1 - at]} dstport 4789",
            ),
            words.on(at, "ip link set ws-vx master ws-br up"),
        )
    )
    return Lesson(
        number=3,
        title="Over the wire: VXLAN between two hypervisors",
        aim="Two bridges on two machines become one switch if each has a port that packs frames "
        "into UDP packets to the other machine. The number in them keeps networks apart: 42 "
        "here. OVN does so with Geneve, and puts the keys of network and port into each packet.",
        steps=(
            *ends,
            Step(
                why="The addresses by which the two machines reach each other are their own.",
                commands=(words.on(0, f"ping -c 1 -W 5 {words.addresses[1]}"),),
                shows="1 received",
            ),
            Step(why="A tunnel on each, to the other, as one more port of the bridge.",
                 commands=tunnels),
            Step(
                why="One switch over two machines.",
                commands=(f"ip netns exec ws1 ping -c 3 -W 5 {_PREFIX}.2",),
                shows="0% packet loss",
            ),
            Step(
                why="The number of the network, and where it is sent to.",
                commands=(words.on(0, "ip -d link show ws-vx"),),
                shows="vxlan id 42",
            ),
        ),
        away=tuple(
            command
            for at in (0, 1)
            for command in (
                words.on(at, "ip link delete ws-vx"),
                words.on(at, "ip link delete ws-br"),
                words.on(at, "ip link delete ws-tap"),
                f"ip netns delete ws{at + 1}",
            )
        ),
    )  # fmt: skip


def _address(netns: str, device: str, at: int) -> tuple[str, ...]:
    return (
        f"ip -n {netns} address add {_PREFIX}.{at}/24 dev {device}",
        f"ip -n {netns} link set {device} up",
    )
