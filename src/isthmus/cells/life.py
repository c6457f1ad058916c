"""The life of a cell: which one is meant, and what stands against a change."""

from collections.abc import Sequence

from isthmus import errors
from isthmus.model.compute.cloud import CELL0_UUID, Cell, CellAddress
from isthmus.model.compute.health import CellDetail
from isthmus.model.form import counted, name_near


def get_cell(cells: Sequence[CellAddress], name: str) -> CellAddress:
    """Return the cell of a name or a uuid.

    Raises:
        NotFound: there is none.
        Invalid: several have that name.
    """
    found = [one for one in cells if one.cell.uuid == name]
    found = found or [one for one in cells if one.cell.name == name]
    if not found:
        near = name_near(name, [one.cell.name for one in cells])
        raise errors.NotFound(f"there is no cell {name!r}{near}")
    if len(found) > 1:
        uuids = ", ".join(one.cell.uuid for one in found)
        raise errors.Invalid(f"several cells have the name {name!r}: give one of {uuids}")
    return found[0]


def check_change(cell: Cell) -> None:
    """Check that a cell is one that can be enabled, disabled and removed.

    Raises:
        Unsupported: it is cell0.
    """
    if cell.uuid == CELL0_UUID:
        raise errors.Unsupported("cell0 has the servers that no host took: it stays as it is")


def check_removal(detail: CellDetail) -> None:
    """Check that nothing is left in a cell.

    Raises:
        Unreachable: its database does not answer, so nobody knows.
        InUse: it has servers or hosts.
    """
    state = detail.state
    cell = state.cell
    check_change(cell)
    if cell.error:
        raise errors.Unreachable(
            f"cell {cell.name} does not answer, so nobody knows what is in it: {cell.error}"
        )
    if state.servers:
        raise errors.InUse(
            f"cell {cell.name} has {counted(len(state.servers), 'server')}: delete them first "
            "(isthmus cell servers)"
        )
    hosts = {one.name for one in state.hosts}
    hosts |= {one.host for one in detail.services if one.binary == "nova-compute"}
    if hosts:
        raise errors.InUse(
            f"cell {cell.name} has {counted(len(hosts), 'host')} ({', '.join(sorted(hosts)[:3])}): "
            "stop nova-compute there, and run openstack compute service delete"
        )
