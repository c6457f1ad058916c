"""Holdings of tiers, read from the form in which `GET /v2.0/site-holdings` gives them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus import errors
from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.lease import Block, Lease, LeaseId, PoolKind
from isthmus.model.resource import RESOURCES, ResourceType
from isthmus.model.site import SiteName

#: A row as JSON has it.
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What one tier holds; parts that the tier does not have are empty."""

    name: SiteName
    network: str  #: the only one that was asked for; empty where all were
    objects: Mapping[ResourceType, Mapping[str, Row]]  #: of Neutron's API, by id
    leases: tuple[Lease, ...]
    mappings: frozenset[tuple[str, str, SiteName]]  #: (type, id, site), withdrawn ones left out
    locations: Mapping[str, Row]  #: central: by port
    datapaths: Mapping[str, int]  #: network to key
    shadows: Mapping[str, Shadow]  #: site: by port
    ovn: Row  #: site
    pulse: Row  #: site: who of its OVN has answered, and who owes an answer; empty: nobody asks
    backlog: Mapping[str, int]  #: intents by lane, parked ones not counted
    parked: Mapping[str, int]
    epoch: Row  #: whether the tier gives numbers out, and why not

    @property
    def networks(self) -> Mapping[str, Row]:
        """Return the networks, by id."""
        return self.objects[ResourceType.NETWORK]

    @property
    def ports(self) -> Mapping[str, Row]:
        """Return the ports, by id."""
        return self.objects[ResourceType.PORT]


def parse_holdings(row: Row) -> Holdings:
    """Read the holdings of one tier.

    Raises:
        ProtocolError: a part has not the promised form.
    """
    try:
        journal = row.get("journal") or {}
        return Holdings(
            name=SiteName(str(row["id"])),
            network=str(row.get("network_id") or ""),
            objects={kind: _by(row, one.collection, "id") for kind, one in RESOURCES.items()},
            leases=tuple(_lease(one) for one in row.get("leases") or ()),
            mappings=frozenset(
                (one["type"], one["resource_id"], SiteName(one["site"]))
                for one in row.get("mappings") or ()
                if not one.get("withdrawn")
            ),
            locations=_by(row, "locations", "port_id"),
            datapaths={
                one["network_id"]: int(one["datapath_key"]) for one in row.get("datapaths") or ()
            },
            shadows={one["port_id"]: Shadow.from_dict(one) for one in row.get("shadows") or ()},
            ovn=_to_map(row.get("ovn")),
            pulse=_to_map(row.get("pulse")),
            backlog={lane: int(count["backlog"]) for lane, count in journal.items()},
            parked={lane: int(count["parked"]) for lane, count in journal.items()},
            epoch=_to_map(row.get("epoch")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise errors.ProtocolError(f"not the holdings of a tier: {error!r}") from error


def _to_map(found: Any) -> Row:
    return found if isinstance(found, Mapping) else {}


def _by(row: Row, part: str, key: str) -> dict[str, Row]:
    found = {one[key]: one for one in row.get(part) or ()}
    odd = next((one for one in found if not isinstance(one, str)), None)
    if odd is not None:  # sorted with those of other tiers it would be in their way
        raise ValueError(f"{odd!r} is no id, in {part}")
    return found


def _lease(one: Row) -> Lease:
    first, last = int(one["first"]), int(one["last"])
    if first > last:
        raise ValueError(f"a lease of {first} to {last}")
    return Lease(
        id=LeaseId(str(one["id"])),
        kind=PoolKind(one["kind"]),
        pool_id=str(one["pool_id"]),
        site=SiteName(str(one["site"])),
        block=Block(first, last),
    )


def by(rows: Iterable[Row], key: str) -> dict[str, Row]:
    """Index the rows of a part of `ovn` by a key."""
    return {one[key]: one for one in rows}
