"""Segments at central: a network has the one that it was made with, and every site has that.

Several segments, each on a fabric of other sites, are tested in `test_segmented`.
"""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.server import ADMIN, Reply, tenant
from tests.neutron.test_trunks import mapped

pytestmark = pytest.mark.neutron


def vlan(physical: str, tag: int) -> dict[str, Any]:
    return {
        "provider:network_type": "vlan",
        "provider:physical_network": physical,
        "provider:segmentation_id": tag,
    }


def make(central: CentralServer, *segments: Mapping[str, Any], **more: Any) -> Reply:
    """Ask for a network of segments at site1."""
    body = {"name": "n", "segments": list(segments), "availability_zone_hints": ["zone1"], **more}
    return central.call("POST", "/v2.0/networks", {"network": body}, ADMIN)


def of(central: CentralServer, network_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = central.call(
        "GET", f"/v2.0/segments?network_id={network_id}"
    ).only()
    return found


def test_a_network_of_several_segments_is_refused_before_a_site_hears(
    central: CentralServer,
) -> None:
    physical = f"p{uuid.uuid4().hex[:8]}"
    central.clear_journal()
    refused = make(central, vlan(physical, 11), vlan(physical, 12))
    assert refused.status == 400, refused.text
    assert "that of two segments" in refused.text
    both = {"networks": [{"name": "n", "segments": [vlan(physical, 11), vlan(physical, 12)]}]}
    assert central.call("POST", "/v2.0/networks", both).status == 400
    assert not central.jobs("site1")
    # Nothing of it is kept.
    assert make(central, vlan(physical, 11)).status == 201


def test_the_only_segment_is_taken_as_provider_attributes(central: CentralServer) -> None:
    physical = f"p{uuid.uuid4().hex[:8]}"
    made = make(central, vlan(physical, 13)).only()
    assert {name: made[name] for name in vlan("", 0)} == vlan(physical, 13)
    assert mapped(central, made["id"]) == ["site1"]
    assert make(central, vlan(physical, 13)).refusal() == (409, "isthmus.refused.exists")
    nowhere = make(central, vlan(physical, 14), availability_zone_hints=[])
    assert nowhere.status == 400, nowhere.text
    assert "on the fabric of one site" in nowhere.text
    twice = make(central, vlan(physical, 14), **vlan(physical, 14))
    assert twice.status == 400, twice.text
    assert "SegmentsSetInConjunctionWithProviders" in twice.text
    assert make(central, {"provider:network_type": "geneve"}).status == 201
    assert make(central).status == 201


def test_a_network_keeps_its_segment(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    stretched = central.create("network", user, name="n")["id"]
    at_site = make(central, vlan(f"p{uuid.uuid4().hex[:8]}", 15)).only()["id"]
    central.bundle("site2", "network", stretched, project=user.project)
    central.clear_journal()
    for network in (stretched, at_site):
        before = of(central, network)
        (segment,) = before
        body = {"network_id": network, "network_type": "geneve"}
        another = {"network_type": "vlan", "physical_network": "x", "segmentation_id": 16}
        for more, why in (
            (body, "keeps the segment"),
            ({**body, **another}, "keeps the segment" if network == stretched else "of no site"),
        ):
            refused = central.call("POST", "/v2.0/segments", {"segment": more})
            assert refused.status == 400, refused.text
            assert why in refused.text
        refused = central.call("DELETE", f"/v2.0/segments/{segment['id']}")
        assert refused.status == 400, refused.text
        assert "delete the network" in refused.text
        assert of(central, network) == before
    assert not central.jobs("site1") | central.jobs("site2")
    # It goes with its network.
    for network in (stretched, at_site):
        assert central.call("DELETE", f"/v2.0/networks/{network}").status == 204
        assert of(central, network) == []
