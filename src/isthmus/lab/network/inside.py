"""Running a file of Python in the places of a lab: guests, hypervisors, the outside of a site."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from isthmus import errors
from isthmus.lab.plan import LabPlan
from isthmus.lab.process.ledger import Made


class _Place(Protocol):
    """Where a command is to run."""

    @property
    def kind(self) -> str:
        """Return `guest`, `hypervisor` or `outside`."""

    @property
    def name(self) -> str:
        """Return the port's id, the hypervisor's name, or the site's."""


class InsidePlaces:
    """The places of one lab, by their namespaces."""

    def __init__(
        self, plan: LabPlan, made: Made, device_of: Callable[[str], str], begin: Callable[..., Any]
    ) -> None:
        """Bind it.

        Args:
            plan: of the lab.
            made: what its ledger says that there is.
            device_of: gives the server of a port, as Nova knows it.
            begin: begins a command in a namespace.
        """
        self._plan, self._made = plan, made
        self._device_of, self._begin = device_of, begin

    def begin(self, place: _Place, script: Path, words: Sequence[str]) -> Any:
        """Begin it.

        Raises:
            Unsupported: there is no such place in the lab.
        """
        argv = [sys.executable, "-I", "-S", str(script), *words]
        return self._begin(argv, self.find_netns(place.kind, place.name))

    def find_netns(self, kind: str, name: str) -> str:
        """Find the namespace of a place.

        Raises:
            Unsupported: there is none.
        """
        if kind == "hypervisor":
            return self._plan.get_hypervisor(name).netns
        if kind == "outside":
            outside = self._plan.get_site(name).outside
            if outside is not None:
                return outside.netns
            raise errors.Unsupported(f"{name} has no outside in this lab")
        for row in self._made.servers.values():
            if row["port_id"] == name:
                return str(row["netns"])
        guest = self._made.find_guest(self._device_of(name))
        if guest is None:
            raise errors.Unsupported(f"no server of the lab has port {name}")
        return str(guest["netns"])
