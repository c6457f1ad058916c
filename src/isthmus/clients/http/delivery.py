"""The two ends of a delivery: wanted state from central's Neutron, items to a site's Neutron."""

from collections.abc import Mapping, Sequence
from typing import Any

from isthmus import errors
from isthmus.clients.http.neutron import NeutronClient
from isthmus.clients.http.status import blame
from isthmus.model.intent import IntentKey
from isthmus.model.item import Item, ItemResult, read_results
from isthmus.model.site import SiteName

#: A call that Neutron answers to whoever is logged in: its Keystone answers, too.
_SMALL = "/v2.0/extensions/isthmus-local"


class CentralSource:
    """Reads wanted state from central's Neutron, which alone renders objects."""

    def __init__(self, client: NeutronClient) -> None:
        """Bind it to central's client."""
        self._client = client

    def read(self, lane: SiteName, keys: Sequence[IntentKey]) -> Mapping[IntentKey, Item]:
        """Read the desired state of objects at one site."""
        wanted = [{"type": key.type.value, "id": key.id} for key in keys]
        answer = self._client.post("site_desired_state", {"site": lane, "keys": wanted})
        items = [Item.from_dict(one) for one in _list(answer, "items")]
        return {IntentKey(lane, item.type, item.id): item for item in items}


class SiteCarrier:
    """Carries items to one site's Neutron."""

    def __init__(self, client: NeutronClient) -> None:
        """Bind it to the site's client."""
        self._client = client

    def deliver(
        self, lane: SiteName, items: Sequence[Item], *, sequence: int
    ) -> Sequence[ItemResult]:
        """Post a batch; the client knows the site, so the lane's name is not needed.

        Raises:
            Unreachable, TimedOut: the site did not answer.
            IsthmusError: it did not take the batch.
        """
        del lane
        body = {"sequence": sequence, "items": [item.to_dict() for item in items]}
        try:
            answer = self._client.post("site_apply", body)
        except errors.Unreachable as error:
            raise blame(error, lambda: self._client.call("GET", _SMALL)) from error
        return read_results(answer.get("results"), items)


def _list(answer: Mapping[str, Any], name: str) -> list[Any]:
    found = answer.get(name)
    if not isinstance(found, list):
        raise errors.ProtocolError(f"the answer has no list of {name}")
    return found
