from typing import Any

from isthmus.model.site import Reachability, Site, SiteName, SiteState
from isthmus.neutron.central import zone


def site(name: str, *zones: str, **more: Any) -> Site:
    return Site(
        name=SiteName(name),
        region=name,
        availability_zones=zones,
        service_user=name,
        **more,
    )


def states(*sites: Site, **filters: list[str]) -> dict[tuple[str, str], str]:
    found = zone.list_zones(sites, "p", filters)
    return {(one["name"], one["resource"]): one["state"] for one in found}


def test_a_zone_is_available_where_one_site_of_it_takes_networks() -> None:
    draining = site("a", "z1", "z2", state=SiteState.DRAINING)
    silent = site("b", "z3", reachability=Reachability.UNREACHABLE)
    well = site("c", "z2")
    assert states(draining, silent, well, resource=["network"]) == {
        ("z1", "network"): "unavailable",
        ("z2", "network"): "available",
        ("z3", "network"): "unavailable",
    }


def test_zones_are_filtered() -> None:
    sites = (site("a", "z1"), site("b", "z2", state=SiteState.DISABLED))
    assert states(*sites, name=["z1"]) == {
        ("z1", "network"): "available",
        ("z1", "router"): "available",
    }
    assert set(states(*sites, state=["unavailable"])) == {("z2", "network"), ("z2", "router")}
    assert states(*sites, name=[]) == states(*sites)
    assert states() == {}


def test_hints() -> None:
    two = site("a", "z1", "z2")
    assert zone.serves(two, [])
    assert zone.serves(two, ["z2", "z9"])
    assert not zone.serves(two, ["z9"])
    assert zone.find_unknown([two], ["z1", "z9"]) == "z9"
    assert zone.find_unknown([two], ["z1"]) is None
    assert zone.zones_of([two, site("b", "z3")], ["a"]) == ["z1", "z2"]
