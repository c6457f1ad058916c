"""Shadow ports: what a site must know of a port that lives in another site."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from isthmus import errors
from isthmus.model.site import SiteName


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """One port of another site, as the data plane needs it."""

    port_id: str
    network_id: str
    site: SiteName  #: where the port lives
    chassis: str  #: OVN chassis name of its hypervisor
    hostname: str  #: the same hypervisor as Nova names it
    encap_ip: str  #: its Geneve tunnel address
    port_key: int  #: requested-tnl-key, equal in every site
    mac_address: str
    addresses: tuple[str, ...]  #: fixed IPs
    extra_macs: tuple[str, ...] = ()  #: MACs of allowed address pairs that have one of their own
    answered: bool = True  #: OVN answers ARP and ND requests for the fixed IPs
    enabled: bool = True  #: administratively up
    accepts_unknown: bool = False  #: port security off: any MAC may be behind it
    security_groups: tuple[str, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_wire(cls, body: Mapping[str, Any]) -> Self:
        """Read the JSON form; keys it does not know are left alone, for newer peers.

        Raises:
            ProtocolError: a key is missing.
        """
        try:
            return cls(**{name: _frozen(body[name]) for name in cls.__slots__})
        except (KeyError, TypeError) as exc:
            raise errors.ProtocolError(f"not a shadow port: {exc}") from exc


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
