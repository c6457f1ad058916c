import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx  # noqa: PT013

from isthmus.lab.network.relay import Queue, parse_delays

ONE, TWO, FAR = "172.30.1.11", "172.30.2.11", "172.30.9.9"


def packet(source: str, target: str, payload: bytes = b"") -> bytes:
    ends = ipaddress.IPv4Address(source).packed + ipaddress.IPv4Address(target).packed
    return b"E" + b"\0" * 11 + ends + payload


def make_queue() -> Queue:
    return Queue(parse_delays(["172.30.1.0/24=50", "172.30.2.0/24=25"]))


def test_a_packet_waits_for_both_links() -> None:
    queue = make_queue()
    assert queue.delay(packet(ONE, TWO)) == queue.delay(packet(TWO, ONE)) == approx(0.075)
    assert queue.delay(packet(ONE, FAR)) == queue.delay(packet(FAR, ONE)) == 0.05
    assert queue.delay(packet(FAR, FAR)) == 0


def test_nothing_leaves_early_and_all_leaves() -> None:
    queue = make_queue()
    assert queue.wait_s(0) is None
    queue.put(packet(ONE, TWO), now=10.0)
    assert queue.due(10.07) is None
    assert queue.wait_s(10.0) == approx(0.075)
    assert queue.due(10.08) == packet(ONE, TWO)
    assert queue.due(11.0) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_packets_of_a_pair_stay_in_order(gaps: list[float]) -> None:
    queue, now = make_queue(), 0.0
    for number, gap in enumerate(gaps):
        now += gap
        queue.put(packet(ONE, TWO, number.to_bytes(2)), now)
    found = []
    while (one := queue.due(now + 1)) is not None:
        found.append(int.from_bytes(one[20:]))
    assert found == list(range(len(gaps)))
