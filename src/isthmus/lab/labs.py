"""The labs of one machine: their folders, numbers, locks and ledgers.

What brings a lab up, opens it or takes it down is imported where that is done: `lab list`, which a
person types often, needs none of it.
"""

import contextlib
import ipaddress
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus import errors
from isthmus.lab.capability import check_machine, check_space
from isthmus.lab.plan import MAX_LABS, check_lab_name, management_range, plan_lab, prefix
from isthmus.lab.process import shared
from isthmus.lab.process.ledger import FILE, Ledger
from isthmus.lab.process.lock import locked
from isthmus.lab.protocols import Installed, Reporter, Tools
from isthmus.model.topology import Topology

if TYPE_CHECKING:
    from isthmus.lab.compute.bring import ComputeRequest
    from isthmus.lab.dashboard.horizon import Horizon
    from isthmus.lab.opened import OpenLab
    from isthmus.lab.tier.template import Templates

#: Names the folder in which labs are kept.
STATE_VARIABLE = "ISTHMUS_STATE"
_TEMPLATES = ".templates"
_LOCK = ".lock"
#: Longest wait for others that choose a lab's number; each takes one short command.
NUMBER_TIMEOUT_S = 60
#: A child of an `up` that was killed as it started it holds the lock until it has become its
#: program; seconds, on a busy machine.
_FORK_S = 2.0


