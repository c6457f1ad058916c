"""Datapath keys of stretched networks: `requested-tnl-key` of the switches that Neutron makes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from isthmus.dataplane.protocols import Source, Tables
from isthmus.dataplane.row_kind import Change, Desired, Kind, Observed, Parts, Phase, Standing
from isthmus.dataplane.rows import OvnRows, read_revision, requested_switch_key
from isthmus.dataplane.scope import NETWORKS, SWITCHES, Scope
from isthmus.model.dataplane.ovn import KEY_OPTION, SWITCH_PREFIX, Capability


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A network's logical switch."""

    key: int | None  #: the datapath key that its row asks for
    given: int | None = None  #: the one that northd gave it; read where everything is
    revision: int = -1  #: of Neutron's network when the row was written; -1 where it says none


@dataclass(frozen=True, slots=True)
class SetSwitchKey(Change):
    """Set the datapath key that a switch asks for."""

    phase: ClassVar = Phase.PUT
    code: ClassVar = "ovn.switch_key.differs"
    what: ClassVar = "network without its datapath key"
    about: ClassVar = NETWORKS
    is_own: ClassVar = True
    network_id: str
    key: int

    @property
    @override
    def subject(self) -> str:
        return self.network_id

    @override
    def adds(self, standing: Standing) -> bool:
        row = standing.of(SWITCH_KEY).get(self.network_id)
        return row is None or row.key is None

    @override
    def __str__(self) -> str:
        return f"set datapath key {self.key} of network {self.network_id}"

    @override
    def write(self, tables: Tables) -> None:
        row = tables.find("Logical_Switch", SWITCH_PREFIX + self.network_id)
        if row is not None:
            row.setkey("other_config", KEY_OPTION, str(self.key))


def _desired(source: Source, scope: Scope, _observed: Observed) -> dict[str, int]:
    networks = source.networks()
    ids = networks.keys() if scope.whole else scope.ids(SWITCHES) or ()
    return {one: networks[one] for one in ids if one in networks}


def _read(rows: OvnRows, scope: Scope) -> dict[str, Switch]:
    ids = scope.ids(SWITCHES) or frozenset()
    given = rows.datapath_keys(ids) if scope.whole else {}
    found = {}
    for network_id in ids:
        row = rows.nb.find("Logical_Switch", SWITCH_PREFIX + network_id)
        if row is not None:
            found[network_id] = Switch(
                key=requested_switch_key(row),
                given=given.get(network_id),
                revision=read_revision(row),
            )
    return found


def _diff(desired: Desired, observed: Observed, _capability: Capability) -> Iterator[Change]:
    there = observed.of(SWITCH_KEY)
    for network_id, key in sorted(desired.of(SWITCH_KEY).items()):
        if network_id in there and there[network_id].key != key:
            yield SetSwitchKey(network_id, key)


def _list_holdings(observed: Observed) -> Parts:
    return {
        "switches": [
            {"network_id": network_id, "requested_key": one.key, "key": one.given}
            for network_id, one in sorted(observed.of(SWITCH_KEY).items())
        ]
    }


SWITCH_KEY: Kind[dict[str, int], dict[str, Switch]] = Kind(
    name="switch_key",
    without="packets of the network do not reach other sites",
    desired=_desired,
    read=_read,
    diff=_diff,
    holdings=_list_holdings,
)
