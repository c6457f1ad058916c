"""What is done before a guest's own first process runs: its view of the machine. Pure: a script.

A guest is for trying things, not for keeping people apart: it shares the machine's kernel. But its
user data must not reach the machine by mistake. So it has its own processes, mounts, terminals and
host name; the machine's files are there to be read alone; what it writes is in its memory; it sees
neither the machine's devices and passwords nor the lab's folder; and its root may neither mount nor
load modules nor open raw devices. Of the kernel's settings it may change those of its own network.
"""

from collections.abc import Sequence
from pathlib import Path

#: What a guest's root may not do to the machine whose kernel it shares.
_LOST = (
    "sys_admin",
    "sys_module",
    "sys_rawio",
    "sys_boot",
    "sys_time",
    "sys_ptrace",
    "dac_read_search",
    "mknod",
    "syslog",
)

#: Arguments: the guest's folder, the lab's folder, the host name.
SCRIPT = """\
set -e
guest=$1 lab=$2
hostname "$3" 2>/dev/null || echo "$3" >/proc/sys/kernel/hostname
mount -n -t tmpfs -o mode=755 guest /mnt
mkdir /mnt/config-2 /mnt/dev
[ ! -d "$guest/config" ] || cp -r "$guest/config/." /mnt/config-2
cp "$guest/init" /mnt/init
chmod 755 /mnt/init
for device in null zero full random urandom tty; do
    : >"/mnt/dev/$device"
    mount -n --bind "/dev/$device" "/mnt/dev/$device"
done
ln -s /proc/self/fd /mnt/dev/fd
mkdir /mnt/dev/pts
mount -n -t devpts -o newinstance,ptmxmode=666,mode=620 guest /mnt/dev/pts
ln -s pts/ptmx /mnt/dev/ptmx
if [ -e /etc/shadow ]; then
    (umask 077 && sed 's/:[^:]*/:*/' /etc/shadow >/mnt/shadow)
    mount -n --bind /mnt/shadow /etc/shadow
fi
cut -d' ' -f5 /proc/self/mountinfo | sort -u | while read -r place; do
    case $place in
        /proc | /mnt*) ;;
        *) mount -n -o remount,bind,ro "$place" 2>/dev/null || true ;;
    esac
done
mount -n --bind /proc/sys /proc/sys
mount -n -o remount,bind,ro /proc/sys
mount -n --bind /proc/sys/net /proc/sys/net
mount -n -o remount,bind,rw /proc/sys/net
[ ! -e /proc/sysrq-trigger ] || mount -n --bind /dev/null /proc/sysrq-trigger
mount -n -t tmpfs -o mode=700 none "$lab"
mount -n --rbind /mnt/dev /dev
for place in /tmp /var/tmp /root /home; do mount -n -t tmpfs -o mode=1777 none "$place"; done
mount -n --move /mnt /run
cd /
exec setpriv --bounding-set LOST --inh-caps=-all /run/init
"""


def render_script() -> str:
    """Write the script."""
    return SCRIPT.replace("LOST", ",".join(f"-{name}" for name in _LOST))


def boot_words(guest: Path, lab: Path, hostname: str) -> Sequence[str]:
    """Return the command that starts a guest, to be run in its network namespace.

    Args:
        guest: the guest's folder, with its image and its config drive.
        lab: the lab's folder.
        hostname: what it is called.
    """
    own = ("--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc")
    script = ("sh", "-c", render_script(), "guest")
    return ("unshare", *own, "--", *script, str(guest), str(lab), hostname)
