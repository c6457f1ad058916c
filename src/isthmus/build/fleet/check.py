"""Read a fleet file and find everything that is wrong with it, in one go."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from isthmus import errors
from isthmus.build.fleet import form, rule_names, rule_networks, rule_sites
from isthmus.build.fleet.document import Document, Fault, read_document
from isthmus.build.fleet.rules import Case, Rule
from isthmus.model.rack.fleet import Fleet

#: Every rule. Add yours here.
RULES: tuple[Rule, ...] = (
    rule_names.check_lists,
    rule_names.check_twice,
    rule_names.check_machines,
    rule_names.check_references,
    rule_names.check_services,
    rule_networks.check_networks,
    rule_networks.check_addresses,
    rule_networks.check_pools,
    rule_networks.check_vips,
    rule_sites.check_counts,
    rule_sites.check_majorities,
    rule_sites.check_quorum_services,
    rule_sites.check_machines,
    rule_sites.check_layouts,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that was read."""

    fleet: Fleet | None  #: None where it has faults
    faults: tuple[Fault, ...]  #: in the order of the file
    document: Document


def check_fleet(text: str) -> Reading:
    """Read a fleet file; every fault is found, of form and of sense."""
    document = read_document(text)
    if document.values is None:
        return Reading(None, tuple(document.faults), document)
    salvage, found = form.check_form(document)
    faults = [*document.faults, *found]
    if salvage.fleet is not None:
        case = Case(salvage.fleet, document, salvage)
        for rule in RULES:
            for path, message in rule(case):
                place = document.place(salvage.original(path))
                faults.append(Fault(place.line, place.column, message))
    ordered = tuple(sorted(set(faults)))
    return Reading(None if ordered else salvage.fleet, ordered, document)


def refuse(faults: Sequence[Fault], *, source: str) -> errors.Invalid:
    """Make the error that tells every fault with its place."""
    noun = "fault" if len(faults) == 1 else "faults"
    listed = "\n".join(fault.say(source) for fault in faults)
    return errors.Invalid(
        f"{source} has {len(faults)} {noun}:\n{listed}",
        faults=[dataclasses.asdict(one) for one in faults],
    )
