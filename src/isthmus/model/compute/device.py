"""PCI devices as flavors ask for them: by aliases, which `nova.conf` explains."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from isthmus import errors

ALIAS_SPEC = "pci_passthrough:alias"
_ASKED = re.compile(r"\s*([^:,]+?)\s*:\s*(\d+)\s*")


@dataclass(frozen=True, slots=True)
class DeviceAlias:
    """What one alias stands for."""

    name: str
    policy: str  #: how near to the NUMA nodes of a guest its devices are to be
    specs: tuple[Mapping[str, str], ...]  #: a device is taken that is as one of them says


@dataclass(frozen=True, slots=True)
class DeviceRules:
    """How Nova reads aliases, and whether it asks Placement for devices."""

    aliases: Mapping[str, DeviceAlias] = field(default_factory=dict)
    in_placement: bool = False  #: [filter_scheduler] pci_in_placement


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """So many devices that one alias stands for."""

    alias: DeviceAlias
    count: int
    policy: str


#: Where no file was read that says more.
NO_RULES = DeviceRules()


def list_device_requests(
    flavor: str, specs: Mapping[str, str], rules: DeviceRules
) -> tuple[DeviceRequest, ...]:
    """Return what devices an instance of a flavor takes, in Nova's order.

    Args:
        flavor: its name.
        specs: its extra specs.
        rules: of the cloud.

    Raises:
        Invalid: what it asks for makes no sense.
        Unsupported: it names an alias that nobody explains.
    """
    text = specs.get(ALIAS_SPEC, "")
    if not text:
        return ()
    found = []
    for one in text.split(","):
        match = _ASKED.fullmatch(one)
        if match is None:
            raise errors.Invalid(f"flavor {flavor} has {ALIAS_SPEC}={text}")
        alias = rules.aliases.get(match[1])
        if alias is None:
            raise errors.Unsupported(
                f"flavor {flavor} has {ALIAS_SPEC}={match[1]}, which no [pci] alias in "
                "nova.conf here explains: devices are not counted"
            )
        policy = specs.get("hw:pci_numa_affinity_policy") or alias.policy
        found.append(DeviceRequest(alias, int(match[2]), policy))
    return tuple(one for one in found if one.count)
