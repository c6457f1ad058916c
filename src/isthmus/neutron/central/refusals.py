"""What central refuses: attributes that no site realises, and what is a port's home's to say."""

from collections.abc import Callable, Mapping
from typing import Any

from neutron.plugins.ml2 import plugin as ml2

from isthmus import errors
from isthmus.neutron.api import carried
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central import reporting
from isthmus.neutron.db.session import reading
from isthmus.store.tiers import mapping


class Refusals(ml2.Ml2Plugin):
    """ML2 that takes nothing which would not be carried."""

    def create_network(self, context: Any, network: Any) -> Any:
        """Make a network that sites can have."""
        _check("networks", network["network"])
        return super().create_network(context, network)

    def create_network_bulk(self, context: Any, networks: Any) -> Any:
        """Make networks that sites can have."""
        for one in networks["networks"]:
            _check("networks", one["network"])
        return super().create_network_bulk(context, networks)

    def update_network(self, context: Any, id: str, network: Any) -> Any:
        """Change a network into one that sites can have."""
        _check("networks", network["network"], lambda: self.get_network(context, id))
        return super().update_network(context, id, network)

    def create_subnet(self, context: Any, subnet: Any) -> Any:
        """Make a subnet that sites can have."""
        _check("subnets", subnet["subnet"])
        return super().create_subnet(context, subnet)

    def create_subnet_bulk(self, context: Any, subnets: Any) -> Any:
        """Make subnets that sites can have."""
        for one in subnets["subnets"]:
            _check("subnets", one["subnet"])
        return super().create_subnet_bulk(context, subnets)

    def update_subnet(self, context: Any, id: str, subnet: Any) -> Any:
        """Change a subnet into one that sites can have."""
        _check("subnets", subnet["subnet"], lambda: self.get_subnet(context, id))
        return super().update_subnet(context, id, subnet)

    def create_port(self, context: Any, port: Any) -> Any:
        """Make a port that sites can have."""
        _check("ports", port["port"])
        return super().create_port(context, port)

    def create_port_bulk(self, context: Any, ports: Any) -> Any:
        """Make ports that sites can have."""
        for one in ports["ports"]:
            _check("ports", one["port"])
        return super().create_port_bulk(context, ports)

    def update_port(self, context: Any, id: str, port: Any) -> Any:
        """Change a port into one that sites can have; what its home says is its home's."""
        body = port["port"]
        _check("ports", body, lambda: self.get_port(context, id))
        if reporting.current() is None and not body.keys().isdisjoint(carried.HOME_ONLY):
            self._refuse_homes_word(context, id, body)
        return super().update_port(context, id, port)

    def _refuse_homes_word(self, context: Any, port_id: str, body: Mapping[str, Any]) -> None:
        with reading(context) as connection:
            home = mapping.find_home(connection, port_id)
        if home is None:
            return
        have = self.get_port(context, port_id)
        differing = [
            name
            for name in carried.HOME_ONLY
            if name in body and name in have and (body[name] or None) != (have[name] or None)
        ]
        if differing:
            with translated():
                raise errors.Conflict(
                    f"port {port_id} is at home at site {home}, which alone says what its "
                    f"{', '.join(differing)} is: change it there",
                    site=home,
                )


def _check(
    collection: str, body: Mapping[str, Any], find: Callable[[], Mapping[str, Any]] | None = None
) -> None:
    """Refuse attributes that are not carried; one that stays as it is may be said again."""
    if reporting.current() is not None:
        return
    try:
        carried.check(collection, body)
    except errors.Invalid:
        have = find() if find is not None else {}
        with translated():
            carried.check(
                collection,
                {name: value for name, value in body.items() if have.get(name) != value},
            )
