"""The page on diagnosis names every code that there is."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/howto/diagnose.md"
ROOMS = [ROOT / "src/isthmus/diagnose" / one for one in ("check", "probe")]
_CODE = re.compile(
    r'"((?:port|network|subnet|policy|group|acl|switch|lsp|binding|northd|dhcp|shadow|chassis'
    r"|remote_chassis|mtu|host|site|job|report|router|route|exit|external|floating|forwarding|snat"
    r"|return|lr|lrp|gateway|default_route|exit_route|nat|return_policy|transit|probe|guest"
    r"|lease|quota|qos|fdb|lb|segment|bfd|metadata|agent|bridge|ovsdb|clock|conntrack)\.[a-z_]+)\""
)


def list_literal_codes() -> set[str]:
    """List the codes that the source has in full."""
    files = [file for room in ROOMS for file in room.rglob("*.py")]
    return {code for file in files for code in _CODE.findall(file.read_text())}


def test_every_code_is_on_the_page() -> None:
    page = PAGE.read_text()
    codes = list_literal_codes()
    assert len(codes) > 120
    assert {one for one in codes if f"`{one}`" not in page} == set()
