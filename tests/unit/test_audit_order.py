"""In which values order counts."""

from tests.unit.test_audit import run, world


def test_the_order_of_resolvers_counts_and_that_of_routes_does_not() -> None:
    state = world()
    servers = ["192.0.2.53", "192.0.2.54"]
    routes = [{"destination": f"198.51.{one}.0/24", "nexthop": "10.0.0.9"} for one in (1, 2)]
    for name in ("central", "one"):
        state[name]["subnets"][0] |= {"dns_nameservers": servers, "host_routes": routes}
    state["one"]["subnets"][0]["host_routes"] = routes[::-1]
    assert run(state) == []
    state["one"]["subnets"][0]["dns_nameservers"] = servers[::-1]
    (found,) = run(state)
    assert found.code == "subnet.different"
    assert found.evidence == f"dns_nameservers: central {servers!r}, here {servers[::-1]!r}"