class Labs:
    """The labs of this machine."""

    def __init__(
        self,
        folder: Path,
        tools: Tools,
        *,
        find_installed: Callable[[], Installed],
        netns_dir: Path,
    ) -> None:
        """Open the labs of this machine.

        Args:
            folder: where labs are kept, each in a folder of its name.
            tools: of the machine.
            find_installed: finds the files that the programs brought along.
            netns_dir: where the machine shows its network namespaces; beside it stands which names
                and numbers are being taken.
        """
        self.folder = folder
        self._tools = tools
        self._find_installed = find_installed
        self._netns_dir = netns_dir
        self._taken_dir = netns_dir.with_name("isthmus-labs")

    @property
    def templates(self) -> "Templates":
        """Return the cache of databases that all labs share."""
        from isthmus.lab.tier.template import Templates

        return Templates(self.folder / _TEMPLATES, self._tools.run)

    def up(
        self,
        name: str,
        topology: Topology,
        *,
        reporter: Reporter,
        stock: bool = False,
        compute: "ComputeRequest | None" = None,
        horizon: "Horizon | None" = None,
        mariadb: bool = False,
    ) -> "OpenLab":
        """Create and start a lab.

        Args:
            name: of the new lab.
            topology: what it is to have.
            reporter: hears of the progress.
            stock: whether its sites are plain ML2/OVN.
            compute: what the sites' Nova is to be, where they have one.
            horizon: serves its dashboard; None: it has none.
            mariadb: whether each tier's Neutron has a MariaDB of its own, in the place of SQLite.

        Raises:
            Exists: there is a lab of that name, whole or not.
            Invalid: a site would have a cell without a hypervisor.
            Unsupported: the machine cannot do it.
            Exhausted: the disk is full, or nearly so.
            Busy: others have been choosing a number for their lab for a minute, or a lab of that
                name is coming up from another folder.
            StepFailed: something did not come up; what there is stays, for `logs` and `down`.
        """
        from isthmus.lab.up import Extras, Up

        check_lab_name(name)
        folder = self.folder / name
        check_machine(
            self._tools,
            compute=compute is not None,
            metadata=compute is not None and compute.metadata,
            mariadb=mariadb,
        )
        self._check_absent(name)
        if compute is not None:
            compute.check(topology)
        with contextlib.ExitStack() as held:
            # Until the ledger tells the number, nobody else can know that it is taken.
            with self._choosing():
                held.enter_context(self._taken(name))
                self._check_absent(name)  # others may have come first
                check_space(self.folder, 1 + len(topology.sites), mariadb=mariadb)
                number = self._take_number(held)
                plan = plan_lab(topology, name=name, number=number, folder=folder)
                folder.mkdir(exist_ok=True, mode=0o700)
                held.enter_context(_one_at_a_time(folder))
                Ledger(folder).add(
                    "settings",
                    values={"number": plan.number, "stock": stock, "sites": _sites(topology)},
                )
            Up(
                plan,
                tools=self._tools,
                templates=self.templates,
                installed=self._find_installed(),
                reporter=reporter,
                stock=stock,
                extras=Extras(compute=compute, horizon=horizon, mariadb=mariadb),
            ).run()
        return self.open(name)

    def down(self, name: str) -> int:
        """Remove a lab; gives how many processes were alive.

        Raises:
            NotFound: there is no such lab.
            Busy: somebody is bringing it up right now.
        """
        from isthmus.lab import down as lab_down

        check_lab_name(name)
        folder = self.folder / name
        if not Ledger(folder).exists:
            raise errors.NotFound(f"lab {name!r} is not up, so there is nothing to take down")
        with _one_at_a_time(folder):
            shared.remove(self.folder, name)
            return lab_down.take_down(folder, self._tools)

    def share(self, name: str, group: str) -> Path:
        """Let the members of a group of this machine's users use a lab's clouds.

        Args:
            name: of the lab.
            group: of the machine's users; what another group was given is taken back.

        Returns:
            The `clouds.yaml` that they read.

        Raises:
            NotFound: there is no such lab.
            Invalid: there is no such group.
            Refused: this user may not give files to it.
        """
        text = self.open(name).plan.clouds_file.read_text()
        with _one_at_a_time(self.folder / name):
            return shared.share(self.folder, name, group, text)

    def find_shared(self, name: str) -> Path | None:
        """Find the `clouds.yaml` of a lab that somebody shares with this user."""
        check_lab_name(name)
        return shared.find_file(self.folder, name)

    def open_own(self, name: str) -> "OpenLab | None":
        """Open a lab; None where its clouds alone are shared with this user.

        Raises:
            NotFound: there is no such lab.
            Refused: it is another user's, and not shared.
        """
        try:
            return self.open(name)
        except errors.Refused:
            if self.find_shared(name) is None:
                raise
            return None

    def open(self, name: str) -> "OpenLab":
        """Open a lab that is up.

        Raises:
            NotFound: there is no such lab.
            Refused: it is another user's.
        """
        from isthmus.lab.opened import OpenLab
        from isthmus.lab.topology import parse_topology

        check_lab_name(name)
        folder = self.folder / name
        ledger = Ledger(folder)
        try:
            made = ledger.read()
        except PermissionError as error:
            raise _refuse_other(folder) from error
        sites = {"sites": made.settings["sites"]}
        topology = parse_topology(_dump(sites), str(folder / FILE))
        plan = plan_lab(topology, name=name, number=made.settings["number"], folder=folder)
        return OpenLab(plan, self._tools, ledger, made)

    def list_names(self) -> list[str]:
        """List the labs that are there; of another user's those that are shared with this one.

        Raises:
            Refused: one may be read by who made it alone.
        """
        if not self.folder.is_dir():
            return []
        for entry in sorted(self.folder.glob("[a-z]*")):
            if not os.access(entry, os.R_OK | os.X_OK):
                found = shared.find_shared(self.folder)
                if found:
                    return found
                raise _refuse_other(entry)
        return sorted(entry.parent.name for entry in self.folder.glob(f"[a-z]*/{FILE}"))

    def _check_absent(self, name: str) -> None:
        folder = self.folder / name
        if Ledger(folder).exists:
            state = "up" if Ledger(folder).read().whole else "there, though not whole,"
            raise errors.Exists(
                f"lab {name!r} is {state} already; see: isthmus lab down{_as(name)}"
            )
        foreign = sorted(entry.name for entry in self._netns_dir.glob(f"{prefix(name)}*"))
        if foreign:
            raise errors.Exists(
                f"there are namespaces of a lab {name!r} that {self.folder} does not know "
                f"({foreign[0]} ...): choose another --name, or set {STATE_VARIABLE} to its folder"
            )

    def _choosing(self) -> AbstractContextManager[None]:
        """Lock the choice of a lab number."""
        self.folder.mkdir(parents=True, exist_ok=True)
        busy = f"others are choosing the numbers of their labs in {self.folder}: try again"
        return locked(self.folder / _LOCK, busy, NUMBER_TIMEOUT_S)

    def _taken(self, word: str) -> AbstractContextManager[None]:
        """Take a name or a number, while a lab comes up with it, from labs of every folder."""
        self._taken_dir.mkdir(exist_ok=True, mode=0o700)
        busy = f"a lab {word!r} is coming up just now, kept in another folder"
        return locked(self._taken_dir / word, busy)

    def _take_number(self, held: contextlib.ExitStack) -> int:
        """Take the first number that no lab has, for as long as a stack holds."""
        used = set(self._used_numbers())
        for number in range(MAX_LABS):
            if number in used:
                continue
            with contextlib.ExitStack() as own:
                try:
                    own.enter_context(self._taken(str(number)))
                except errors.Busy:
                    continue
                # Behind the lock: who has let go of it has its addresses.
                if not self._is_met(number):
                    held.push(own.pop_all())
                    return number
        raise errors.Exhausted(f"this machine has {MAX_LABS} labs already")

    def _is_met(self, number: int) -> bool:
        """Tell whether the machine has an address of a lab's management links."""
        addresses = self._tools.run(["ip", "-o", "-4", "addr", "show"]).stdout
        present = re.findall(r"inet (\d+\.\d+\.\d+\.\d+)", addresses)
        return any(_in(address, management_range(number)) for address in present)

    def _used_numbers(self) -> Iterator[int]:
        for name in self.list_names():
            # Between the two looks somebody may have taken it down.
            with contextlib.suppress(errors.NotFound):
                yield Ledger(self.folder / name).read().settings["number"]


def _sites(topology: Topology) -> list[dict[str, Any]]:
    return [
        {
            "name": str(site.name),
            "hosts": list(site.hosts),
            "wan_rtt_ms": site.wan_rtt_ms,
            "flavour": "stock" if site.is_stock else "local",
            "gateways": site.gateways,
        }
        for site in topology.sites
    ]


def _refuse_other(folder: Path) -> errors.Refused:
    return errors.Refused(
        f"{folder} may be read by who made it alone: become that user, who may be root, or have "
        "its clouds shared: isthmus lab share GROUP"
    )


def _dump(value: Any) -> str:
    return json.dumps(value)  # JSON is YAML


def _as(name: str) -> str:
    return "" if name == "lab" else f" --name {name}"


def _in(address: str, links: ipaddress.IPv4Network) -> bool:
    return ipaddress.IPv4Address(address) in links


def _one_at_a_time(folder: Path) -> AbstractContextManager[None]:
    """Lock a lab against others that bring it up or down."""
    busy = f"somebody is bringing lab {folder.name!r} up or down just now"
    return locked(folder / "lock", busy, _FORK_S)
