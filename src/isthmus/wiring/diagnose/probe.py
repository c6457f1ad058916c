"""Joins packets that `isthmus why` sends with the places of a lab."""

from isthmus import errors
from isthmus.clients.machine.shell import Begun
from isthmus.lab.network.inside import InsidePlaces
from isthmus.wiring.diagnose.ways import Ways


def open_places(ways: Ways) -> InsidePlaces:
    """Open the places from which packets can be sent.

    Raises:
        Unsupported: there is no way in.
    """
    lab = ways.opened
    if lab is None:
        raise errors.Unsupported("no way in: packets can be sent in a lab only, so far")

    def device_of(port_id: str) -> str:
        rows = ways.api.list("port", id=port_id)
        return str(rows[0].get("device_id") or "") if rows else ""

    return InsidePlaces(lab.plan, lab.ledger.read(), device_of, Begun)
