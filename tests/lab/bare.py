"""Machines as a build leaves them: an SSH server, and the units that Debian's packages bring.

Packages are installed on this machine, whose root the machines share; what their scripts do after
the installation, a machine here has not had, so that the units stand for it.
"""

import zipfile
from pathlib import Path

import yaml
from tests.lab.installed import set_address
from tests.lab.machine import ENVIRONMENT, Machine, run

from isthmus.model.rack.build import BuildEvent, Happening
from isthmus.services.rabbitmq import SMALL
from isthmus.store.build_log import BuildLog

#: What a machine's own log says of it when it runs from its disk.
_PATH = (
    Happening.STARTED,
    Happening.POWERED,
    Happening.ASKED,
    Happening.WRITING,
    Happening.WRITTEN,
    Happening.REPORTED,
)
_MARIADB = (
    "test -d /var/lib/mysql/mysql || mariadb-install-db --user=root"
    " --auth-root-authentication-method=normal --skip-test-db;"
    " exec mariadbd --user=root --socket=/run/mysqld/mysqld.sock"
    " --innodb-flush-log-at-trx-commit=0"
)
#: Debian's; the one on the path becomes another user first.
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
_OVS, _OVN = "/usr/share/openvswitch/scripts/ovs-ctl", "/usr/share/ovn/scripts/ovn-ctl"
_UNITS = {
    "mariadb": f"bash -c '{_MARIADB}'",
    "memcached": "memcached -u root -l 127.0.0.1 -t 1 -m 16",
    "rabbitmq-server": f"env HOME=/var/lib/rabbitmq {RABBITMQ}",
    "openvswitch-switch": f"bash -c '{_OVS} start --no-mlockall --system-id=random;"
    " exec sleep infinity'",
    "ovn-central": f"bash -c '{_OVN} start_northd; exec sleep infinity'",
    "ovn-host": f"bash -c '{_OVN} start_controller; exec sleep infinity'",
}


def prepare(machine: Machine, address: str, key: str) -> None:
    """Give a machine its address, an SSH server that takes the key, and units of packages."""
    set_address(machine, address, 24)
    for name, command in _UNITS.items():
        unit = f"[Service]\nExecStart={command}\n"
        machine.run(f"cat >/etc/systemd/system/{name}.service <<'END'\n{unit}END")
    machine.run("mkdir /etc/mysql/mariadb.conf.d")
    machine.run("echo '!includedir /etc/mysql/mariadb.conf.d/' >/etc/mysql/my.cnf")
    # What a person has there no installed machine has, and each command over SSH runs it.
    machine.run("rm -f /root/.bashrc /root/.profile /root/.bash_profile")
    machine.run("mkdir -p /run/sshd /root/.ssh && chmod 700 /root/.ssh && ssh-keygen -A")
    machine.run(f"echo '{key}' >/root/.ssh/authorized_keys")
    serve_ssh(machine, address)


def serve_ssh(machine: Machine, address: str) -> None:
    """Start the SSH server of a machine."""
    machine.run(
        f"setsid /usr/sbin/sshd -D -e -o ListenAddress={address} >>/var/log/sshd.log 2>&1 &"
    )


def note_environment(machine: Machine, stamp: str) -> None:
    """Have the environment of the repository count as the one that the role would make."""
    machine.run(f"mkdir -p /var/lib/isthmus && printf %s '{stamp}' >/var/lib/isthmus/environment")


def make_wheel(folder: Path) -> Path:
    """Make a wheel that stands for what the environment has already."""
    file = folder / "isthmus.whl"
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr("isthmus/__init__.py", "")
    return file


def make_key(folder: Path) -> tuple[Path, str]:
    """Make a pair of SSH keys; give the private one's file, and the public one."""
    file = folder / "id"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file))
    return file, file.with_name("id.pub").read_text().strip()


def write_state(state: Path, nodes: list[str], key: Path) -> None:
    """Write a build's state in which the machines are active, and what is special of them."""
    with BuildLog(state) as log:
        for node in nodes:
            for kind in _PATH:
                log.append(BuildEvent(at=1.0, kind=kind, node=node))
    own = state / "ansible/inventory/group_vars/all"
    own.mkdir(parents=True)
    special = {
        "ansible_ssh_private_key_file": str(key),
        "isthmus_environment": ENVIRONMENT,
        "ovn_controller_datapath_type": "netdev",
        "rabbitmq_erlang_words": SMALL,
        "placement_processes": 1,
        "glance_processes": 1,
        "nova_processes": 1,
        "nova_workers": 1,
        "packages_everywhere": ["iproute2"],
        "packages_by_service": {
            "mariadb": ["mariadb-server-core", "mariadb-client-core"],
            "memcached": ["memcached"],
            "ovn_central": ["ovn-central"],
            "ovn_controller": ["openvswitch-switch", "ovn-host"],
            "rabbitmq": ["rabbitmq-server"],
            "nova_compute": ["ethtool"],
        },
    }
    (own / "machines.yaml").write_text(yaml.safe_dump(special))
