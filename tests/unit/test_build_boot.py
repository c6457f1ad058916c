"""What boot services and installers read, held against those who read it."""

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

from isthmus.build.boot import autoinstall, ipxe, kickstart, preseed, services
from isthmus.build.boot.attempt import Attempt, make_token
from isthmus.build.boot.orders import SEEDS, render_orders
from isthmus.build.boot.place import Place
from isthmus.build.fleet.check import check_fleet
from isthmus.build.fleet.resolve import resolve_fleet
from isthmus.model.rack.fleet import Disks, Firmware, Fleet, Image, Install, Raid
from isthmus.testing.build.build_fleet import SMALL

PLAIN = Disks(name="plain", device="/dev/sda", root_gib=40, swap_gib=4)
MIRROR = Disks(
    name="m", device="/dev/sda", mirror="/dev/sdb", raid=Raid.MIRROR, root_gib=40, swap_gib=4
)
TREE = Image(
    name="tree",
    kernel="linux",
    initrd="initrd",
    tree="http://mirror.example/debian",
    release="bookworm",
)
TOKEN = make_token(b"k", "c1", 1)
KEY = "ssh-ed25519 AAAA it's me"
LAYOUTS = [(PLAIN, Firmware.BIOS), (PLAIN, Firmware.UEFI), (MIRROR, Firmware.BIOS),
           (MIRROR, Firmware.UEFI)]  # fmt: skip


def load() -> Fleet:
    fleet = check_fleet(SMALL).fleet
    assert fleet is not None
    return fleet


def attempt(install: Install, disks: Disks = PLAIN, firmware: Firmware = Firmware.BIOS,
            **more: Any) -> Attempt:  # fmt: skip
    fleet = load()
    machine = dataclasses.replace(
        resolve_fleet(fleet)[0], install=install, disks=disks, firmware=firmware, image=TREE
    )
    if install is Install.IMAGE:
        machine = dataclasses.replace(machine, image=fleet.images[0])
    place = Place(fleet.builder, Path("/state"), Path("/images"))
    return Attempt(place, machine, TOKEN, authorized_keys=(KEY,), **more)


@pytest.mark.parametrize(("disks", "firmware"), LAYOUTS)
@pytest.mark.parametrize("version", ["RHEL8", "RHEL9", "RHEL10", "F42"])
def test_kickstart_is_read_by_pykickstart(disks: Disks, firmware: Firmware, version: str) -> None:
    text = kickstart.render_kickstart(attempt(Install.KICKSTART, disks, firmware))
    parser = KickstartParser(makeVersion(version))
    parser.readKickstartFromString(text)
    handler = parser.handler
    assert [one.mountpoint for one in handler.partition.partitions if disks is PLAIN] == (
        ["/boot", "/", "swap"] if disks is PLAIN else []
    )
    if disks is MIRROR:
        assert {(one.mountpoint, str(one.level)) for one in handler.raid.raidList} == {
            ("/boot", "RAID1"),
            ("/", "RAID1"),
            ("swap", "RAID1"),
        }
    assert handler.clearpart.drives == (["sda"] if disks is PLAIN else ["sda", "sdb"])
    scripts = "\n".join(one.script for one in handler.scripts)
    assert f"/api/report/{TOKEN}/written" in scripts
    assert "blkid -p $d" in scripts


@pytest.mark.parametrize(("disks", "firmware"), LAYOUTS)
def test_preseed_is_read_by_debconf(disks: Disks, firmware: Firmware) -> None:
    text = preseed.render_preseed(attempt(Install.PRESEED, disks, firmware))
    done = subprocess.run(
        ["debconf-set-selections", "-c"], input=text, capture_output=True, text=True, check=False
    )
    # It warns, and ends well all the same: what it says counts.
    assert (done.returncode, done.stderr) == (0, "")
    names = [line.split()[1] for line in text.splitlines() if line.startswith("d-i ")]
    assert len(names) == len(set(names))
    answers = dict(line.split(" ", 3)[1::2] for line in text.splitlines() if line.count(" ") > 2)
    assert answers["mirror/http/hostname"] == "mirror.example"
    assert answers["mirror/http/directory"] == "/debian"
    recipe = answers["partman-auto/expert_recipe"]
    assert recipe.count("{") == recipe.count("}")
    for part in recipe.partition(" :: ")[2].split(" .")[:-1]:
        least, wanted, most = map(int, part.split()[:3])
        assert least <= wanted <= most


@pytest.mark.parametrize(("disks", "firmware"), LAYOUTS)
def test_autoinstall_has_the_form_of_its_schema(disks: Disks, firmware: Firmware) -> None:
    text = autoinstall.render_user_data(attempt(Install.AUTOINSTALL, disks, firmware))
    assert text.startswith("#cloud-config\n")
    found = yaml.safe_load(text)
    jsonschema.validate(found, AUTOINSTALL)
    actions = found["autoinstall"]["storage"]["config"]
    ids = [one["id"] for one in actions]
    assert len(ids) == len(set(ids))
    # An action may only name what stands before it: curtin's rule.
    for number, one in enumerate(actions):
        refers = [one.get("device"), one.get("volume"), *one.get("devices", [])]
        assert set(filter(None, refers)) <= set(ids[:number])
    assert {one["path"] for one in actions if one["type"] == "mount" and "path" in one} >= {"/"}


