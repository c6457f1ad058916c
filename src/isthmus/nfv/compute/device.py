"""The PCI devices of live hosts: pools of equal ones, and what of them an instance may take.

Source:
    nova.pci.stats 34.0.0: `PciDeviceStats`; nova.objects.pci_device_pool.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus import errors
from isthmus.model.compute.device import DeviceRequest
from isthmus.model.host.host_demand import Affinity
from isthmus.nfv.plan.fit.pools import Pool, Pools, Request

_PF, _VDPA = "type-PF", "vdpa"
#: What tells the pools of one card from those of another, and is no property of a device.
_PLACES = frozenset({"address", "rp_uuid", "parent_ifname"})
#: What an alias says for Placement alone.
_OF_PLACEMENT = frozenset({"resource_class", "traits"})


@dataclass(frozen=True, slots=True)
class Device:
    """What the devices of some pools have in common."""

    key: str
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of one host."""

    pools: Pools = ()
    kinds: tuple[Device, ...] = ()


def parse_devices(text: str, *, host: str) -> Devices:
    """Read the pools of a host, in the order in which Nova looks at them.

    Args:
        text: its `pci_stats`; empty where it has none.
        host: its name.

    Raises:
        ProtocolError: it is not what Nova writes.
    """
    if not text:
        return Devices()
    try:
        rows = [_data(one) for one in _data(json.loads(text))["objects"]]
        rows.sort(key=lambda one: len(one["tags"]))
        pools, kinds, cards = [], {}, defaultdict(set)
        for row in rows:
            cards[row["tags"].get("address")].add(row["tags"].get("dev_type"))
        for row in rows:
            tags = {str(key): str(value) for key, value in row["tags"].items()}
            own = {key: value for key, value in tags.items() if key not in _PLACES}
            own |= {"vendor_id": row["vendor_id"], "product_id": row["product_id"]}
            key = json.dumps(own, sort_keys=True)
            kinds[key] = Device(key, {name: one.lower() for name, one in own.items()})
            card = tags.get("address", "")
            whole = tags.get("dev_type") == _PF
            card = card if _PF in cards[card] and len(cards[card]) > 1 else ""
            pools.append(Pool(key, row["numa_node"], int(row["count"]), card, whole))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise errors.ProtocolError(
            f"pci_stats of compute node {host} is not what Nova writes: {exc!r}"
        ) from exc
    return Devices(tuple(pools), tuple(kinds.values()))


def _data(body: Any) -> Any:
    return body["nova_object.data"]


def plan_requests(devices: Devices, asked: Sequence[DeviceRequest]) -> tuple[Request, ...]:
    """Say by which pools of a host requests may be served.

    Args:
        devices: of the host.
        asked: what an instance takes.

    Raises:
        Invalid: a policy is none of Nova's.
    """
    found = []
    for one in asked:
        try:
            policy = Affinity(one.policy)
        except ValueError:
            raise errors.Invalid(f"{one.policy} is no NUMA policy of devices") from None
        among = frozenset(device.key for device in devices.kinds if _serves(device.properties, one))
        found.append(Request("", policy, one.count, among))
    return tuple(found)


def _serves(device: Mapping[str, str], asked: DeviceRequest) -> bool:
    specs = asked.alias.specs
    if not any(_matches(device, spec) for spec in specs):
        return False
    kind = device.get("dev_type")
    if kind in {_PF, _VDPA} and all(one.get("dev_type") != kind for one in specs):
        return False
    if device.get("remote_managed") == "true" and all(
        one.get("remote_managed", "").lower() != "true" for one in specs
    ):
        return False
    moves = {one.get("live_migratable") for one in specs}
    return moves not in ({"true"}, {"false"}) or device.get("live_migratable") in moves


def _matches(device: Mapping[str, str], spec: Mapping[str, str]) -> bool:
    return all(
        device.get(key) == value.lower() for key, value in spec.items() if key not in _OF_PLACEMENT
    )
