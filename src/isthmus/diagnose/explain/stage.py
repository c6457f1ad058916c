"""What an explanation is made of: stages by layer and place, with commands that show them."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from isthmus.diagnose.dump.form import Missing


class Layer(enum.StrEnum):
    """From what a person asks for down to the wire."""

    API = "API"
    NB = "northbound"  #: what is wanted of OVN
    SB = "southbound"  #: what OVN has made of it, and where it is
    FLOWS = "flows"  #: what a hypervisor does with packets
    TUNNEL = "tunnel"
    TAP = "tap"


class Where(enum.StrEnum):
    """Where a command is typed."""

    HERE = "here"  #: where the person is
    SITE = "site"  #: where the OVN databases of a site answer
    HOST = "host"  #: on a hypervisor
    NETNS = "netns"  #: on a hypervisor, about namespaces, which a lab shares with the machine


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and where it is typed."""

    text: str
    where: Where = Where.HERE
    place: str = ""

    def render(self, lab: str = "") -> str:
        """Write it as it is typed: on a real cloud, or in the lab of that name."""
        if self.where is Where.HERE:
            return self.text
        if lab:
            name = "" if lab == "lab" else f" --name {lab}"
            inside = f"isthmus lab shell{name} {self.place} -- {self.text}"
            return self.text if self.where is Where.NETNS else inside
        if self.where is Where.SITE:
            return f"{self.text}   # at site {self.place}"
        return f"on {self.place}: {self.text}"


def openstack(cloud: str, words: str) -> Command:
    """Return a command of the stock client."""
    return Command(f"openstack --os-cloud {cloud} {words}")


def at_site(site: str, text: str) -> Command:
    """Return a command for the OVN of a site."""
    return Command(text, Where.SITE, site)


def on_host(host: str, text: str) -> Command:
    """Return a command for a hypervisor."""
    return Command(text, Where.HOST, host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The object as one layer of one place has it."""

    layer: Layer
    place: str  #: central, a site, or a hypervisor
    site: str = ""  #: of the place; empty for central
    what: str  #: the row or device
    facts: Mapping[str, str] = field(default_factory=dict)
    commands: tuple[Command, ...]
    is_there: bool = True  #: whether it was found where it should be


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How one object is realised."""

    kind: str
    id: str
    label: str
    at: str
    stages: tuple[Stage, ...]
    by_hand: tuple[tuple[str, tuple[Command, ...]], ...]  #: steps: what for, and the commands
    missing: tuple[Missing, ...]  #: what could not be read
