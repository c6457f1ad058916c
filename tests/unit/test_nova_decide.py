"""What the virt driver decides without acting, and what it keeps."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from isthmus.lab.process.ledger import Ledger
from isthmus.model.host.process import ProcessId
from isthmus.nova import announce, decide, firmware, guests
from isthmus.nova.record import (
    FILE,
    Guest,
    Interface,
    find_arrival,
    find_guest,
    record_arrival,
    record_guest,
)


def make_vif(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"port-{number}",
        "address": f"fa:16:01:00:00:{number:02x}",
        "network": {"meta": {"mtu": 1442}},
        **fields,
    }


def make_guest(host: str = "h1", **fields: Any) -> Guest:
    return Guest(uuid="u", name="web", netns="n-u", host=host, host_netns="h", **fields)


def test_interfaces_have_names_in_the_order_in_which_they_were_asked_for() -> None:
    found = decide.plan_interfaces([make_vif(1), make_vif(2)])
    assert [(one.name, one.port_id, one.mtu) for one in found] == [
        ("eth0", "port-1", 1442),
        ("eth1", "port-2", 1442),
    ]


def test_a_new_interface_takes_the_first_free_name() -> None:
    vif = make_vif(9, network={"meta": {}})
    new = decide.plan_interface(vif, ["eth0", "eth2"])
    assert (new.name, new.mtu) == ("eth1", decide.DEFAULT_MTU)


def test_a_start_waits_for_the_ports_that_are_not_active_yet() -> None:
    vifs = [make_vif(1, active=False), make_vif(2, active=True), make_vif(3)]
    assert decide.list_events(vifs) == [("network-vif-plugged", "port-1")]


def test_an_inventory_has_every_class_with_its_ratio_and_what_is_reserved() -> None:
    found = decide.render_inventory({"VCPU": 8}, {"VCPU": 16.0}, {"VCPU": 2})
    assert found == {
        "VCPU": {
            "total": 8,
            "min_unit": 1,
            "max_unit": 8,
            "step_size": 1,
            "allocation_ratio": 16.0,
            "reserved": 2,
        }
    }


@pytest.mark.parametrize("process", [None, ProcessId(7, 70)])
def test_a_guest_is_read_as_it_was_written(process: ProcessId | None, tmp_path: Path) -> None:
    interface = Interface(port_id="p", mac="m", mtu=1442, name="eth0")
    guest = make_guest(interfaces=(interface,), process=process)
    assert find_guest(tmp_path) is None
    record_guest(tmp_path, guest)
    assert find_guest(tmp_path) == guest
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_hypervisor_has_its_own_guests_alone_and_removes_no_others(tmp_path: Path) -> None:
    mine, other = (make_hypervisor(tmp_path, host) for host in ("h1", "h2"))
    record_guest(mine.folder("u"), make_guest())
    assert mine.find("u") is not None
    assert other.find("u") is None
    assert [one.uuid for one in mine.list_guests()] == ["u"]
    assert other.list_guests() == []
    other.remove("u")
    assert mine.find("u") is not None
    mine.remove("u")
    assert not mine.folder("u").exists()


def test_a_folder_half_made_is_removed(tmp_path: Path) -> None:
    mine = make_hypervisor(tmp_path, "h1")
    mine.folder("u").mkdir(parents=True)
    (mine.folder("u") / "init").write_text("")
    mine.remove("u")
    assert not mine.folder("u").exists()


def make_hypervisor(lab: Path, host: str) -> guests.Guests:
    place = guests.Place(lab=lab, site="site1", host=host, netns=f"n-{host}", switch_socket="/s")
    return guests.Guests(place)


def test_a_console_is_its_end_and_nothing_where_there_was_none(tmp_path: Path) -> None:
    mine = make_hypervisor(tmp_path, "h1")
    assert mine.read_console("u", 3) == b""
    mine.folder("u").mkdir(parents=True)
    (mine.folder("u") / guests.CONSOLE).write_bytes(b"abcdef")
    assert mine.read_console("u", 3) == b"def"


def test_the_script_before_a_guests_first_process_is_one_that_a_shell_reads() -> None:
    shell = shutil.which("sh")
    assert shell is not None
    done = subprocess.run(
        [shell, "-n"], input=firmware.render_script(), text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    words = firmware.boot_words(Path("/lab/guests/u"), Path("/lab"), "web")
    assert list(words[-3:]) == ["/lab/guests/u", "/lab", "web"]


def test_the_ledger_finds_novas_server_by_name_or_id_and_not_by_a_name_of_two(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path)
    for uuid, name in (("1", "a"), ("2", "b"), ("3", "b")):
        ledger.add("guest", uuid=uuid, name=name, netns=f"n{uuid}", site="site1", host="h1")
    made = ledger.read()
    found = made.find_guest("a")
    assert found is not None
    assert found["netns"] == "n1"
    assert made.find_guest("b") is None
    assert made.find_guest("3") is not None
    ledger.add("guest-gone", uuid="3")
    assert ledger.read().find_guest("b") == made.guests["2"]


def test_a_guest_is_expected_until_it_is_there(tmp_path: Path) -> None:
    there = make_hypervisor(tmp_path, "h2").arrival
    assert find_arrival(tmp_path) is None
    record_arrival(tmp_path, there)
    assert find_arrival(tmp_path) == there
    record_arrival(tmp_path, None)
    record_arrival(tmp_path, None)
    assert find_arrival(tmp_path) is None


def test_what_is_announced_is_a_request_of_reverse_arp() -> None:
    mac = bytes.fromhex("fa1601000001")
    frame = announce.render_request("fa:16:01:00:00:01")
    assert len(frame) == 60, "the shortest that Ethernet has, without its checksum"
    assert frame[:14] == b"\xff" * 6 + mac + bytes.fromhex("8035")
    assert frame[14:22] == bytes.fromhex("0001080006040003"), "RFC 903: request reverse"
    assert frame[22:42] == mac + bytes(4) + mac + bytes(4)
