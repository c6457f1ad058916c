"""Saved inventories, plans and demands: JSON or YAML to our nouns, every fault named at once."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import pydantic
import yaml

from isthmus import errors
from isthmus.facts import dump, validity
from isthmus.facts.host import sysfs
from isthmus.facts.source import commands, ironic, libvirt, lstopo, sheet
from isthmus.model.form import say_fault
from isthmus.model.host import host_inventory

Noun = TypeVar("Noun")

#: How many faults one sentence can carry before nobody reads it.
MOST_FAULTS = 12


#: Building a validator costs 100 ms, using one 0.1 ms.
_adapters: dict[type[Any], pydantic.TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> pydantic.TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = pydantic.TypeAdapter(kind)
    return _adapters[kind]


def parse_noun(kind: type[Noun], document: Any, *, what: str) -> Noun:
    """Make a noun of a document; unknown keys are faults, since they are mostly typing mistakes.

    Args:
        kind: a dataclass of `isthmus.model`.
        document: what JSON or YAML gave.
        what: how to call it in the message.

    Raises:
        Invalid: with every fault and its place.
    """
    try:
        noun: Noun = _adapter(kind).validate_python(document)
    except pydantic.ValidationError as exc:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: "
            + say_fault(fault["type"], fault.get("ctx") or {}, fault["msg"])
            for fault in exc.errors(include_url=False, include_input=False)
        ]
        more = len(faults) - MOST_FAULTS
        listed = "; ".join(faults[:MOST_FAULTS]) + (f"; and {more} more" if more > 0 else "")
        raise errors.Invalid(f"{what} has faults: {listed}") from exc
    return noun


def read_document(text: str, *, what: str) -> Any:
    """Read JSON or YAML.

    Raises:
        Invalid: neither.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        pass
    except RecursionError as exc:
        raise errors.Invalid(f"{what} is neither JSON nor YAML: it nests too deep") from exc
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        place = str(exc).splitlines()[0][:120] if str(exc) else "it nests too deep"
        raise errors.Invalid(f"{what} is neither JSON nor YAML: {place}") from exc


def _parse_sheet(text: str, *, name: str) -> host_inventory.HostInventory:
    listed = sheet.parse_sheet(text, name=name)
    if len(listed) > 1:
        names = ", ".join(one.name for one in listed[:4])
        raise errors.Invalid(
            f"{name} lists {len(listed)} devices ({names} ...): plan them with isthmus nfv fleet"
        )
    return listed[0]


class ParseText(Protocol):
    """What makes an inventory of a text of one kind."""

    def __call__(self, text: str, *, name: str) -> host_inventory.HostInventory:
        """Make an inventory; `name` where the text has none."""


#: How a text of each kind is known, and what reads it.
TEXTS: tuple[tuple[Callable[[str], bool], ParseText], ...] = (
    (lstopo.is_topology, lstopo.parse_topology),
    (libvirt.is_capabilities, libvirt.parse_capabilities),
    (sheet.is_sheet, _parse_sheet),
    (commands.is_output, commands.parse_output),
)


def parse_inventory(text: str, *, name: str) -> host_inventory.HostInventory:
    """Make an inventory of any text that describes a host.

    That is a saved inventory, facts, introspection data, the output of commands, hwloc's XML,
    libvirt's capabilities, or a sheet of one device.

    Args:
        text: the file's content.
        name: what to call the host where the text does not say; also names it in messages.

    Raises:
        Invalid: it is none of them, or cannot be.
        ProtocolError: it is one of them, garbled.
    """
    if text.startswith(dump.MAGIC):
        return dataclasses.replace(sysfs.parse_host(dump.parse_facts(text)), source="facts")
    for is_one, parse_one in TEXTS:
        if is_one(text):
            try:
                return parse_one(text, name=name)
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as exc:
                raise errors.ProtocolError(f"{name} is not of its form: {exc}") from exc
    document = read_document(text, what=name)
    if not isinstance(document, Mapping):
        raise errors.Invalid(
            f"{name} describes no host: it is no saved inventory, no facts, no introspection data, "
            "no output of lscpu -p, no XML of hwloc's or libvirt's, and no sheet"
        )
    if ironic.is_introspection(document):
        return ironic.parse_introspection(document, name=name)
    saved: host_inventory.HostInventory = parse_noun(
        host_inventory.HostInventory, dict(document), what=f"the inventory {name}"
    )
    nics = tuple(
        dataclasses.replace(nic, pci_address=nic.pci_address.lower()) for nic in saved.nics
    )
    return validity.require_valid(dataclasses.replace(saved, nics=nics))


def parse_inventories(text: str, *, name: str) -> tuple[host_inventory.HostInventory, ...]:
    """Make the inventories of any text that describes one host, or a sheet of many.

    Raises:
        Invalid: it describes none, or one that cannot be.
        ProtocolError: it is garbled.
    """
    if sheet.is_sheet(text):
        return sheet.parse_sheet(text, name=name)
    return (parse_inventory(text, name=name),)
