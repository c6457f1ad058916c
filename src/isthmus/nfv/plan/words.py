"""The words of a plan: what stands in files and scripts that root runs is no more than a word.

A plan is made here, but is saved, sent and edited on its way to a host.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from isthmus.facts import validity
from isthmus.model.host.host_plan import HostPlan

_ARGUMENT = re.compile(r"[A-Za-z0-9_.,:=/+-]+")
_OPTION = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_]+")
_KEY = re.compile(r"[A-Za-z0-9_-]+")
#: Fields that are said to the reader, and stand in no file.
_SAID = frozenset({"notes", "crossings"})


def check_words(plan: HostPlan) -> tuple[str, ...]:
    """List the words of a plan that are none; empty where all are."""
    faults = [
        f"{path} has characters that no file may have: {text[:60]!r}"
        for path, text in _walk("", plan)
        if not text.isprintable()
    ]
    if not validity.is_host_name(plan.host):
        faults.append(f"host is {plan.host[:60]!r}, no name of one")
    faults += [
        f"kernel_args has {arg[:60]!r}" for arg in plan.kernel_args if not _ARGUMENT.fullmatch(arg)
    ]
    for key in (*plan.nova, *plan.neutron):
        if not _OPTION.fullmatch(key):
            faults.append(f"{key[:60]!r} is no section/option")
    for key in (*plan.other_config, *plan.external_ids, *plan.tuned_variables, plan.tuned_profile):
        if not _KEY.fullmatch(key):
            faults.append(f"{key[:60]!r} is no key")
    return (*faults, *_check_ports(plan))


def _check_ports(plan: HostPlan) -> Iterator[str]:
    names: list[tuple[str, tuple[str, ...]]]
    names = [(f"dpdk_ports {one.name!r}", (one.name, one.bridge)) for one in plan.dpdk_ports]
    names += [(f"sriov {one.nic!r}", (one.nic,)) for one in plan.sriov]
    names += [(f"kernel_ports {one.nic!r}", (one.nic, one.bridge)) for one in plan.kernel_ports]
    for where, mine in names:
        yield from (f"{where}: {one!r} is no name" for one in mine if not _is_name(one))
    for port in plan.dpdk_ports:
        if not all(map(_is_name, filter(None, (port.bond, port.driver)))):
            yield f"dpdk_ports {port.name!r}: {port.bond!r} or {port.driver!r} is no name"
    addresses = [one.pci_address for one in plan.dpdk_ports]
    addresses += [one.pci_address for one in plan.sriov]
    for address in addresses:
        if address and not validity.is_address(address):
            yield f"{address[:60]!r} is no PCI address"


def _is_name(text: str) -> bool:
    return validity.is_interface_name(text)


def _walk(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if field.name not in _SAID:
                yield from _walk(f"{path}.{field.name}".lstrip("."), getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _walk(path, str(key))
            yield from _walk(f"{path}.{key}", one)
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _walk(path, one)
