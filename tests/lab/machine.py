"""Machines without Isthmus's lab: roots of their own over this machine's, joined by one switch.

A machine has a mount, process and network namespace. Its root is an overlay of this machine's root,
entered with `chroot`: what is written there is gone with it. /run and /tmp are its own and empty,
and so are the folders of configuration and data of all that a test installs. `systemctl` is a few
lines here that read a unit's file and run its ExecStart as root, since a chroot has no systemd.
"""

import os
import signal
import subprocess
from pathlib import Path

from tests.lab.page import Shell

from isthmus.testing.until import until

REPOSITORY = Path(__file__).parents[2]
#: Where the page has Neutron's environment: this one, so that it is not installed twice.
ENVIRONMENT = "/opt/neutron"
_EMPTY = (
    "/etc/neutron",
    "/etc/keystone",
    "/etc/glance",
    "/etc/nova",
    "/etc/placement",
    "/etc/rabbitmq",
    "/etc/openvswitch",
    "/etc/ovn",
    "/etc/mysql",
    "/var/lib/mysql",
    "/var/lib/neutron",
    "/var/lib/openvswitch",
    "/var/lib/ovn",
    "/var/lib/glance",
    "/var/lib/nova",
    "/var/lib/nova-compute",
    "/var/lib/rabbitmq",
    "/var/lib/isthmus",
    "/var/log",
    "/root/.config",
)
_ROOT = """
set -e
mount --make-rprivate /
mount -t tmpfs none {base}
mkdir {base}/upper {base}/work {base}/root
mount -t overlay overlay -o lowerdir=/,upperdir={base}/upper,workdir={base}/work {base}/root
cd {base}/root
mount -t proc proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs none run
mount -t tmpfs none tmp
for folder in {empty}; do rm -rf .$folder; mkdir -p .$folder; done
mkdir -p run/lock run/mysqld ./{environment} ./{shared} ./{repository}
mount --rbind {repository} ./{repository}
mount --rbind {repository}/.venv ./{environment}
mount --bind {shared} ./{shared}
cat >usr/local/bin/systemctl
chmod 755 usr/local/bin/systemctl
touch {shared}/ready
exec chroot . bash -c 'sleep infinity & wait'
"""
_SYSTEMCTL = r"""#!/bin/bash
# Runs units as systemd would, as root: systemctl VERB [--now] UNIT...; has what Ansible asks for.
set -e
verb=$1; shift
words=" $* "
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
runs() { [[ -e $pid ]] && kill -0 "$(<"$pid")" 2>/dev/null; }
stop() { kill "$(<"$pid")"; tail --pid="$(<"$pid")" -f /dev/null; rm -f "$pid"; }
start() {
    mapfile -t settings < <(sed -n 's/^Environment=//p' "$file")
    command=$(sed -n 's/^ExecStart=//p' "$file")
    mkdir -p "/tmp/$unit"; rm -rf "/tmp/$unit"/*
    env TMPDIR="/tmp/$unit" "${settings[@]}" setsid bash -c "echo \$\$ >$pid; exec $command" \
        >>"/var/log/$unit.log" 2>&1 </dev/null &
}
for unit in "$@"; do
    [[ $unit == -* ]] && continue
    file=/etc/systemd/system/$unit.service pid=/run/$unit.pid
    case $verb in
        show)
            [[ -e $file ]] && load=loaded || load=not-found
            runs && active=active || active=inactive
            printf 'LoadState=%s\nActiveState=%s\n' "$load" "$active" ;;
        is-enabled) [[ -e /run/$unit.enabled ]] && echo enabled || { echo disabled; exit 1; } ;;
        reload) kill -HUP "$(<"$pid")" ;;
        stop) stop ;;
        restart) runs && stop; start ;;
        enable)
            touch "/run/$unit.enabled"
            [[ $words != *" --now "* ]] || start ;;
        start) start ;;
    esac
done
"""


