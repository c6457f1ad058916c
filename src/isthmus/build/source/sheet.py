"""Machines of a sheet (CSV): any order of columns, and the names that people give them."""

import csv
import io
from collections.abc import Mapping

from isthmus import errors
from isthmus.build.source.imported import Imported

#: field -> headings under which it is known, in lower case, without blanks and signs
HEADINGS: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "node", "host", "hostname", "device", "server"),
    "mac": ("mac", "macaddress", "pxemac", "bootmac", "nic1mac"),
    "site": ("site", "dc", "datacentre", "datacenter", "location"),
    "rack": ("rack", "cabinet"),
    "bmc": ("bmc", "bmcaddress", "bmcip", "ipmi", "ipmiaddress", "ipmiip", "idrac", "ilo", "oobip"),
    "bmc_kind": ("bmckind", "bmctype", "powertype"),
    "bmc_user": ("bmcuser", "ipmiuser"),
    "roles": ("roles", "role", "profile"),
    "serial": ("serial", "serialnumber", "servicetag", "sn"),
}
#: Passwords do not belong into a fleet file, so a sheet's are not read at all.
REQUIRED = ("name", "mac")


def parse_sheet(text: str) -> list[Imported]:
    """Read a sheet; comma, semicolon or tabulator.

    Raises:
        Invalid: it has no heading, or lacks a column; every row that is wrong is named.
    """
    first = text.lstrip("\ufeff\r\n").splitlines()[:1]
    if not first:
        raise errors.Invalid("the sheet is empty")
    delimiter = max(",;\t", key=first[0].count)
    rows = list(csv.reader(io.StringIO(text.lstrip("\ufeff")), delimiter=delimiter))
    columns = _columns(rows[0])
    missing = [one for one in REQUIRED if one not in columns]
    if missing:
        raise errors.Invalid(
            f"the sheet has no column {' and no column '.join(missing)}; its heading is "
            f"{', '.join(rows[0])}"
        )
    found: list[Imported] = []
    faults: list[str] = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        cells = {
            name: row[index].strip() if index < len(row) else "" for name, index in columns.items()
        }
        empty = [one for one in REQUIRED if not cells[one]]
        if empty:
            faults.append(f"line {number}: no {' and no '.join(empty)}")
            continue
        roles = tuple(cells.pop("roles", "").replace("+", " ").replace(";", " ").split())
        found.append(Imported(**cells, roles=roles))
    if faults:
        raise errors.Invalid("; ".join(faults))
    return found


def _columns(heading: list[str]) -> dict[str, int]:
    columns: dict[str, int] = {}
    for index, title in enumerate(heading):
        plain = "".join(one for one in title.lower() if one.isalnum())
        for name, known in HEADINGS.items():
            if plain in known:
                columns.setdefault(name, index)
    return columns
