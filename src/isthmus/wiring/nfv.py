"""Hosts and files joined to the NFV engine, for `isthmus nfv` and the Ansible role."""

import json
from collections.abc import Sequence
from pathlib import Path

from isthmus import errors
from isthmus.clients.machine import host as host_client
from isthmus.facts.document import to_document
from isthmus.facts.protocols import HostClient
from isthmus.facts.source import document, folder, kind
from isthmus.model.host.host_demand import HostDemand
from isthmus.model.host.host_inventory import HostInventory
from isthmus.model.host.host_plan import HostPlan
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.words import check_words
from isthmus.wiring.named_file import STDIN, read_text


def open_client(
    target: str, *, identity: str | None = None, options: Sequence[str] = ()
) -> HostClient:
    """Open a client of a host.

    Raises:
        Invalid: the target is not of the form local or [user@]host[:port].
    """
    return host_client.open_host(target, identity=identity, options=options)


def read_inventory(path: Path) -> HostInventory:
    """Read an inventory from any file that describes a host.

    Raises:
        NotFound: it is not there.
        Invalid: it describes no host, or one that cannot be.
        ProtocolError: it is garbled.
    """
    name, what = ("stdin", "the input") if path == STDIN else (path.stem, str(path))
    return document.parse_inventory(read_text(path), name=name, what=what)


def read_demand(path: Path) -> HostDemand:
    """Read a demand.

    Raises:
        NotFound: it is not there.
        Invalid: it is none, or contradicts itself.
    """
    return parse_demand(read_text(path), name=str(path))


def read_plan(path: Path) -> HostPlan:
    """Read a saved plan.

    Raises:
        NotFound: it is not there.
        Invalid: it is no plan.
    """
    text = read_text(path)
    kind.refuse_facts(text, "a plan", what=str(path))
    body = document.read_document(text, what=str(path))
    kind.refuse_other(body, "a plan", what=str(path))
    plan: HostPlan = document.parse_noun(HostPlan, body, what=f"the plan {path}")
    if faults := check_words(plan):
        raise errors.Invalid(f"the plan {path} has faults: {'; '.join(faults[:12])}")
    return plan


def read_fleet(paths: Sequence[Path]) -> tuple[list[HostInventory], list[str]]:
    """Read many inventories; a folder stands for all files in it.

    Returns:
        The inventories, and one sentence for each file that describes no host.
    """
    return folder.read_inventories(paths, read_text)


def dump(noun: object) -> str:
    """Write a noun as JSON."""
    return json.dumps(to_document(noun), indent=2) + "\n"
