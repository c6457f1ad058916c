"""The audit: a network of several segments, of which each site has its own."""

from tests.unit.test_audit import SUB, run, world


def test_a_network_of_several_segments_is_at_each_site_as_one_of_them() -> None:
    state = world()
    provider = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")
    segments = {
        site: dict(zip(provider, ("vlan", f"fabric-of-{site}", tag), strict=True))
        for site, tag in (("one", 51), ("two", 52))
    }
    network, subnet = state["central"]["networks"][0], state["central"]["subnets"][0]
    for name in provider:
        network.pop(name, None)
    network["segments"] = list(segments.values())
    second = {**subnet, "id": "sub2", "cidr": "10.0.2.0/24", "gateway_ip": "10.0.2.254"}
    state["central"]["subnets"] = [
        {**subnet, "segment_id": "segment1"},
        {**second, "segment_id": "segment2"},
    ]
    state["two"]["subnets"] = [second]
    for site, one in (("one", SUB), ("two", "sub2")):
        there = {"type": "subnet", "resource_id": one, "site": site, "withdrawn": False}
        state["central"]["mappings"].append(there)
        state[site]["networks"][0] |= segments[site]

    def found() -> list[tuple[str, str]]:
        words = {"network.missing", "network.different", "subnet.missing", "subnet.extra"}
        return sorted((one.code, one.subject.place) for one in run(state) if one.code in words)

    assert found() == []
    state["one"]["subnets"].append(second)
    assert found() == [("subnet.extra", "one")]
    state["two"]["networks"][0] |= {"provider:physical_network": "elsewhere"}
    state["two"]["subnets"] = []
    assert found() == [
        ("network.different", "two"),
        ("subnet.extra", "one"),
        ("subnet.missing", "two"),
    ]
