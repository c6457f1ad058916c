"""Shadow ports: what a site must know of a port that lives in another site."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from isthmus import errors
from isthmus.model.form import (
    is_address,
    is_flag,
    is_list,
    is_mac,
    is_name,
    is_number,
    is_tunnel_address,
)
from isthmus.model.site import SiteName

_ID = 36
_SITE = 64
#: Most addresses, MACs and groups of one port.
_MOST = 512


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
    names: tuple[str, ...] = ()  #: in DNS; addresses are answered with the first one

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Read the JSON form; keys it does not know are left alone, for newer peers.

        Raises:
            ProtocolError: a key is missing, or a value is none that could stand there.
        """
        try:
            values = {
                name: body[name] for name in cls.__slots__ if name in body or name not in _LATER
            }
        except (KeyError, TypeError) as exc:
            raise errors.ProtocolError(f"not a shadow port: {exc}") from exc
        wrong = [name for name, value in values.items() if not _FORM[name](value)]
        if wrong:
            said = ", ".join(f"{name} {values[name]!r}"[:100] for name in wrong)
            raise errors.ProtocolError(f"not a shadow port: {said}")
        return cls(**{name: _frozen(value) for name, value in values.items()})


def _is_key(value: object) -> bool:
    return is_number(value) and -(2**31) <= int(str(value)) < 2**31


#: What older peers do not say.
_LATER = frozenset({"names"})

#: What each value may be. Whatever comes from another site ends in OVN's rows and in its commands.
_FORM: Mapping[str, Callable[[Any], bool]] = {
    "port_id": lambda value: is_name(value, _ID),
    "network_id": lambda value: is_name(value, _ID),
    "site": lambda value: is_name(value, _SITE),
    "chassis": is_name,
    "hostname": is_name,
    "encap_ip": is_tunnel_address,
    "port_key": _is_key,
    "mac_address": is_mac,
    "addresses": is_list(is_address, _MOST),
    "extra_macs": is_list(is_mac, _MOST),
    "answered": is_flag,
    "enabled": is_flag,
    "accepts_unknown": is_flag,
    "security_groups": is_list(lambda value: is_name(value, _ID), _MOST),
    "names": is_list(is_name, _MOST),
}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
