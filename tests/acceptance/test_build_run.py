"""`isthmus build run` with its real dnsmasq and nginx, and machines that are played by requests."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.qemu.build_rack import Rack, make_rack, need

from isthmus.build.boot.place import Place
from isthmus.build.boot.services import render_nginx
from isthmus.clients.build.processes import BootProcesses, worker_user
from isthmus.clients.build.service import NodeService
from isthmus.clients.machine import process, shell
from isthmus.model.rack.fleet import Builder
from isthmus.testing.needed import skip_without
from isthmus.testing.port import find_port
from isthmus.testing.until import until

pytestmark = pytest.mark.root

MAC = "52:54:00:00:00:01"
PATIENCE_S = 120
CONTENT = b"\0" * (1 << 20)
FLEET = f"""\
builder: {{address: 192.0.2.1, interface: br0}}
images:
- {{name: tiny, file: tiny.raw, size_mib: 1, sha256: {hashlib.sha256(CONTENT).hexdigest()}}}
disks: [{{name: plain, device: /dev/vda}}]
roles: [{{name: compute}}]
defaults: {{image: tiny, disks: plain, roles: [compute], bmc: {{kind: manual}}}}
sites:
- name: lab
  provisioning: boot
  networks: [{{name: boot, cidr: 192.0.2.0/24, pool: 192.0.2.20-192.0.2.99}}]
  racks:
  - name: r1
    nodes: [{{name: n1, mac: '{MAC}'}}]
"""
#: What udhcpc calls: it says what it was given.
SAY = '#!/bin/sh\n[ "$1" != bound ] || echo "$ip $boot_file$bootfile $siaddr"\n'


@pytest.fixture
def rack() -> Iterator[Rack]:
    skip_without(need(("dnsmasq", "nginx", "ip", "busybox", "nsenter")))
    # Where nginx's workers, which are nobody, can read.
    folder = Path(f"/run/isthmus-test-{os.getpid()}")
    folder.mkdir(mode=0o755)
    try:
        (folder / "images").mkdir()
        (folder / "images/tiny.raw").write_bytes(CONTENT)
        (folder / "ramdisk").mkdir()
        for name in ("vmlinuz", "initrd.img"):
            (folder / "ramdisk" / name).write_text(name)
        (folder / "fleet.yaml").write_text(FLEET)
        with make_rack(folder) as made:
            yield made
    finally:
        shutil.rmtree(folder)


def start(rack: Rack) -> subprocess.Popen[str]:
    return rack.isthmus("build", "run", "fleet.yaml", "--state", "state", "--images", "images",
                        "--ramdisk", "ramdisk")  # fmt: skip


def fetch(rack: Rack, path: str, *post: str) -> str:
    data = ("--post-data", post[0]) if post else ()
    argv = ["busybox", "wget", "-q", "-O", "-", *data, f"http://192.0.2.1:8080{path}"]
    return shell.run(argv, netns=rack.netns, check=False).stdout


def script(rack: Rack) -> str:
    """Give the machine's boot script, when the builder is up."""

    def install() -> str:
        found = fetch(rack, f"/api/boot?mac={MAC.replace(':', '-')}")
        return found if "isthmus.token=" in found else ""

    return until(install, timeout_s=PATIENCE_S, every_s=0.2)


def services(rack: Rack) -> dict[str, int]:
    path = rack.folder / "state/processes.json"
    return {name: row[0] for name, row in json.loads(path.read_text()).items()}


def is_alive(pid: int) -> bool:
    return process.find(pid) is not None


def test_a_machine_that_a_person_boots_through_a_kill(rack: Rack) -> None:
    first = start(rack)
    asked = script(rack)
    token = asked.partition("isthmus.token=")[2].split()[0]
    assert fetch(rack, "/boot/start.ipxe").startswith("#!ipxe")
    assert fetch(rack, "/images/tiny.raw") == CONTENT.decode()
    assert "NODE=n1" in fetch(rack, f"/api/orders/{token}")
    # Neither the state nor what is beside the images is served.
    for path in ("/images/../fleet.yaml", "/images/../state/key", "/boot/../key", "/state/key"):
        assert fetch(rack, path) == ""
    assert fetch(rack, f"/api/report/{token}/writing", "a=b") == "heard\n"
    before = services(rack)
    assert set(before) == {"nginx", "dnsmasq"}
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=PATIENCE_S)
    assert all(map(is_alive, before.values()))

    again = start(rack)
    # A report repeats until it is heard.
    until(
        lambda: fetch(rack, f"/api/report/{token}/written", "written_bytes=1048576") == "heard\n",
        timeout_s=PATIENCE_S,
        every_s=0.2,
    )
    assert services(rack) == before
    assert fetch(rack, f"/api/report/{token}/reported", "kernel=6") == "heard\n"
    _, err = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0, err
    assert not any(map(is_alive, before.values()))

    status = rack.isthmus("build", "status", "--state", "state", "-o", "json")
    board = json.loads(status.communicate(timeout=PATIENCE_S)[0])
    assert (board["stages"], board["is_running"]) == ({"active": 1}, False)
    once_more = start(rack)
    _, err = once_more.communicate(timeout=PATIENCE_S)
    assert (once_more.returncode, err) == (0, "nothing is to be done\n")


