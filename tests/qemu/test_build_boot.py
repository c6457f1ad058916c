"""Machines out of nothing: a rack boots from the network, is installed, and reports from its disks.

Real dnsmasq, nginx, iPXE, Redfish, kernel and image; the machines are emulated. Beside the one that
must become active stand one whose image is not what the fleet file says, one whose disk holds
something, one whose controller does not answer, and one without its cable. The builder is killed in
the middle.
"""

import gzip
import hashlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from tests.qemu.build_rack import PREFIX, Rack, make_rack, need

from isthmus.clients.build import image, ramdisk
from isthmus.clients.machine import shell
from isthmus.testing.needed import skip_without
from isthmus.testing.until import until
from isthmus.wiring.build_image import make_image, make_recipe

pytestmark = [pytest.mark.qemu, pytest.mark.root]

PROGRAMS = (
    *("qemu-system-x86_64", "mmdebstrap", "mke2fs", "dnsmasq", "nginx", "cpio", "depmod"),
    *("ip", "ssh", "ssh-keygen", "chroot"),
)
#: The emulated machine shares a core with whatever else runs: everything takes its time.
PATIENCE_S = 2400
IMAGE_MIB = 512
BAD_MIB = 32


def _digest() -> str:
    """Give what changes when the image or the ramdisk would."""
    found = hashlib.sha256()
    for module in (image, ramdisk):
        found.update(Path(str(module.__file__)).read_bytes())
    found.update(resources.files("isthmus.build.boot").joinpath("deploy_init.sh").read_bytes())
    return found.hexdigest()[:12]


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """Give a folder that nobody, whom nginx's workers run as, may enter.

    None of pytest's own: each session that begins closes the folder above those of all others.
    """
    with tempfile.TemporaryDirectory(prefix="isthmus-rack-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="module")
def images(open_folder: Path) -> Path:
    """Make the image and the ramdisk; ISTHMUS_CACHE keeps them between runs."""
    skip_without(need(PROGRAMS), "./dev test all installs it")
    cache = os.environ.get("ISTHMUS_CACHE")
    folder = Path(cache) / f"build-{_digest()}" if cache else open_folder / "images"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "debian.json").exists():
        recipe = make_recipe(
            "debian",
            suite="bookworm",
            size_mib=IMAGE_MIB,
            packages=(),
            kernel_line="console=ttyS0,115200 quiet mitigations=off",
        )
        make_image(recipe, folder, ramdisk=folder / "ramdisk")
    with gzip.open(folder / "bad.gz", "wb", compresslevel=1) as sink:
        sink.write(os.urandom(BAD_MIB << 20))
    folder.chmod(0o755)
    return folder


def write_fleet(rack: Rack, images: Path, key: str, limits: str) -> Path:
    manifest = json.loads((images / "debian.json").read_text())
    nodes = "\n".join(
        f"    - {{name: {one['name']}, mac: '{one['mac']}', "
        f"image: {'bad' if one['name'] == 'wrongsum' else 'debian'}, "
        f"bmc: {{system: /redfish/v1/Systems/{one['uuid']}, address: '"
        f"{'http://192.0.2.250:1' if one['name'] == 'nobmc' else rack.bmc_url}'}}}}"
        for one in rack.machines
    )
    path = rack.folder / "fleet.yaml"
    path.write_text(f"""\
builder:
  {{address: 192.0.2.1, interface: br0, router_prefix: '{PREFIX}/64', console: 'ttyS0,115200'}}
images:
- {{name: debian, file: debian.raw, sha256: {manifest["sha256"]}, size_mib: {IMAGE_MIB}}}
- name: bad
  file: bad.gz
  compression: gzip
  sha256: {"0" * 64}
  size_mib: {BAD_MIB}
disks: [{{name: plain, device: /dev/vda}}]
roles: [{{name: compute}}]
defaults: {{disks: plain, roles: [compute]}}
limits: {{{limits}}}
authorized_keys: ['{key}']
sites:
- name: lab
  provisioning: boot
  networks: [{{name: boot, cidr: 192.0.2.0/24, pool: 192.0.2.20-192.0.2.99}}]
  racks:
  - name: r1
    nodes:
{nodes}
""")
    return path


