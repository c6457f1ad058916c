"""What a flavor asks of Placement: Nova's own translation, on plain values.

Source:
    nova.scheduler.utils: `ResourceRequest` (34.0.0); the tests hold this file against it.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from isthmus import errors
from isthmus.model.compute.cloud import Flavor

_KEY = re.compile(r"(resources|trait)([a-zA-Z0-9_-]{1,64})?:(.*)")
#: What Nova's scheduler requires of every root, unless a host is being disabled.
DISABLED_TRAIT = "COMPUTE_STATUS_DISABLED"
_THREADS_TRAIT = "HW_CPU_HYPERTHREADING"
_TPM_MODELS = {"tpm-tis": "COMPUTE_SECURITY_TPM_TIS", "tpm-crb": "COMPUTE_SECURITY_TPM_CRB"}
_TPM_VERSIONS = {"1.2": "COMPUTE_SECURITY_TPM_1_2", "2.0": "COMPUTE_SECURITY_TPM_2_0"}
#: Extra specs that ask Placement for more than is followed here.
_UNFOLLOWED = ("accel:device_profile", "hw:mem_encryption", "hw:maxphysaddr_mode")


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


def plan_request(flavor: Flavor) -> Request:
    """Translate a flavor as Nova does for a server that boots from its local disk.

    Raises:
        Unsupported: it asks for something that is not followed here.
        Invalid: it makes no sense.
    """
    specs = flavor.extra_specs
    for name in _UNFOLLOWED:
        if name in specs:
            raise errors.Unsupported(
                f"flavor {flavor.name} has {name}, and how many of it fit is not known here"
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
            resources[suffix][name] = _read_amount(flavor, key, value)
        elif value in {"required", "forbidden"}:
            (required if value == "required" else forbidden)[suffix].add(name)
    _add_cpus(flavor, resources[""], required[""], forbidden[""])
    _add_sizes(flavor, resources)
    _add_devices(flavor, resources[""], required[""])
    named = {*resources, *required, *forbidden}
    found = {
        suffix: Group(
            {name: amount for name, amount in resources[suffix].items() if amount},
            frozenset(required[suffix]),
            frozenset(forbidden[suffix]),
        )
        for suffix in sorted(named)
    }
    return Request(
        found.pop(""),
        tuple(one for one in found.values() if one.resources),
        specs.get("group_policy") == "isolate",
    )


def _read_amount(flavor: Flavor, key: str, value: str) -> int:
    if not value.isdecimal():
        raise errors.Invalid(f"flavor {flavor.name} has {key}={value!r}, which is no amount")
    return int(value)


def _add_cpus(
    flavor: Flavor, resources: dict[str, int], required: set[str], forbidden: set[str]
) -> None:
    """Ask for dedicated CPUs as PCPU, and for what thread policies need."""
    specs = flavor.extra_specs
    policy = specs.get("hw:cpu_policy", "")
    if policy in {"dedicated", "mixed"}:
        pinned = flavor.vcpus
        if policy == "mixed":
            mask = specs.get("hw:cpu_dedicated_mask") or specs.get("hw:cpu_realtime_mask") or ""
            pinned = count_cpus(mask, flavor.vcpus)
            resources["VCPU"] = flavor.vcpus - pinned
        isolated = specs.get("hw:emulator_threads_policy") == "isolate"
        resources["PCPU"] = pinned + isolated
    threads = specs.get("hw:cpu_thread_policy")
    if threads == "isolate":
        forbidden.add(_THREADS_TRAIT)
    elif threads == "require":
        required.add(_THREADS_TRAIT)


def count_cpus(mask: str, vcpus: int) -> int:
    """Count the virtual CPUs that a mask such as 0-3,^1 names; ^0 alone means all others.

    Raises:
        Invalid: it is no mask.
    """
    kept: set[int] = set()
    without: set[int] = set()
    for part in filter(None, (one.strip() for one in mask.split(","))):
        match = re.fullmatch(r"(\^?)(\d+)(?:-(\d+))?", part)
        if match is None:
            raise errors.Invalid(f"{mask!r} is no mask of CPUs")
        chosen = range(int(match[2]), int(match[3] or match[2]) + 1)
        (without if match[1] else kept).update(chosen)
    return len((kept or set(range(vcpus))) - without)


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


def _add_devices(flavor: Flavor, resources: dict[str, int], required: set[str]) -> None:
    """Ask for persistent memory, a TPM, secure boot, and affinity by socket."""
    specs = flavor.extra_specs
    labels = [one.strip() for one in specs.get("hw:pmem", "").split(",") if one.strip()]
    for name, amount in Counter(labels).items():
        plain = re.sub(r"[^0-9A-Z]+", "_", name.upper())
        key = f"CUSTOM_PMEM_NAMESPACE_{plain}"
        resources[key] = resources.get(key, 0) + amount
    version = specs.get("hw:tpm_version")
    if version:
        model = specs.get("hw:tpm_model", "tpm-tis")
        if model not in _TPM_MODELS or version not in _TPM_VERSIONS:
            raise errors.Invalid(f"there is no TPM {model!r} of version {version!r}")
        required.add(_TPM_MODELS[model])
        required.add(_TPM_VERSIONS[version])
    if specs.get("os:secure_boot") == "required":
        required.add("COMPUTE_SECURITY_UEFI_SECURE_BOOT")
    if specs.get("hw:pci_numa_affinity_policy") == "socket":
        required.add("COMPUTE_SOCKET_PCI_NUMA_AFFINITY")
