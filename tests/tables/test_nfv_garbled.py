"""Facts that were cut, edited or written by an odd kernel: said to be so, never taken for good."""

import base64
import contextlib
import random
from pathlib import Path

import pytest

from isthmus import errors
from isthmus.facts.source import document
from isthmus.model.verdict import Answer
from isthmus.nfv.check.live import check_facts
from isthmus.testing.nfv.nfv_state import complete

CASES = Path(__file__).with_name("nfv") / "cases"
CLEAN = complete((CASES / "c00-clean.facts").read_text())
WITH_GUEST = complete((CASES / "c01-emulator-on-pmd.facts").read_text())
JUNK = (
    *("", "-1", "abc", "9" * 5000, "0-", "1,2,x", "(null)", "0x", "[]", "{}", "<domstatus>"),
    '{"headings": ["name", "type", "options", "mtu", "statistics", "status"], "data": [["x", '
    '"dpdk", ["map", [["n_rxq", "x"]]], "x", ["map", [["rx_dropped", "z"]]], ["map", []]]]}',
)


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def garble(text: str, dice: random.Random) -> str:
    """Put something else in the place of what one or two sources said."""
    lines = text.splitlines()
    for _ in range(dice.choice((1, 2))):
        at = dice.randrange(1, len(lines) - 1)
        kind, name = lines[at].split(" ")[:2]
        junk = dice.choice(JUNK)
        lines[at] = {
            "F": f"F {name} {junk}",
            "L": f"L {name} {junk}",
            "F64": f"F64 {name} {encode(junk)}",
            "C64": f"C64 {name} 0 {encode(junk)}",
        }[kind]
    return "\n".join(lines) + "\n"


def replaced(text: str, start: str, line: str) -> str:
    found = [line if one.startswith(start) else one for one in text.splitlines()]
    assert found != text.splitlines()
    return "\n".join(found) + "\n"


@pytest.mark.parametrize("seed", range(6))
def test_no_text_is_a_traceback(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(25):
        text = garble(dice.choice((CLEAN, WITH_GUEST)), dice)
        for read in (check_facts, lambda facts: document.parse_inventory(facts, name="x")):
            with contextlib.suppress(errors.IsthmusError):
                read(text)


def test_hardware_that_cannot_be_read_is_an_error() -> None:
    path = "/sys/bus/pci/devices/0000:10:00.0/class"
    text = replaced(CLEAN, f"F {path} ", f"F {path} (null)")
    with pytest.raises(errors.ProtocolError, match="garbled"):
        check_facts(text)
    with pytest.raises(errors.ProtocolError, match="garbled"):
        document.parse_inventory(text, name="x")


def test_an_instance_that_cannot_be_read_is_not_one_that_is_not_there() -> None:
    text = replaced(
        WITH_GUEST, "F /run/libvirt/qemu/", f"F64 /run/libvirt/qemu/i1.xml {encode('<half')}"
    )
    report = check_facts(text)
    assert "domains" in {name for one in report.unseen for name in one.split(", ")}
    assert report.count(Answer.NOT_SEEN) > check_facts(WITH_GUEST).count(Answer.NOT_SEEN)


def test_records_that_may_not_be_read_are_not_seen() -> None:
    text = replaced(WITH_GUEST, "F /run/libvirt/qemu/", "U /run/libvirt/qemu/i1.xml")
    report = check_facts(text)
    assert "domains" in {name for one in report.unseen for name in one.split(", ")}


def test_interrupts_that_were_not_read_are_not_called_fine() -> None:
    lines = CLEAN.splitlines()
    lines.insert(-1, f"F64 /proc/interrupts {encode(' CPU0 CPU1')}")
    with_them = "\n".join(lines) + "\n"
    assert "interrupts" not in check_facts(with_them).unseen
    assert "interrupts" in check_facts(CLEAN).unseen


def test_facts_that_name_no_cpu_that_runs_are_refused() -> None:
    text = replaced(CLEAN, "F /sys/devices/system/cpu/online", "F /sys/devices/system/cpu/online ")
    with pytest.raises(errors.ProtocolError, match="cpu/online is not there"):
        check_facts(text)