class Switch:
    """A namespace with one bridge; every machine has a port on it."""

    def __init__(self, name: str) -> None:
        """Make it."""
        self.netns = name
        run("ip", "netns", "add", name)
        inside(name, "ip", "link", "set", "lo", "up")
        inside(name, "ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        inside(name, "ip", "link", "set", "br0", "up")

    def close(self) -> None:
        """Take it away, with what is plugged in."""
        run("ip", "netns", "del", self.netns)


class Machine:
    """One machine; `shell` is what a person has open on it."""

    def __init__(self, name: str, switch: Switch, number: int, folder: Path) -> None:
        """Make it and its link to the switch, which has no address yet.

        Args:
            name: of its network namespace.
            switch: what it is plugged into.
            number: distinguishes its port there.
            folder: for the machine's files; it is there under the same path inside.
        """
        self.netns, self.folder = name, folder
        base, shared = folder / "base", folder / "shared"
        base.mkdir(parents=True)
        shared.mkdir()
        run("ip", "netns", "add", name)
        port = f"p{number}"
        link = ("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", port)
        run(*link, "netns", switch.netns)
        inside(switch.netns, "ip", "link", "set", port, "master", "br0", "up")
        for netns, device in ((name, "eth0"), (switch.netns, port)):
            # Open vSwitch in user space takes packets as they are: checksums must be whole.
            inside(netns, "ethtool", "-K", device, "tx", "off")
        inside(name, "ip", "link", "set", "lo", "up")
        setup = _ROOT.format(
            base=base,
            shared=shared,
            repository=REPOSITORY,
            environment=ENVIRONMENT,
            empty=" ".join(_EMPTY),
        )
        born = ["ip", "netns", "exec", name, "unshare", "--mount", "--pid", "--fork"]
        self._log = (folder / "setup.log").open("w")
        self._init = subprocess.Popen(
            [*born, "--kill-child", "bash", "-c", setup],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._init.stdin
        self._init.stdin.write(_SYSTEMCTL)
        self._init.stdin.close()
        until(lambda: (shared / "ready").exists() or self._init.poll(), what=f"{name} is set up")
        assert self._init.poll() is None, (folder / "setup.log").read_text()
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text()
        self._first = int(children.split()[0])
        enter = ["nsenter", "--target", str(self._first), "--mount", "--pid", "--net"]
        enter += ["--root", "--wd"]
        path = f"{ENVIRONMENT}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        person = f"env -i HOME=/root LC_ALL=C.UTF-8 PATH={path}"
        # Found as `bash` by what opens a shell, it opens one on the machine.
        (folder / "bash").write_text(f'#!/bin/sh\nexec {" ".join(enter)} {person} bash "$@"\n')
        (folder / "bash").chmod(0o755)
        self.shared, self._shells = shared, list[Shell]()
        self.shell = self.open_shell()

    def open_shell(self) -> Shell:
        """Open a further shell on it, with nothing set that a person has not."""
        env = {"PATH": f"{self.folder}:{os.environ['PATH']}"}
        self._shells.append(Shell(self.shared, env))
        return self._shells[-1]

    def run(self, command: str) -> str:
        """Run a command in the shell; it must succeed."""
        code, output = self.shell.run(command)
        assert code == 0, f"{self.netns}: {command}: exit code {code}\n{output}"
        return output

    def read_logs(self) -> str:
        """Return the ends of the services' logs, for whom a test has failed."""
        # A shell of its own: in the others a command may still run.
        return self.open_shell().run("tail -n 40 /var/log/*.log /var/log/*/*.log 2>/dev/null")[1]

    def close(self) -> None:
        """End all that runs on it, and take it away."""
        for shell in self._shells:
            shell.close()
        # The first process of the namespace takes the others along.
        os.kill(self._first, signal.SIGKILL)
        self._init.wait(60)
        self._log.close()
        run("ip", "netns", "del", self.netns)


def run(*command: str) -> str:
    """Run a command on this machine; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def inside(netns: str, *command: str) -> str:
    """Run a command in a network namespace; it must succeed."""
    return run("ip", "netns", "exec", netns, *command)
