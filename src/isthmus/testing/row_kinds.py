"""Desired and observed rows by hand: what is not named is empty."""

from collections.abc import Iterable, Mapping
from typing import Any

from isthmus.dataplane.kind.exits.exit_nat import EXIT_NAT, Translations
from isthmus.dataplane.kind.exits.forward import FORWARD, Forwards
from isthmus.dataplane.kind.exits.transit_network import TRANSIT_NETWORK, TransitNetworks
from isthmus.dataplane.kind.exits.transit_peer import TRANSIT_PEER, PeerPorts
from isthmus.dataplane.kind.remote_chassis import REMOTE_CHASSIS, Hypervisors
from isthmus.dataplane.kind.shadow_port import SHADOW_PORT, RemotePort, ShadowPorts
from isthmus.dataplane.kinds import KINDS
from isthmus.dataplane.row_kind import Desired, Kind, Observed

_EMPTY: Mapping[str, Any] = {kind.name: {} for kind in KINDS}


def desire(*parts: tuple[Kind[Any, Any], Any]) -> Desired:
    """Return what should be, of a few kinds."""
    return Desired({**_EMPTY, **{kind.name: part for kind, part in parts}})


def see(*parts: tuple[Kind[Any, Any], Any]) -> Observed:
    """Return what is there, of a few kinds."""
    empty = {
        REMOTE_CHASSIS.name: Hypervisors(ours={}, local={}),
        SHADOW_PORT.name: ShadowPorts(ports={}, groups=frozenset()),
        TRANSIT_NETWORK.name: TransitNetworks(networks={}, routers=frozenset(), keys={}),
        TRANSIT_PEER.name: PeerPorts(ports={}, bound={}),
        EXIT_NAT.name: Translations(ours={}, others=frozenset()),
        FORWARD.name: Forwards(ours={}, switches={}),
    }
    return Observed({**_EMPTY, **empty, **{kind.name: part for kind, part in parts}})


def replace(observed: Observed, *parts: tuple[Kind[Any, Any], Any]) -> Observed:
    """Return what is there with a few kinds changed."""
    return Observed({**observed.parts, **{kind.name: part for kind, part in parts}})


def by_id(ports: Iterable[RemotePort]) -> dict[str, RemotePort]:
    """Index shadow ports by their ids."""
    return {one.port_id: one for one in ports}