@pytest.fixture(scope="module")
def rack(images: Path, open_folder: Path) -> Iterator[Rack]:
    folder = open_folder / "rack"
    folder.mkdir()
    folder.chmod(0o755)
    with make_rack(folder) as made:
        made.add("good")
        made.add("wrongsum")
        made.add("full", disk=b"something that somebody may want to keep")
        made.add("nobmc")
        made.add("mute", plugged=False)
        with made.controlled():
            yield made


def state_of(rack: Rack) -> dict[str, Any]:
    done = rack.isthmus("build", "status", "--state", "state", "-o", "json")
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def events(rack: Rack) -> list[dict[str, Any]]:
    path = rack.folder / "state/events.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def happened(rack: Rack, node: str, *kinds: str) -> bool:
    return any(one["kind"] in kinds and one.get("node") == node for one in events(rack))


def test_a_rack_is_built_through_faults_and_a_kill(rack: Rack, images: Path) -> None:
    key = rack.folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = (rack.folder / "key.pub").read_text().strip()
    patient = (
        f"attempts: 1, halt_share: 1.0, power_timeout_s: 300, boot_timeout_s: {PATIENCE_S}, "
        f"deploy_timeout_s: {PATIENCE_S}, verify_timeout_s: {PATIENCE_S}"
    )
    fleet = write_fleet(rack, images, public, patient)
    words = ("build", "run", fleet, "--state", "state", "--images", images,
             "--ramdisk", images / "ramdisk")  # fmt: skip
    only = [
        word for one in rack.machines if one["name"] != "mute" for word in ("--only", one["name"])
    ]

    first = rack.isthmus(*words, *only)
    try:
        until(
            lambda: first.poll() is not None or happened(rack, "good", "writing"),
            timeout_s=PATIENCE_S,
            every_s=0.5,
        )
        assert first.poll() is None, first.communicate()
        first.send_signal(signal.SIGKILL)
    finally:
        first.kill()
        first.communicate(timeout=60)

    again = rack.isthmus(*words, *only)
    out, err = again.communicate(timeout=PATIENCE_S)
    board = state_of(rack)
    stands = {one["node"]: one for one in board["nodes"]}
    assert again.returncode == 1, (out, err, rack.serial("good")[-3000:])
    assert {name: one["stage"] for name, one in stands.items()} == {
        "good": "active",
        "wrongsum": "quarantined",
        "full": "quarantined",
        "nobmc": "quarantined",
    }, (err, rack.serial("good")[-3000:])
    assert stands["wrongsum"]["why"].startswith("the checksum of the image is ")
    assert stands["full"]["why"] == "the disk /dev/vda is not empty"
    assert "192.0.2.250:1 does not answer" in stands["nobmc"]["why"]
    assert all(
        one["next"] == f"isthmus build release {one['node']}, when it is mended"
        for one in board["troubles"]
    )
    # What was on the disk is still there, and what was written is this machine's own system.
    assert (rack.folder / "full.disk").read_bytes()[:9] == b"something"
    assert stands["good"]["facts"]["disk_bytes"] == str(640 << 20)
    login: list[str | Path] = ["ssh", "-i", key, "-o", "StrictHostKeyChecking=no",
             "-o", "BatchMode=yes",
             "-o", "UserKnownHostsFile=/dev/null", f"root@{stands['good']['address']}"]  # fmt: skip

    def named() -> str:
        output = shell.run([*login, "hostname"], netns=rack.netns, timeout_s=120, check=False)
        return output.stdout.strip()

    assert until(named, timeout_s=PATIENCE_S, every_s=2) == "good"
    kinds = [one["kind"] for one in events(rack)]
    assert kinds.count("begun") == 2
    # The kill cost the machine that was writing nothing.
    assert [one["kind"] for one in events(rack) if one.get("node") == "good"].count("started") == 1


def test_a_machine_without_its_cable_is_named(rack: Rack, images: Path) -> None:
    fleet = write_fleet(
        rack, images, "ssh-ed25519 AAAA nobody", "attempts: 2, retry_after_s: 1, boot_timeout_s: 2"
    )
    done = rack.isthmus("build", "run", fleet, "--state", "state", "--images", images,
                        "--ramdisk", images / "ramdisk", "--only", "mute")  # fmt: skip
    _, err = done.communicate(timeout=PATIENCE_S)
    assert done.returncode == 1, err
    mac = rack.machines[-1]["mac"]
    assert f"mute was given up after 2 attempts: no network boot came from {mac}" in err
    # Others were left as they were.
    assert {one["node"]: one["stage"] for one in state_of(rack)["nodes"]}["good"] == "active"
