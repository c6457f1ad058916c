"""What runs first in a guest of the lab, and does there what cloud-init does elsewhere.

It is the content of the lab's image, so it stands alone: Python's own library and the programs of
any Debian, nothing else. What it writes is the console of the server. It takes addresses from each
interface's network as its config drive or the metadata service says, lets its owner in by SSH, runs
the user data, hears of interfaces that come and go, and ends on SIGTERM.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

# The lab puts the configuration of the DHCP client here.

CONFIG_DRIVE = Path("/run/config-2/openstack/latest")
METADATA = "http://169.254.169.254/openstack/latest"
HOME = Path("/run/guest")
SSHD = Path("/usr/sbin/sshd")
#: `%` is the folder of what the guest has for itself.
SSHD_CONFIG = """\
HostKey %/host_key
AuthorizedKeysFile %/authorized_keys
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
PrintMotd no
UseDNS no
"""
#: How long the metadata service is asked for, in seconds, and how long it has for an answer.
METADATA_S = 30
ANSWER_S = 10
#: How often it looks for interfaces that came or went, in seconds.
LOOK_S = 0.5


def say(words: str) -> None:
    """Write a line on the console, with the time since the guest's start."""
    sys.stdout.write(f"[{time.monotonic() - BEGAN:9.3f}] {words}\n")
    sys.stdout.flush()


def read_config_drive(name: str) -> bytes | None:
    """Return a file of the config drive; None where it, or the drive, is not there."""
    try:
        return (CONFIG_DRIVE / name).read_bytes()
    except OSError:
        return None


def read_metadata(name: str) -> bytes | None:
    """Return a file of the metadata service; None where it has none or nobody answers."""
    deadline = time.monotonic() + METADATA_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{METADATA}/{name}", timeout=ANSWER_S) as answer:  # noqa: S310
                found: bytes = answer.read()
                return found
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
        except OSError:
            pass
        time.sleep(LOOK_S)
    return None


class Interfaces:
    """The interfaces of the guest, each set up once."""

    def __init__(self, networks: list[dict[str, Any]], links: list[dict[str, Any]]) -> None:
        """Set nothing up yet; `networks` and `links` are those of network_data.json."""
        macs = {link["id"]: link["ethernet_mac_address"] for link in links}
        self._networks: dict[str, list[dict[str, Any]]] = {}
        for network in networks:
            self._networks.setdefault(macs[network["link"]], []).append(network)
        self._clients: dict[str, list[subprocess.Popen[bytes]]] = {}

    def look(self) -> None:
        """Set up what is new, and let go what is gone."""
        names = {name for _, name in socket.if_nameindex() if name.startswith("eth")}
        for name in sorted(names - set(self._clients)):
            self._clients[name] = self._set_up(name)
        for name in set(self._clients) - names:
            say(f"{name} is gone")
            for client in self._clients.pop(name):
                client.kill()

    def any(self) -> bool:
        """Tell whether there is one."""
        return bool(self._clients)

    def _set_up(self, name: str) -> list[subprocess.Popen[bytes]]:
        run("ip", "addr", "flush", "dev", name, "scope", "global")  # of before a reboot
        run("ip", "link", "set", name, "up")
        mac = read_mac(name)
        clients = []
        for network in self._networks.get(mac, [{"type": "ipv4_dhcp"}]):
            kind = network["type"]
            say(f"{name} ({mac}): {kind}")
            if kind == "ipv4_dhcp":
                clients.append(start_dhcp(name, "-4"))
            elif kind == "ipv6_dhcpv6-stateful":
                clients.append(start_dhcp(name, "-6"))
            elif kind == "ipv6_dhcpv6-stateless":
                clients.append(start_dhcp(name, "-6", "-S"))
            elif kind in {"ipv4", "ipv6"}:
                set_address(name, network)
        return clients


def set_address(name: str, network: dict[str, Any]) -> None:
    """Give an interface the address and the routes that its network has no DHCP for."""
    family = f"-{network['type'][-1]}"
    run(
        "ip",
        family,
        "addr",
        "replace",
        f"{network['ip_address']}/{network['netmask']}",
        "dev",
        name,
    )
    for route in network.get("routes", ()):
        target = f"{route['network']}/{route['netmask']}"
        run("ip", family, "route", "replace", target, "via", route["gateway"], "dev", name)


def read_mac(name: str) -> str:
    """Return the MAC address of an interface."""
    told = subprocess.run(
        ["ip", "-json", "link", "show", "dev", name], capture_output=True, check=False
    ).stdout
    found: str = json.loads(told)[0]["address"] if told else ""
    return found


