"""Values of DHCP options as OVN reads them: one that it cannot read leaves a port without answers.

Source: ovn-nb(5), DHCP_Options; the types are those of OVN's lib/ovn-l7.h.
"""

import ipaddress
import re
from collections.abc import Mapping

_ADDRESSES = frozenset({
    "netmask", "router", "dns_server", "log_server", "lpr_server", "swap_server", "nis_server",
    "ntp_server", "server_id", "tftp_server_address", "policy_filter", "router_solicitation",
})  # fmt: skip
_ROUTES = frozenset({"classless_static_route", "ms_classless_static_route"})
_LARGEST = {
    "ip_forward_enable": 1, "router_discovery": 1, "ethernet_encap": 1, "default_ttl": 255,
    "tcp_ttl": 255, "mtu": 65535, "lease_time": 2**32 - 1, "T1": 2**32 - 1, "T2": 2**32 - 1,
    "arp_cache_timeout": 2**32 - 1, "tcp_keepalive_interval": 2**32 - 1,
}  # fmt: skip
_TEXTS = frozenset({
    "wpad", "bootfile_name", "bootfile_name_alt", "path_prefix", "hostname", "domain_name",
    "domain_search_list",
})  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_QUOTED = re.compile(r'"[^"]*"')
#: What stands for a text of a person, in a dump.
HIDDEN = "***"


def find_fault(name: str, value: str) -> str:
    """Return what OVN cannot read of an option's value, in words; empty where it can.

    Args:
        name: of the option; of one that is not known here nothing is said.
        value: as the northbound database has it.
    """
    if _CONTROL.search(value):
        return "it has a line break or another control character"
    if name in _TEXTS:
        return "" if _QUOTED.fullmatch(value) else "a text stands in double quotes"
    if name in _LARGEST:
        fits = value.isdecimal() and value.isascii() and len(value) < 11
        return "" if fits and int(value) <= _LARGEST[name] else "it is no number of its size"
    if name in _ADDRESSES:
        return "" if all(map(_is_address, _items(value))) else "it is no list of addresses"
    if name in _ROUTES:
        words = _items(value)
        pairs = zip(words[::2], words[1::2], strict=False)
        whole = bool(words) and len(words) % 2 == 0 and (len(words) == 2 or value[:1] == "{")
        good = whole and all(_is_prefix(one) and _is_address(hop) for one, hop in pairs)
        return "" if good else "routes are pairs of prefix and address in braces"
    return ""


def routes_of(options: Mapping[str, str]) -> dict[str, str]:
    """Return the routes that a guest is given, next hops by prefix."""
    words = _items(str(options.get("classless_static_route", "")))
    return dict(zip(words[::2], words[1::2], strict=False))


def hide(name: str, value: str) -> str | None:
    """Return a value without a person's text; None of an option that is not known.

    What OVN cannot read, it cannot read afterwards either.
    """
    if name in _TEXTS:
        return HIDDEN if find_fault(name, value) else f'"{HIDDEN}"'
    if name in _ADDRESSES | _ROUTES | _LARGEST.keys():
        return HIDDEN if find_fault(name, value) else value
    return None


def _items(value: str) -> list[str]:
    text = value.strip()
    if text[:1] == "{" and text[-1:] == "}":
        text = text[1:-1]
    return [one.strip() for one in text.split(",") if one.strip()]


def _is_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 4
    except ValueError:
        return False


def _is_prefix(text: str) -> bool:
    try:
        return ipaddress.ip_network(text, strict=False).version == 4
    except ValueError:
        return False
