"""Saved inventories, plans and demands: JSON or YAML to our nouns, every fault named at once."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar, get_args, get_type_hints

import pydantic
import yaml
from typing_extensions import override

from isthmus import errors
from isthmus.facts import dump, validity
from isthmus.facts.host import sysfs
from isthmus.facts.source import commands, ironic, kind, libvirt, lstopo, sheet
from isthmus.model.form import name_near, say_fault
from isthmus.model.host import host_inventory

Noun = TypeVar("Noun")

#: How many faults one sentence can carry before nobody reads it.
MOST_FAULTS = 12


#: Building a validator costs 100 ms, using one 0.1 ms.
_adapters: dict[type[Any], pydantic.TypeAdapter[Any]] = {}


def _adapter(noun: type[Any]) -> pydantic.TypeAdapter[Any]:
    if noun not in _adapters:
        _adapters[noun] = pydantic.TypeAdapter(noun)
    return _adapters[noun]


class _Loader(yaml.SafeLoader):
    """YAML in which no key is given twice: the first one would go without a word."""

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make a mapping.

        Raises:
            ConstructorError: a key is there twice.
        """
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    said = f"the key {key.value} is given twice"
                    raise yaml.constructor.ConstructorError(None, None, said, key.start_mark)
                seen.add(key.value)
        made: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return made


def parse_noun(noun: type[Noun], document: Any, *, what: str) -> Noun:
    """Make a noun of a document; unknown keys are faults, since they are mostly typing mistakes.

    Args:
        noun: a dataclass of `isthmus.model`.
        document: what JSON or YAML gave.
        what: how to call it in the message.

    Raises:
        Invalid: with every fault and its place.
    """
    try:
        made: Noun = _adapter(noun).validate_python(document)
    except pydantic.ValidationError as exc:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: "
            + say_fault(fault["type"], fault.get("ctx") or {}, fault["msg"])
            + (_say_near(noun, fault["loc"]) if fault["type"] in _UNKNOWN else "")
            for fault in exc.errors(include_url=False, include_input=False)
        ]
        more = len(faults) - MOST_FAULTS
        listed = "; ".join(faults[:MOST_FAULTS]) + (f"; and {more} more" if more > 0 else "")
        raise errors.Invalid(f"{what} has faults: {listed}") from exc
    return made


#: The validator's names for a key that is none.
_UNKNOWN = frozenset({"extra_forbidden", "unexpected_keyword_argument"})


def _say_near(noun: type[Any], place: Sequence[int | str]) -> str:
    """Return which key was meant, in brackets; empty where none comes near."""
    wrong = str(place[-1])
    known = [
        field.name for one in _find_nouns(noun, place[:-1]) for field in dataclasses.fields(one)
    ]
    first, _, rest = wrong.partition(".")
    if rest and first in known:
        return f" (write {first}: {{{rest}: ...}})"
    near = name_near(wrong, known)
    return f" ({near.removeprefix('; ').rstrip('?')}?)" if near.startswith("; did you") else ""


def _find_nouns(kind_of: Any, place: Sequence[int | str]) -> Iterator[type[Any]]:
    """Find the dataclasses that stand at a place of a noun."""
    if dataclasses.is_dataclass(kind_of) and isinstance(kind_of, type):
        if not place:
            yield kind_of
        elif place[0] in (hints := get_type_hints(kind_of)):
            yield from _find_nouns(hints[str(place[0])], place[1:])
        return
    # Of a list or a mapping a number or a key is gone; of `X | None` nothing is.
    is_held = bool(place) and hasattr(kind_of, "__origin__")
    for one in get_args(kind_of):
        yield from _find_nouns(one, place[1:] if is_held else place)


def read_document(text: str, *, what: str) -> Any:
    """Read JSON or YAML.

    Raises:
        Invalid: neither.
    """
    try:
        return json.loads(text)
    except ValueError:  # a number of too many digits is none that JSON's own error is made of
        pass
    except RecursionError as exc:
        raise errors.Invalid(f"{what} is neither JSON nor YAML: it nests too deep") from exc
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a safe one
    except yaml.constructor.ConstructorError as exc:
        raise errors.Invalid(f"{what} has a fault: {_say_place(exc)}") from exc
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise errors.Invalid(f"{what} is neither JSON nor YAML: {_say_place(exc)}") from exc


def _say_place(fault: Exception) -> str:
    """Return what is wrong with a text, and where, in one line."""
    said = str(fault).splitlines()[0][:120] if str(fault) else "it nests too deep"
    mark = None
    if isinstance(fault, yaml.MarkedYAMLError):
        mark = fault.problem_mark or fault.context_mark
        said = fault.problem or said
    return f"line {mark.line + 1}, column {mark.column + 1}: {said}" if mark else said


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


def parse_inventory(text: str, *, name: str, what: str = "") -> host_inventory.HostInventory:
    """Make an inventory of any text that describes a host.

    That is a saved inventory, facts, introspection data, the output of commands, hwloc's XML,
    libvirt's capabilities, or a sheet of one device.

    Args:
        text: the file's content.
        name: what to call the host where the text does not say.
        what: how to call the file in messages; the name where it is not told.

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
                raise errors.ProtocolError(f"{what or name} is not of its form: {exc}") from exc
    what = what or name
    if nearly := kind.say_nearly(text):
        raise errors.Invalid(f"{what} describes no host yet: {nearly}")
    document = read_document(text, what=what)
    if not isinstance(document, Mapping):
        raise errors.Invalid(
            f"{what} describes no host: it is no saved inventory, no facts, no introspection data, "
            "no output of lscpu -p, no XML of hwloc's or libvirt's, and no sheet"
        )
    if ironic.is_introspection(document):
        return ironic.parse_introspection(document, name=name)
    kind.refuse_other(document, "an inventory", what=what)
    saved: host_inventory.HostInventory = parse_noun(
        host_inventory.HostInventory, dict(document), what=f"the inventory {what}"
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
