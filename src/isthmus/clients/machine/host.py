"""Clients of one host: this one, or another over ssh. Both feed a script to `sh`, nothing more.

`ssh` is the system's own, so that a person's keys, agent, jump hosts and known hosts count; it
never asks a question, since nobody would see it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from isthmus import errors
from isthmus.clients.machine import shell

#: ssh's own exit code for "could not connect" (ssh(1), EXIT STATUS).
_SSH_FAILED = 255
#: The script answers before this long, or the host counts as unreachable.
_CONNECT_TIMEOUT_S = 10
_TARGET = re.compile(
    r"^(?:(?P<user>[\w.-]+)@)?(?P<host>[\w.-]+|\[[0-9a-fA-F:.]+\])(?::(?P<port>\d+))?$"
)
#: Names that mean this very host.
LOCAL_NAMES = frozenset({"", "local", "localhost"})


@dataclass(frozen=True, slots=True)
class LocalHost:
    """This host."""

    name: str = "local"

    def run_script(self, script: str, *, timeout_s: float = 60.0) -> shell.Output:
        """Run a script here.

        Raises:
            TimedOut: it ran too long.
        """
        return shell.run(["sh", "-s"], stdin=script, timeout_s=timeout_s, check=False)


@dataclass(frozen=True, slots=True)
class SshHost:
    """Another host."""

    name: str
    argv: Sequence[str]  #: ssh and everything up to the remote command

    def run_script(self, script: str, *, timeout_s: float = 60.0) -> shell.Output:
        """Run a script there.

        Raises:
            Unreachable: ssh could not connect or log in.
            TimedOut: the script ran too long.
        """
        output = shell.run([*self.argv, "sh -s"], stdin=script, timeout_s=timeout_s, check=False)
        if output.exit_code == _SSH_FAILED:
            said = output.stderr.strip().splitlines()
            raise errors.Unreachable(
                f"ssh to {self.name} failed: {said[-1] if said else 'it said nothing'}"
            )
        return output


def open_host(
    target: str, *, identity: str | None = None, options: Sequence[str] = ()
) -> LocalHost | SshHost:
    """Open a client of `local` or `[user@]host[:port]`.

    Args:
        target: which host.
        identity: a private key's file, where ssh's own choice is not wanted.
        options: more `-o` options for ssh.

    Raises:
        Invalid: the target is not of this form.
    """
    if target in LOCAL_NAMES:
        return LocalHost()
    match = _TARGET.match(target)
    if match is None:
        raise errors.Invalid(f"{target!r} is no host: give local or [user@]host[:port]")
    argv = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_TIMEOUT_S}"]
    for option in options:
        argv += ["-o", option]
    if identity:
        argv += ["-i", identity, "-o", "IdentitiesOnly=yes"]
    if match["port"]:
        argv += ["-p", match["port"]]
    if match["user"]:
        argv += ["-l", match["user"]]
    return SshHost(target, (*argv, "--", match["host"].strip("[]")))
