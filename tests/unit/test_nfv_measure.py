"""Two readings make rates; what is no reading is told."""

import json

import pytest

from isthmus import errors
from isthmus.nfv.measure import (
    Measurement,
    compare,
    has_caught_up,
    parse_generated,
    parse_reading,
    render_generator,
    render_reading,
)


def reading(
    at_s: float, rx: int, tx: int, lost: int, packets: int, busy: int, idle: int, *, late: int = 0
) -> str:
    live = f"""\
netdev@ovs-netdev:
  lookups: hit:1 missed:6 lost:0
  flows: 0
  port 3: dpdk0 (dpdk: configured_rx_queues=2, mtu=1500)
    RX packets:{rx} errors:0 dropped:0 overruns:? frame:?
    TX packets:{tx} errors:0 dropped:{lost} aborted:? carrier:?
    collisions:?
    RX bytes:5 (1.0 KiB)  TX bytes:?
"""
    interfaces = {
        "headings": ["name", "type", "statistics"],
        "data": [
            [
                "dpdk0",
                "dpdk",
                ["map", [["rx_packets", rx - late], ["rx_missed_errors", lost]]],
            ]
        ],
    }
    stats = f"""\
main thread:
  packets received: 999999
pmd thread numa_id 1 core_id 8:
  packets received: {packets}
  packet recirculations: 0
  idle cycles: {idle} (90.00%)
  processing cycles: {busy} (10.00%)
"""
    return f"{at_s}\n{live}# next\n{stats}# next\n{json.dumps(interfaces)}\n# next\n"


def test_rates_are_differences_over_time() -> None:
    before = parse_reading(reading(100.0, 1000, 500, 0, 1000, 10_000, 90_000))
    after = parse_reading(reading(102.0, 5000, 2500, 10, 5000, 410_000, 490_000))
    got = compare(before, after)
    assert isinstance(got, Measurement)
    (port,) = got.ports
    assert (port.rx_pps, port.tx_pps, port.dropped_pps) == (2000, 1000, 10)
    (pmd,) = got.pmds
    assert (pmd.cpu, pmd.numa, pmd.packets_pps, pmd.cycles_per_packet) == (8, 1, 2000, 100)
    assert pmd.busy_pct == 50


def test_the_database_lags_behind_the_datapath() -> None:
    now = parse_reading(reading(100.0, 1000, 0, 0, 0, 0, 0, late=400))
    assert now.ports["dpdk0"]["rx_packets"] == 1000
    assert not has_caught_up(now, now)
    assert has_caught_up(now, parse_reading(reading(105.0, 1400, 0, 0, 0, 0, 0, late=400)))


def test_nothing_passed() -> None:
    one = reading(1.0, 0, 0, 0, 0, 0, 0)
    got = compare(parse_reading(one), parse_reading(one.replace("1.0", "3.0", 1)))
    assert got.pmds[0].cycles_per_packet is None
    assert got.pmds[0].busy_pct is None


def test_a_reboot_in_between() -> None:
    late = parse_reading(reading(9.0, 1, 1, 1, 1, 1, 1))
    early = parse_reading(reading(2.0, 0, 0, 0, 0, 0, 0))
    with pytest.raises(errors.Inconsistent, match="booted"):
        compare(late, early)


@pytest.mark.parametrize("text", ["", "x\ny\n# next\nz", "12.5\n"])
def test_no_reading(text: str) -> None:
    with pytest.raises(errors.ProtocolError, match="no reading"):
        parse_reading(text)


def test_what_the_generator_saw() -> None:
    report = {
        "end": {
            "sum_sent": {"packets": 2000},
            "sum": {"packets": 2000, "seconds": 2.0, "lost_percent": 25.0},
        }
    }
    pings = "".join(f"64 bytes: icmp_seq={n} ttl=64 time=0.{n:02} ms\n" for n in range(1, 100))
    got = parse_generated(json.dumps(report) + "\n# ping\n" + pings)
    assert (got.sent_pps, got.received_pps, got.lost_pct) == (1000, 750, 25)
    assert (got.latency_p50_us, got.latency_p99_us) == (500, 990)
    silent = parse_generated(json.dumps(report) + "\n# ping\n")
    assert silent.latency_p50_us is None


def test_a_generator_that_failed() -> None:
    with pytest.raises(errors.ProtocolError, match="unable to connect"):
        parse_generated('{"error": "unable to connect to server"}')
    with pytest.raises(errors.ProtocolError, match="gave no result"):
        parse_generated("what")


def test_the_scripts_quote_what_they_are_given() -> None:
    assert "'a;b'" in render_generator("a;b", seconds=1, port=5201)
    assert "pmd-stats-show" in render_reading()