def test_the_last_report_of_a_build_is_answered_when_all_ends(rack: Rack) -> None:
    """A machine repeats it until then, and after a build nobody is left to answer."""
    state = rack.folder / "state"
    state.mkdir()
    builder = Builder(address="127.0.0.1", interface="lo", http_port=find_port())
    place = Place(builder, state, rack.folder / "images")
    place.nginx_conf.write_text(render_nginx(place, user=worker_user()))
    asked, ending = threading.Event(), threading.Event()

    def answer(*_: str) -> tuple[int, str]:
        asked.set()
        assert ending.wait(PATIENCE_S)
        return 200, "heard\n"

    service = NodeService(place.socket, answer)
    daemons = BootProcesses(state)
    daemons.start("nginx", ["nginx", "-c", place.nginx_conf, "-p", state], [place.nginx_conf])
    said: list[bytes] = []

    def report() -> None:
        url = f"{place.url}/api/report/token/reported"
        with urllib.request.urlopen(url, b"kernel=6", timeout=PATIENCE_S) as reply:
            said.append(reply.read())

    machine = threading.Thread(target=report)
    machine.start()
    assert asked.wait(PATIENCE_S)
    threading.Timer(0.2, ending.set).start()
    service.close()
    daemons.stop()
    machine.join(PATIENCE_S)
    assert said == [b"heard\n"]


def test_a_state_folder_that_nobody_can_enter_ends_the_run_and_is_named(rack: Rack) -> None:
    """Also while it runs: machines would ask for ever, and the builder would hear nothing."""
    builder = start(rack)
    try:
        script(rack)
        rack.folder.chmod(0o700)
        _, err = builder.communicate(timeout=PATIENCE_S)
    finally:
        builder.kill()
        rack.folder.chmod(0o755)
    assert builder.returncode == 1, err
    assert f"nginx's workers cannot enter {rack.folder}: open it" in err
    assert "run isthmus build run again to go on" in err
    again = start(rack)
    try:
        script(rack)
    finally:
        again.send_signal(signal.SIGINT)
        again.communicate(timeout=PATIENCE_S)


def test_dhcp_knows_its_machines_and_no_others(rack: Rack) -> None:
    builder = start(rack)
    script(rack)
    (rack.folder / "say").write_text(SAY)
    (rack.folder / "say").chmod(0o755)
    client = f"{rack.netns}-c"
    shell.run(["ip", "netns", "add", client])
    try:
        lines = f"link add v0 type veth peer v1 netns {client}\nlink set v0 master br0 up\n"
        shell.run(["ip", "-batch", "-"], netns=rack.netns, stdin=lines)
        ask: list[str | Path] = ["busybox", "udhcpc", "-i", "v1", "-n", "-q", "-f",
               "-t", "5", "-T", "2", "-O", "bootfile", "-s", rack.folder / "say"]  # fmt: skip

        def lease(mac: str) -> str:
            words = f"link set v1 down\nlink set v1 address {mac} up\n"
            shell.run(["ip", "-batch", "-"], netns=client, stdin=words)
            return shell.run(ask, netns=client, check=False, timeout_s=60).stdout.strip()

        assert lease(MAC) == "192.0.2.20 undionly.kpxe 192.0.2.1"
        assert lease("52:54:00:00:00:77") == ""
    finally:
        shell.run(["ip", "netns", "delete", client], check=False)
        builder.send_signal(signal.SIGINT)
        _, err = builder.communicate(timeout=PATIENCE_S)
    # Ctrl-C: nothing is left behind, and the machine's place is kept.
    assert builder.returncode == 130, err
    assert "stopped; run it again to go on" in err
    assert not (rack.folder / "state/processes.json").exists()
    log = (rack.folder / "state/events.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["kind"] == "ended"
    assert (rack.folder / "state/key").stat().st_mode & 0o777 == 0o600


def test_a_builder_that_is_not_ready_says_all_that_is_missing(rack: Rack) -> None:
    text = FLEET.replace("192.0.2.1,", "192.0.2.9,").replace("tiny.raw,", "gone.raw,")
    (rack.folder / "fleet.yaml").write_text(text)
    (rack.folder / "ramdisk/vmlinuz").unlink()
    done = start(rack)
    _, err = done.communicate(timeout=PATIENCE_S)
    assert done.returncode == 2
    for said in (
        "builder.address: br0 does not have 192.0.2.9; it has 192.0.2.1",
        "image tiny: there is no file",
        "ramdisk/vmlinuz: make it with isthmus build ramdisk",
    ):
        assert said in err
    (rack.folder / "fleet.yaml").write_text(FLEET)
    (rack.folder / "ramdisk/vmlinuz").write_text("x")
    (rack.folder / "images/tiny.raw").write_bytes(b"\1" * (1 << 20))
    done = start(rack)
    _, err = done.communicate(timeout=PATIENCE_S)
    assert done.returncode == 2
    assert "the checksum of" in err
    assert not (rack.folder / "state/processes.json").exists()
