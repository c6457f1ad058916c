"""Power control against OpenStack's Redfish emulator and OpenIPMI's simulated controller."""

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus import errors
from isthmus.build.fleet.check import check_fleet
from isthmus.build.fleet.resolve import resolve_fleet
from isthmus.clients.build.power import PowerControl, read_secrets
from isthmus.model.rack.fleet import Bmc, BmcKind, Firmware
from isthmus.model.rack.machine import Machine
from isthmus.testing.build.build_fleet import SMALL
from isthmus.testing.needed import lack
from isthmus.testing.port import find_port
from isthmus.testing.until import until

EMULATOR = Path(__file__).parents[1] / "redfish_bmc.py"
ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"


def machine(bmc: Bmc, firmware: Firmware = Firmware.UEFI) -> Machine:
    fleet = check_fleet(SMALL).fleet
    assert fleet is not None
    return dataclasses.replace(resolve_fleet(fleet)[0], bmc=bmc, firmware=firmware)


@contextlib.contextmanager
def emulator(folder: Path, *uuids: str) -> Iterator[tuple[str, Path]]:
    port = find_port()
    config = {
        "systems": [{"uuid": one, "name": f"m{n}"} for n, one in enumerate(uuids)],
        "state": str(folder),
        "address": "127.0.0.1",
        "port": port,
    }
    (folder / "bmc.json").write_text(json.dumps(config))
    with (folder / "bmc.log").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, EMULATOR, folder / "bmc.json"], stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert child.poll() is None, (folder / "bmc.log").read_text()
        try:
            urllib.request.urlopen(f"{url}/redfish/v1/", timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        return True

    try:
        until(answers)
        yield url, folder / "bmc.calls"
    finally:
        child.terminate()
        child.wait(timeout=20)


def test_redfish_boots_from_the_network_once(tmp_path: Path) -> None:
    with emulator(tmp_path, ONE) as (url, calls):
        power = PowerControl({"bmc": "secret"})
        target = machine(Bmc(address=url, user="admin", secret="bmc"))
        power.boot_from_network(target)
        assert calls.read_text().splitlines() == ["m0 boot Pxe", "m0 On"]
        power.boot_from_network(target)
        assert calls.read_text().splitlines()[2:] == ["m0 boot Pxe", "m0 ForceRestart"]


def test_redfish_says_what_is_wrong(tmp_path: Path) -> None:
    power = PowerControl({})
    with emulator(tmp_path, ONE, TWO) as (url, calls):
        with pytest.raises(errors.Conflict, match="has 2 systems: name one"):
            power.boot_from_network(machine(Bmc(address=url)))
        power.boot_from_network(machine(Bmc(address=url, system=f"/redfish/v1/Systems/{TWO}")))
        assert calls.read_text().splitlines() == ["m1 boot Pxe", "m1 On"]
        with pytest.raises(errors.NotFound, match="has no system /redfish/v1/Systems/none"):
            power.boot_from_network(machine(Bmc(address=url, system="/redfish/v1/Systems/none")))
    with pytest.raises(errors.Unreachable, match=f"controller {url} does not answer"):
        power.boot_from_network(machine(Bmc(address=url)))
    with pytest.raises(errors.NotFound, match="the secrets file has no bmc"):
        power.boot_from_network(machine(Bmc(address=url, secret="bmc")))


#: A controller with one user, whose machine is a file that two commands touch.
LAN = """\
name "bmc"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{folder}/chassis"
  user 2 true "admin" "secret" admin 10 none md2 md5 straight
"""
CHASSIS = """\
#!/bin/sh
# Called by ipmi_sim: get|set of power, boot and others, by pairs of name and value.
folder=$(dirname "$0")
op=$1; shift
while [ $# -gt 0 ]; do
    name=$1; shift
    if [ "$op" = set ]; then
        echo "set $name $1" >>"$folder/calls"
        [ "$name" != power ] || echo "$1" >"$folder/power"
        shift
    elif [ "$name" = power ]; then
        echo "power:$(cat "$folder/power" 2>/dev/null || echo 0)"
    else
        echo "$name:default"
    fi
done
"""
COMMANDS = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
"""


@contextlib.contextmanager
def simulator(folder: Path) -> Iterator[str]:
    program = shutil.which("ipmi_sim")
    if program is None or shutil.which("ipmitool") is None:
        lack("openipmi or ipmitool")
    port = find_port(socket.SOCK_DGRAM)
    (folder / "lan.conf").write_text(LAN.format(port=port, folder=folder))
    (folder / "commands").write_text(COMMANDS)
    (folder / "chassis").write_text(CHASSIS)
    (folder / "chassis").chmod(0o755)
    with (folder / "ipmi.log").open("w") as log:
        child = subprocess.Popen(
            [program, "-c", folder / "lan.conf", "-f", folder / "commands", "-s", folder, "-n"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield f"127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(timeout=20)


@pytest.mark.stress
def test_ipmi_boots_from_the_network_once(tmp_path: Path) -> None:
    with simulator(tmp_path) as address:
        power = PowerControl({"bmc": "secret", "wrong": "other"})
        target = machine(Bmc(address=address, kind=BmcKind.IPMI, user="admin", secret="bmc"))

        def boots() -> bool:
            try:
                power.boot_from_network(target)
            except errors.Unreachable:
                return False
            return True

        until(boots, timeout_s=60, what="the simulated controller answers")
        calls = (tmp_path / "calls").read_text().splitlines()
        assert "set boot pxe" in calls
        assert "set power 1" in calls
        (tmp_path / "calls").unlink()
        power.boot_from_network(target)

        def switched() -> list[str]:
            lines = (tmp_path / "calls").read_text().splitlines()
            return [one for one in lines if one.startswith("set power")]

        # The controller does the second half of a cycle by itself, later.
        until(lambda: switched() == ["set power 0", "set power 1"], timeout_s=60)
        wrong = dataclasses.replace(target.bmc, secret="wrong")
        with pytest.raises(errors.Unreachable, match="check its address, the user, and the secret"):
            power.boot_from_network(dataclasses.replace(target, bmc=wrong))


def test_secrets_that_others_may_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "secrets.yaml"
    path.write_text("bmc: secret\n")
    path.chmod(0o644)
    with pytest.raises(errors.Invalid, match="chmod 600"):
        read_secrets(path)
    path.chmod(0o600)
    assert read_secrets(path) == {"bmc": "secret"}
    path.write_text("bmc: [secret\n")
    with pytest.raises(errors.Invalid) as caught:
        read_secrets(path)
    assert "secret\n" not in caught.value.message
    assert "[secret" not in caught.value.message


def test_a_secret_is_opened_by_ansible_vault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pass").write_text("opensesame\n")
    path = tmp_path / "secrets.yaml"
    path.write_text("bmc: secret\n")
    path.chmod(0o600)
    vault = Path(sys.executable).with_name("ansible-vault")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "pass"))
    monkeypatch.setenv("PATH", f"{vault.parent}:{os.environ['PATH']}")
    subprocess.run([vault, "encrypt", path], check=True, capture_output=True)
    assert path.read_text().startswith("$ANSIBLE_VAULT;")
    assert read_secrets(path) == {"bmc": "secret"}
