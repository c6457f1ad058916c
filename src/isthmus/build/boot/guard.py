"""The guard of disks: what holds something is written only where the plan says so."""

from isthmus.model.rack.machine import Machine


def render_guard(machine: Machine, report: str, tell: str) -> str:
    """Write the shell commands that stop an installer before a disk that is not empty.

    Args:
        machine: whose disks.
        report: URL that reports are sent to.
        tell: the command that posts its first argument to its second: curl's or wget's.
    """
    disks = " ".join(filter(None, (machine.disks.device, machine.disks.mirror)))
    return (
        f"for d in {disks}; do "
        'if [ -n "$(blkid -p $d)" ]; then '
        f'{tell} "detail=the+disk+$d+is+not+empty" {report}/failed; '
        "while :; do sleep 3600; done; fi; done"
    )


CURL = "curl -fsS -m 20 -d"
#: busybox's: the words after it are the data and the URL.
WGET = "wget -q -O - --post-data"