#: Of subiquity's autoinstall-schema.json: the parts that are used here, by its documentation.
AUTOINSTALL: dict[str, Any] = {
    "type": "object",
    "required": ["autoinstall"],
    "additionalProperties": False,
    "properties": {
        "autoinstall": {
            "type": "object",
            "required": ["version", "identity", "storage"],
            "additionalProperties": False,
            "properties": {
                "version": {"const": 1},
                "locale": {"type": "string"},
                "keyboard": {"type": "object", "required": ["layout"]},
                "identity": {"type": "object", "required": ["username", "hostname", "password"]},
                "ssh": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "install-server": {"type": "boolean"},
                        "allow-pw": {"type": "boolean"},
                        "authorized-keys": {"type": "array", "items": {"type": "string"}},
                    },
                },
                "network": {"type": "object", "required": ["version", "ethernets"]},
                "storage": {"type": "object", "required": ["config"]},
                "packages": {"type": "array", "items": {"type": "string"}},
                "early-commands": {"type": "array", "items": {"type": "string"}},
                "late-commands": {"type": "array", "items": {"type": "string"}},
                "error-commands": {"type": "array", "items": {"type": "string"}},
                "shutdown": {"enum": ["reboot", "poweroff"]},
            },
        }
    },
}


def test_a_disk_with_something_on_it_is_guarded_until_its_name_is_given() -> None:
    for install, render in (
        (Install.KICKSTART, kickstart.render_kickstart),
        (Install.PRESEED, preseed.render_preseed),
        (Install.AUTOINSTALL, autoinstall.render_user_data),
    ):
        assert "is+not+empty" in render(attempt(install))
        assert "is+not+empty" not in render(attempt(install, may_wipe=True))
    assert "WIPE=no\n" in render_orders(attempt(Install.IMAGE))
    assert "WIPE=yes\n" in render_orders(attempt(Install.IMAGE, may_wipe=True))


def test_every_script_is_shell(tmp_path: Path) -> None:
    scripts = {name: SEEDS[name](attempt(Install.IMAGE)) for name in ("files.sh", "late.sh")}
    scripts["orders"] = render_orders(attempt(Install.IMAGE))
    init = Path("src/isthmus/build/boot/deploy_init.sh")
    scripts["init"] = (Path(__file__).parents[2] / init).read_text()
    for name, text in scripts.items():
        done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
        assert (name, done.returncode, done.stderr) == (name, 0, "")
    done = subprocess.run(
        ["sh"], input=scripts["files.sh"], env={"ROOT": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "etc/hostname").read_text() == "c1\n"
    assert (tmp_path / "root/.ssh/authorized_keys").read_text() == KEY + "\n"
    assert (tmp_path / "root/.ssh/authorized_keys").stat().st_mode & 0o777 == 0o600
    link = tmp_path / "etc/systemd/system/multi-user.target.wants/isthmus-report.service"
    assert str(link.readlink()) == "/etc/systemd/system/isthmus-report.service"
    report = tmp_path / "etc/isthmus/report"
    assert subprocess.run(["sh", "-n", report], check=False).returncode == 0


def test_ipxe_scripts() -> None:
    image = ipxe.render_install(attempt(Install.IMAGE))
    assert image.startswith("#!ipxe\n")
    assert f"isthmus.token={TOKEN}" in image
    # Under UEFI a kernel finds its initrd by this word alone.
    assert "vmlinuz initrd=initrd.img " in image
    assert "BOOTIF=01-52-54-00-00-00-01" in image
    for install, word in (
        (Install.KICKSTART, f"inst.ks=http://192.0.2.1:8080/api/seed/{TOKEN}/ks.cfg"),
        (Install.PRESEED, f"url=http://192.0.2.1:8080/api/seed/{TOKEN}/preseed.cfg"),
        (Install.AUTOINSTALL, f"ds=nocloud-net;s=http://192.0.2.1:8080/api/seed/{TOKEN}/"),
    ):
        assert word in ipxe.render_install(attempt(install))
    bios, uefi = attempt(Install.IMAGE), attempt(Install.IMAGE, firmware=Firmware.UEFI)
    assert "sanboot" in ipxe.render_local(bios.machine)
    assert "sanboot" not in ipxe.render_local(uefi.machine)


def test_dnsmasq_and_nginx_take_their_files(tmp_path: Path) -> None:
    fleet = load()
    machines = resolve_fleet(fleet)
    place = Place(fleet.builder, tmp_path, tmp_path)
    place.tftp.mkdir()
    place.dnsmasq_hosts.write_text(services.render_reservations(machines))
    assert "52:54:00:00:00:01,192.0.2.20,c1,2h\n" in place.dnsmasq_hosts.read_text()
    place.dnsmasq_conf.write_text(services.render_dnsmasq(place, fleet.sites, machines))
    done = subprocess.run(
        ["/usr/sbin/dnsmasq", "--test", f"--conf-file={place.dnsmasq_conf}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "dnsmasq: syntax check OK.\n")
    # nginx also binds in its check: an address that is there.
    local = dataclasses.replace(fleet.builder, address="127.0.0.1", http_port=18080)
    place = Place(local, tmp_path, tmp_path)
    place.nginx_conf.write_text(services.render_nginx(place, user=""))
    done = subprocess.run(
        ["/usr/sbin/nginx", "-t", "-c", place.nginx_conf, "-p", tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_tokens_differ_and_tell_nothing() -> None:
    tokens = {make_token(b"k", node, number) for node in ("a", "b", "a/1") for number in (1, 2, 11)}
    assert len(tokens) == 9
    assert make_token(b"other", "a", 1) != make_token(b"k", "a", 1)
    assert all(one.isalnum() and len(one) == 32 for one in tokens)
