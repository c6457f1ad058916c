"""One state of the fault matrix, and its steps as a person types them.

A step is a line: `isthmus WORDS` as a person types it; `kill PROCESS` and `stop PROCESS` (SIGKILL,
SIGSTOP); `nb SITE WORDS` and `sb SITE WORDS` for ovn-nbctl and ovn-sbctl; `sh PLACE TEXT` for a
shell there; `sql TIER TEXT` in the tier's Neutron database; `lock TIER` and `unlock TIER` for a
transaction there that may write and does not end; `fill TIER`, `empty TIER`, `fail TIER` and
`mend TIER` for the disk under its databases. Words in braces are ids of the lab
(`test_fault_matrix.World`).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One state that is wrong."""

    name: str
    inject: tuple[str, ...]
    code: str = ""  #: of the audit's finding; empty where no audit is possible
    place: str = "site1"  #: where the finding is
    status: str = ""  #: pattern of what `isthmus status` says; empty where it does not look there
    away: str = ""  #: what both commands say, ending with 3, where central cannot be asked
    heals: tuple[str, ...] = ()  #: the remedy: steps that are printed, in the order in which to run
    by_hand: tuple[str, ...] = ()  #: what undoes it where the remedy is no command
    within_s: int = 120  #: until the audit is clean behind the remedy
    gap: str = ""  #: why it is not named yet
    borne: str = ""  #: why nobody has to be told: all goes on
    again: str = ""  #: a step that succeeds once it is mended, where that is done before one looks
    packets: str = ""  #: server and address: no answer while it lasts, one before and behind

    @property
    def undone_by(self) -> tuple[str, ...]:
        """Return the steps behind which all is as it was."""
        return self.heals or self.by_hand


def print_step(step: str) -> str:
    """Write a step as a person types it in a lab, and a remedy prints it."""
    verb, _, rest = step.partition(" ")
    place, _, words = rest.partition(" ")
    if verb in _SIGNALS:
        return f"isthmus lab kill {rest}{_SIGNALS[verb]}"
    if verb in _LOCKS:
        return f"{_LOCKS[verb]} (in the Neutron database of {rest})"
    if verb in _DISKS:
        return _DISKS[verb].format(rest)
    if verb == "sh":
        return f"isthmus lab shell {place} -- sh -c '{words}'"
    if verb in _TOOLS:
        return f"isthmus lab shell {place} -- {_TOOLS[verb]} {words}"
    return step if verb == "isthmus" else f"{words} (in the Neutron database of {place})"


def print_remedy(step: str) -> str:
    """Write a step as a remedy prints it: one of OVN's tools without the way to the site."""
    verb, _, rest = step.partition(" ")
    return f"{_TOOLS[verb]} {rest.partition(' ')[2]}" if verb in _TOOLS else step


_SIGNALS = {"kill": "", "stop": " --signal STOP"}
_LOCKS = {"lock": "BEGIN IMMEDIATE", "unlock": "ROLLBACK"}
_DISKS = {
    "fill": "cat /dev/zero > fill (on the disk of the databases of {})",
    "empty": "rm fill (on the disk of the databases of {})",
    "fail": "echo 1 > trigger_fs_error (in /sys/fs/ext4, of the disk of the databases of {})",
    "mend": "umount, e2fsck and mount (of the disk of the databases of {})",
}
_TOOLS = {"nb": "ovn-nbctl", "sb": "ovn-sbctl"}
