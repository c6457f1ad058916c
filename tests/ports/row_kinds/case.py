"""What a case of a kind of rows says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed
from isthmus.testing.site_tables import DATAPATH_KEY, NET, MemoryTables


def lay_nothing(_tables: Tables) -> None:
    """Lay no rows."""


def lay_switch(tables: Tables) -> Any:
    """Lay the switch of `NET`, as Neutron writes it."""
    switch = tables.insert("Logical_Switch")
    switch.name = f"neutron-{NET}"
    switch.other_config = {"requested-tnl-key": str(DATAPATH_KEY)}
    return switch


def lay_port(tables: Tables, switch: Any, name: str, **columns: Any) -> Any:
    """Lay a switch port."""
    port = tables.insert("Logical_Switch_Port")
    port.name = name
    for column, value in columns.items():
        setattr(port, column, value)
    switch.addvalue("ports", port)
    return port


def lay_chassis(
    tables: Tables, name: str, encap_ip: str, hostname: str = "", **columns: Any
) -> None:
    """Lay a hypervisor with a tunnel address."""
    encap = tables.insert("Encap")
    encap.type, encap.ip, encap.chassis_name = "geneve", encap_ip, name
    row = tables.insert("Chassis")
    row.name, row.hostname, row.encaps = name, hostname, [encap]
    for column, value in columns.items():
        setattr(row, column, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The site's tables and what OVN has; what a comparison finds; what OVN has afterwards."""

    name: str
    tables: Callable[[], MemoryTables]
    northbound: Callable[[Tables], Any] = lay_switch
    southbound: Callable[[Tables], Any] = lay_nothing
    finds: list[tuple[str, str]]  #: (drift code, row) of the first comparison, in its order
    holds: Callable[[Observed], bool]  #: of OVN, once nothing is left to do