def start_dhcp(name: str, *mode: str) -> subprocess.Popen[bytes]:
    """Start a DHCP client on an interface."""
    family = "".join(mode).replace("-", "")
    own = HOME / f"{name}.{family}"
    return subprocess.Popen(
        [
            "dhclient",
            *mode,
            "-d",
            *("-cf", HOME / "dhclient.conf"),
            *("-sf", HOME / "dhclient-script"),
            *("-lf", f"{own}.leases"),
            *("-pf", f"{own}.pid"),
            *("-e", "LAB_SERVER=guest"),
            name,
        ],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )


def run(*words: str) -> None:
    """Run a command; what it says goes to the console."""
    subprocess.run(words, check=False, stdin=subprocess.DEVNULL)


def run_user_data(data: bytes) -> None:
    """Run the user data, where it is a script."""
    if not data.startswith(b"#!"):
        say("User data is not a script: left alone")
        return
    file = HOME / "user-data"
    file.write_bytes(data)
    file.chmod(0o700)
    done = subprocess.run([file], check=False, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    say(f"User data has run; exit code {done.returncode}")


def start_sshd(keys: list[str]) -> None:
    """Let the owners of keys in as root; where the machine has no sshd, nobody comes in."""
    if not keys:
        return
    if not SSHD.exists():
        say("Keys are of no use: this machine has no sshd (Debian: openssh-server)")
        return
    (HOME / "authorized_keys").write_text("".join(f"{key.strip()}\n" for key in keys))
    host_key = HOME / "host_key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host_key))
    run("ssh-keygen", "-l", "-f", str(host_key))
    config = HOME / "sshd_config"
    config.write_text(SSHD_CONFIG.replace("%", str(HOME)))
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it is without privileges
    words = [str(SSHD), "-D", "-e", "-f", str(config)]
    subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)


def say_addresses() -> None:
    """Write the addresses on the console, once each interface has one."""
    told = subprocess.run(
        ["ip", "-json", "addr", "show", "scope", "global"], capture_output=True, check=False
    ).stdout
    for link in json.loads(told or b"[]"):
        for one in link.get("addr_info", ()):
            if "local" in one:  # the others are empty: not of this scope
                say(f"address {one['local']}/{one['prefixlen']} on {link['ifname']}")


def has_address() -> bool:
    """Tell whether any interface has an address that others can reach."""
    told = subprocess.run(
        ["ip", "-4", "-o", "addr", "show", "scope", "global"], capture_output=True, check=False
    ).stdout
    return bool(told)


def boot() -> Interfaces:
    """Set the guest up."""
    HOME.mkdir(parents=True, exist_ok=True)
    (HOME / "dhclient.conf").write_text(DHCP_CONF)  # type: ignore[name-defined]  # noqa: F821
    script = HOME / "dhclient-script"
    script.write_text(DHCP_SCRIPT)  # type: ignore[name-defined]  # noqa: F821
    script.chmod(0o755)
    run("ip", "link", "set", "lo", "up")
    told = read_config_drive("network_data.json")
    plan = json.loads(told) if told else {}
    found = Interfaces(plan.get("networks", []), plan.get("links", []))
    found.look()
    deadline = time.monotonic() + METADATA_S
    while found.any() and not has_address() and time.monotonic() < deadline:
        time.sleep(LOOK_S / 5)
    say_addresses()
    source, read = "config drive", read_config_drive
    metadata = read("meta_data.json")
    if metadata is None:
        source, read = "metadata service", read_metadata
        metadata = read("meta_data.json")
    if metadata is None:
        say("No config drive, and no metadata service answers")
        return found
    about = json.loads(metadata)
    say(f"Metadata by {source}: {about['name']}, {about['uuid']}")
    start_sshd(list(about.get("public_keys", {}).values()))
    user_data = read("user_data")
    if user_data:
        run_user_data(user_data)
    return found


def main() -> None:
    """Be the first process of the guest."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    say(f"Guest starts on {os.uname().nodename}")
    try:
        found = boot()
        say(f"{os.uname().nodename} is up")
        while True:
            signal.sigtimedwait([signal.SIGCHLD], LOOK_S)
            reap()
            found.look()
    finally:
        say("Power down")


def reap() -> None:
    """Bury processes that ended: the first process of a guest is everybody's parent."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


BEGAN = time.monotonic()
if __name__ == "__main__":
    main()
