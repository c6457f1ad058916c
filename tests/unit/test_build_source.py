"""Machines out of other tools' lists."""

import json
from typing import Any

import pytest
import yaml

from isthmus import errors
from isthmus.build.source import ironic, netbox, sheet
from isthmus.build.source.imported import to_sites

SHEET = """\
\ufeffRack;Host Name;MAC-Address;iDRAC;Role;Service Tag;iDRAC password
A 1;Web01.dc;52-54-00-00-00-01;203.0.113.1;compute+storage;ABC123;secret
A 1;Web02.dc;5254.0000.0002;;;;

"""
INVENTORY: dict[str, Any] = {
    "inventory": {
        "hostname": "n1",
        "bmc_address": "203.0.113.9",
        "system_vendor": {"serial_number": "S1"},
        "boot": {"pxe_interface": "01-52-54-00-00-00-01"},
        "interfaces": [{"name": "eth0", "mac_address": "52:54:00:00:00:09", "has_carrier": True}],
    }
}


def test_a_sheet_of_any_headings() -> None:
    first, second = sheet.parse_sheet(SHEET)
    sites, notes = to_sites([first, second])
    assert sites == [
        {
            "name": "site1",
            "racks": [
                {
                    "name": "a-1",
                    "nodes": [
                        {
                            "name": "web01-dc",
                            "mac": "52:54:00:00:00:01",
                            "roles": ["compute", "storage"],
                            "bmc": {"address": "203.0.113.1"},
                            "serial": "ABC123",
                        },
                        {"name": "web02-dc", "mac": "52:54:00:00:00:02"},
                    ],
                }
            ],
        }
    ]
    assert notes == ["web02-dc: the source does not tell its BMC"]
    assert "secret" not in yaml.safe_dump(sites)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the sheet is empty"),
        ("a,b\n1,2\n", "no column name and no column mac; its heading is a, b"),
        ("name,mac\nn1,\n,52:54:00:00:00:01\n", "line 2: no mac; line 3: no name"),
    ],
)
def test_sheets_that_are_none(text: str, said: str) -> None:
    with pytest.raises(errors.Invalid, match=said):
        sheet.parse_sheet(text)


def test_ironics_inventory_and_node() -> None:
    node = {
        "Name": "n1",
        "UUID": "u",
        "Driver": "redfish",
        "Driver Info": {"redfish_address": "https://bmc1", "redfish_username": "root"},
    }
    (found,) = ironic.parse_inspected([INVENTORY, [node]])
    assert (found.name, found.mac, found.serial) == ("n1", "52:54:00:00:00:01", "S1")
    assert (found.bmc, found.bmc_kind, found.bmc_user) == ("https://bmc1", "redfish", "root")
    inventory = json.loads(json.dumps(INVENTORY))
    del inventory["inventory"]["boot"]
    (found,) = ironic.parse_inspected([inventory])
    assert (found.mac, found.bmc) == ("52:54:00:00:00:09", "203.0.113.9")
    with pytest.raises(errors.Invalid, match="neither a list of Ironic's nodes"):
        ironic.parse_inspected([{"results": []}])


def test_netboxs_devices_and_interfaces() -> None:
    devices = {
        "results": [
            {
                "name": "n1",
                "device_type": {"slug": "x"},
                "site": {"slug": "north"},
                "rack": {"name": "R 1"},
                "role": {"slug": "compute"},
                "oob_ip": {"address": "203.0.113.4/24"},
                "serial": "S4",
            }
        ]
    }
    interfaces = {
        "results": [
            {"device": {"name": "n1"}, "mac_address": "52:54:00:00:00:aa", "mgmt_only": True},
            {"device": {"name": "n1"}, "primary_mac_address": {"mac_address": "52540000000B"}},
        ]
    }
    sites, notes = to_sites(netbox.parse_devices([devices, interfaces]))
    assert notes == []
    assert sites[0]["racks"][0] == {
        "name": "r-1",
        "nodes": [
            {
                "name": "n1",
                "mac": "52:54:00:00:00:0b",
                "roles": ["compute"],
                "bmc": {"address": "203.0.113.4"},
                "serial": "S4",
            }
        ],
    }
    with pytest.raises(errors.Invalid, match="lists no devices"):
        netbox.parse_devices([interfaces])
