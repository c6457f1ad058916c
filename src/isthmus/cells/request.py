"""What a flavor asks of Placement: Nova's own translation, on plain values.

Source:
    nova.scheduler.utils 34.0.0: `ResourceRequest`; the tests hold this file against it.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from isthmus import errors
from isthmus.cells.traits import (
    choose_spec,
    list_required,
    list_root_required,
    wants_encrypted_memory,
)
from isthmus.facts.cpuset import parse_vcpus
from isthmus.model.compute.cloud import Flavor, find_dedicated_mask
from isthmus.model.compute.device import NO_RULES, DeviceRules, list_device_requests

_KEY = re.compile(r"(resources|trait)([a-zA-Z0-9_-]{1,64})?:(.*)")
_THREADS_TRAIT = "HW_CPU_HYPERTHREADING"
_CUSTOM = "CUSTOM_"
#: Resource classes that Nova takes from extra specs beside custom ones (os-resource-classes).
STANDARD_CLASSES = frozenset(
    {
        "VCPU",
        "MEMORY_MB",
        "DISK_GB",
        "PCI_DEVICE",
        "SRIOV_NET_VF",
        "NUMA_SOCKET",
        "NUMA_CORE",
        "NUMA_THREAD",
        "NUMA_MEMORY_MB",
        "IPV4_ADDRESS",
        "VGPU",
        "VGPU_DISPLAY_HEAD",
        "NET_BW_EGR_KILOBIT_PER_SEC",
        "NET_BW_IGR_KILOBIT_PER_SEC",
        "PCPU",
        "MEM_ENCRYPTION_CONTEXT",
        "FPGA",
        "PGPU",
        "NET_PACKET_RATE_KILOPACKET_PER_SEC",
        "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC",
        "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC",
    }
)
#: How the names begin of traits that are not custom (os-traits).
_FAMILIES = ("HW_", "COMPUTE_", "MISC_", "STORAGE_", "OWNER_")
_CPU_POLICIES = ("shared", "dedicated", "mixed")
_THREAD_POLICIES = ("prefer", "isolate", "require")


@dataclass(frozen=True, slots=True)
class Group:
    """Resources with traits; those of a group with a suffix come from one provider."""

    resources: Mapping[str, int]
    required: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Request:
    """All that an instance of one flavor asks for."""

    common: Group  #: without a suffix: any provider of the tree gives any class
    groups: tuple[Group, ...] = ()  #: with suffixes
    isolate: bool = False  #: whether groups with suffixes come from different providers
    root_required: frozenset[str] = frozenset()  #: traits of the compute node itself
    #: Whether Nova asks a second time, for VCPU: hosts that set aside no dedicated CPUs report
    #: no PCPU, and take pinned instances nevertheless.
    retried: bool = False

    @property
    def is_empty(self) -> bool:
        """Tell whether it asks for no resources: Placement gives no host for that."""
        return not self.common.resources and not self.groups


def plan_request(
    flavor: Flavor, *, pinned: bool = True, devices: DeviceRules = NO_RULES
) -> Request:
    """Translate a flavor as Nova does for a server that boots from its local disk.

    Args:
        flavor: to translate.
        pinned: whether dedicated CPUs are asked for as PCPU, as Nova does first.
        devices: how Nova reads aliases of PCI devices.

    Raises:
        Unsupported: it asks for something that is not followed here.
        Invalid: it makes no sense.
    """
    specs = flavor.extra_specs
    if specs.get("accel:device_profile"):
        raise errors.Unsupported(
            f"flavor {flavor.name} has accel:device_profile, and how many of it fit is not known "
            "here"
        )
    resources: dict[str, dict[str, int]] = defaultdict(dict)
    required: dict[str, set[str]] = defaultdict(set)
    forbidden: dict[str, set[str]] = defaultdict(set)
    for key, value in specs.items():
        match = _KEY.fullmatch(key)
        if match is None:
            continue
        kind, suffix, name = match[1], match[2] or "", match[3]
        if kind == "resources":
            amount = _find_amount(name, value)
            if amount is not None:
                resources[suffix][name] = amount
        elif value in {"required", "forbidden"}:
            (required if value == "required" else forbidden)[suffix].add(name)
    if pinned:
        _add_cpus(flavor, resources[""], required[""], forbidden[""])
    _add_sizes(flavor, resources)
    if wants_encrypted_memory(flavor):
        resources[""]["MEM_ENCRYPTION_CONTEXT"] = 1
    _add_persistent_memory(flavor, resources[""])
    required[""] |= list_required(flavor)
    found = {
        suffix: Group(
            {name: amount for name, amount in resources[suffix].items() if amount},
            frozenset(required[suffix]),
            frozenset(forbidden[suffix]),
        )
        for suffix in sorted({"", *resources, *required, *forbidden})
    }
    return Request(
        found.pop(""),
        (*(one for one in found.values() if one.resources), *_list_devices(flavor, devices)),
        specs.get("group_policy") == "isolate",
        list_root_required(flavor),
        retried=pinned and specs.get("hw:cpu_policy") == "dedicated",
    )


def _list_devices(flavor: Flavor, rules: DeviceRules) -> list[Group]:
    """Return a group for each device that is asked of Placement; an unknown alias asks for none."""
    if not rules.in_placement:
        return []
    try:
        asked = list_device_requests(flavor.name, flavor.extra_specs, rules)
    except errors.Unsupported:
        return []
    found = []
    for one in asked:
        spec = one.alias.specs[0]  # Nova takes no alias of several there
        name = spec.get("resource_class") or (
            f"CUSTOM_PCI_{spec.get('vendor_id')}_{spec.get('product_id')}"
        )
        traits = [
            _normalize(trait, _FAMILIES) for trait in spec.get("traits", "").split(",") if trait
        ]
        plain = name.strip().upper()
        resources = {plain if plain in STANDARD_CLASSES else _normalize(name, ()): 1}
        found += [Group(resources, frozenset(traits))] * one.count
    return found


def _normalize(name: str, known: tuple[str, ...]) -> str:
    """Return the name of a class or trait as Placement has it."""
    plain = re.sub(r"[^0-9A-Z]+", "_", name.strip().upper())
    return plain if plain.startswith((_CUSTOM, *known)) else f"{_CUSTOM}{plain}"


def _find_amount(name: str, value: str) -> int | None:
    """Return an amount; None where Nova passes over what an extra spec says."""
    if not name.startswith(_CUSTOM) and name not in STANDARD_CLASSES:
        return None
    try:
        amount = int(value)
    except ValueError:
        return None
    return amount if amount >= 0 else None


def _add_cpus(
    flavor: Flavor, resources: dict[str, int], required: set[str], forbidden: set[str]
) -> None:
    """Ask for dedicated CPUs as PCPU, and for what thread policies need."""
    policy = choose_spec(flavor, "hw:cpu_policy", _CPU_POLICIES)
    threads = choose_spec(flavor, "hw:cpu_thread_policy", _THREAD_POLICIES)
    emulator = choose_spec(flavor, "hw:emulator_threads_policy", ("isolate", "share"))
    if policy in {"dedicated", "mixed"}:
        count = flavor.vcpus
        if policy == "mixed":
            mask = find_dedicated_mask(flavor)
            if not mask:
                raise errors.Invalid(
                    f"flavor {flavor.name} has mixed CPUs and does not say which are dedicated"
                )
            count = len(parse_vcpus(mask, flavor.vcpus))
            resources["VCPU"] = flavor.vcpus - count
        resources["PCPU"] = count + (emulator == "isolate")
    elif (threads or emulator == "isolate") and not resources.get("PCPU"):
        raise errors.Invalid(
            f"flavor {flavor.name} shares CPUs, so that Nova takes neither a thread policy nor an "
            "isolated emulator"
        )
    if threads == "isolate":
        forbidden.add(_THREADS_TRAIT)
    elif threads == "require":
        required.add(_THREADS_TRAIT)


def _add_sizes(flavor: Flavor, resources: dict[str, dict[str, int]]) -> None:
    """Add the sizes of the flavor itself, where no extra spec has taken their place."""
    taken = {name for one in resources.values() for name in one}
    if not taken & {"VCPU", "PCPU"}:
        resources[""]["VCPU"] = flavor.vcpus
    if "MEMORY_MB" not in taken:
        resources[""]["MEMORY_MB"] = flavor.ram_mib
    if "DISK_GB" not in taken:
        swap = math.ceil(flavor.swap_mib / 1024)
        resources[""]["DISK_GB"] = flavor.disk_gib + flavor.ephemeral_gib + swap


def _add_persistent_memory(flavor: Flavor, resources: dict[str, int]) -> None:
    texts = flavor.extra_specs.get("hw:pmem", "").split(",")
    for name, amount in Counter(one.strip() for one in texts if one.strip()).items():
        plain = re.sub(r"[^0-9A-Z]+", "_", name.upper())
        resources[f"CUSTOM_PMEM_NAMESPACE_{plain}"] = amount
