"""How an object is realised: each layer of each place, its command, and what is not there."""

import io
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.tables.recorded import make_dump, pack
from tests.tables.test_diagnose import CENTRAL, H1, NB1, NB2, SB1, SB2, Break, drop, put
from tests.tables.world import DATAPATH, NET, A, B, healthy

from isthmus import errors
from isthmus.diagnose.dump.form import Dump, parse_dump
from isthmus.diagnose.explain import picture
from isthmus.diagnose.explain.by_hand import build_by_hand
from isthmus.diagnose.explain.document import render_text, to_document
from isthmus.diagnose.explain.whole import explain

R, GW, FIP, PUBLIC = "router-1", "gw-1", "fip-1", "203.0.113.9"
EVIL = '"]; click x href "javascript:1" <script>alert(1)</script>'


def read(*changes: Break) -> Dump:
    tables = healthy()
    for one in changes:
        one(tables)
    dump = parse_dump("d", io.BytesIO(pack(make_dump(tables))))
    _add_router(dump)
    return dump


def _add_router(dump: Dump) -> None:
    """Add a router with a gateway at s1, and a floating IP of A."""
    plan = {
        "id": R, "name": "r", "subnets": [{"id": "sub", "cidr": "10.0.0.0/24", "sites": ["s1"]}],
        "gateways": [{"id": GW, "network_id": "ext", "site": "s1"}],
        "floating_ips": [{"id": FIP, "address": PUBLIC, "site": "s1"}],
    }  # fmt: skip
    dump.add(*CENTRAL, "router", [{"id": R, "name": "r"}])
    dump.add(*CENTRAL, "router_exit", [plan])
    dump.add(*CENTRAL, "floatingip", [
        {"id": FIP, "floating_ip_address": PUBLIC, "router_id": R, "port_id": A,
         "fixed_ip_address": "10.0.0.5"}])  # fmt: skip
    lrp = {"_uuid": "u-lrp", "name": f"lrp-{GW}", "networks": ["203.0.113.2/24"], "mac": "m"}
    lr = {"_uuid": "lr", "name": f"neutron-{R}", "ports": ["u-lrp"], "nat": ["n"]}
    nat = {"_uuid": "n", "type": "dnat_and_snat", "external_ip": PUBLIC, "logical_ip": "10.0.0.5"}
    for table, row in (("Logical_Router", lr), ("Logical_Router_Port", lrp), ("NAT", nat)):
        dump.add(*NB1, table, [row])
    bound = {"datapath": "dpr", "type": "patch", "tunnel_key": 1, "chassis": []}
    dump.add(*SB1, "Port_Binding", [
        {**bound, "_uuid": "b1", "logical_port": f"lrp-{GW}"},
        {**bound, "_uuid": "b2", "logical_port": f"cr-lrp-{GW}", "chassis": "u-c1"},
    ])  # fmt: skip
    dump.add(*SB1, "Datapath_Binding", [{"_uuid": "dpr", "tunnel_key": 9}])
    dump.add(*H1, "flow", [{"match": "metadata=0x9,reg15=0x1", "count": 4}])


def tell(asked: str, *changes: Break) -> list[tuple[str, str, str]]:
    return [(one.layer.value, one.place, one.what) for one in explain(read(*changes), asked).stages]


@pytest.mark.parametrize("asked", [A, "web", "srv"])
def test_a_port_is_followed_from_the_api_to_the_tap_and_to_who_reaches_it(asked: str) -> None:
    changes = [put(CENTRAL, "port", "id", B, device_id="other")]
    assert tell(asked, *changes) == [
        ("API", "central", f"port {A}"),
        ("API", "s1", f"port {A}"),
        ("northbound", "s1", f"Logical_Switch_Port {A}"),
        ("northbound", "s1", "Port_Group pg_sg_one"),
        ("northbound", "s1", "Port_Group neutron_pg_drop"),
        ("southbound", "s1", f"Port_Binding {A}"),
        ("flows", "h1", f"flows to key 11 on datapath {DATAPATH}"),
        ("tap", "h1", "interface tap1"),
        ("northbound", "s2", f"Logical_Switch_Port {A}"),
        ("southbound", "s2", f"Port_Binding {A}"),
        ("flows", "h2", f"flows to key 11 on datapath {DATAPATH}"),
        ("tunnel", "h2", "tunnel to 172.30.1.11 (h1)"),
    ]


def test_a_network_is_followed_at_each_site() -> None:
    plugs = {"ports": [f"u-{A}", f"u-{B}"]}
    told = tell("net1", *(put(x, "Logical_Switch", "_uuid", "ls", **plugs) for x in (NB1, NB2)))
    assert told[0] == ("API", "central", f"network {NET}")
    for site, host in (("s1", "h1"), ("s2", "h2")):
        here = [layer for layer, place, _ in told if place in (site, host)]
        assert here == ["API", "northbound", "southbound", "flows", "tap"]


def test_a_router_and_a_floating_ip_are_followed_to_the_gateway() -> None:
    told = tell("r")
    assert ("northbound", "s1", f"Logical_Router neutron-{R}") in told
    assert ("southbound", "s1", f"Port_Binding cr-lrp-{GW}") in told
    assert ("flows", "h1", "flows of datapath 9") in told
    told = tell(PUBLIC)
    assert told[0] == ("API", "central", f"floating IP {PUBLIC}")
    assert told[1] == ("northbound", "s1", f"NAT {PUBLIC}")
    assert ("tap", "h1", "bridges to the fabric") in told
    assert told[-4:] == tell(A)[-4:]


@pytest.mark.parametrize(
    ("change", "layer", "place"),
    [
        (drop(NB1, "Logical_Switch_Port", "name", A), "northbound", "s1"),
        (drop(NB2, "Logical_Switch_Port", "name", A), "northbound", "s2"),
        (drop(SB2, "Port_Binding", "logical_port", A), "southbound", "s2"),
        (drop(H1, "Interface", "iface_id", A), "tap", "h1"),
    ],
)
def test_what_is_not_where_it_should_be_is_said(change: Break, layer: str, place: str) -> None:
    found = explain(read(change), A)
    gone = [(one.layer.value, one.place) for one in found.stages if not one.is_there]
    assert (layer, place) in gone
    text = "\n".join(render_text(to_document(found)))
    assert text.count("MISSING") == len(gone)


def test_what_cannot_be_found_or_is_ambiguous_is_refused() -> None:
    with pytest.raises(errors.NotFound, match="no network, router, floating IP, port or server"):
        explain(read(), "nobody")
    with pytest.raises(errors.Conflict, match=f"port {A}, port {B}"):
        explain(read(put(CENTRAL, "port", "id", B, name="a")), "a")


def test_commands_are_typed_where_they_stand() -> None:
    found = explain(read(), A)
    here = [one["command"] for x in to_document(found)["stages"] for one in x["commands"]]
    assert f"openstack --os-cloud s1 port show {A}" in here
    assert f"ovn-nbctl list Logical_Switch_Port {A}   # at site s1" in here
    assert "on h1: ip link show tap1" in here
    lab = [one["command"] for x in to_document(found, "lab")["stages"] for one in x["commands"]]
    assert "isthmus lab shell h1 -- ip link show tap1" in lab
    assert not [one for one in lab if "  #" in one or one.startswith("on ")]


@pytest.mark.parametrize("hosts", [["h1"], ["h1", "h2", "h3"]])
@pytest.mark.parametrize("routed", [False, True])
def test_what_is_built_by_hand_is_taken_away_again(hosts: list[str], routed: bool) -> None:
    steps = [*build_by_hand("s1", hosts, routed=routed)]
    made = " ".join(one.text for _, commands in steps[:-1] for one in commands)
    gone = " ".join(one.text for one in steps[-1][1])
    for make, take in (
        (r"ls-add (\S+)", "ls-del {}"), (r"lr-add (\S+)", "lr-del {}"),
        (r"netns add (\S+)", "netns delete {}"), (r"add-port br-int (\S+)", "del-port br-int {}"),
    ):  # fmt: skip
        for name in re.findall(make, made):
            assert take.format(name) in gone
    assert {one.place for _, commands in steps for one in commands} <= {"s1", hosts[0], hosts[-1]}


def draw(asked: str = A, name: str = "a") -> dict[str, Any]:
    found = explain(read(put(CENTRAL, "network", "id", NET, name=name)), asked)
    return to_document(found)


def test_a_drawing_has_a_box_a_stage_and_all_lie_apart() -> None:
    document = draw()
    root = ElementTree.fromstring(picture.render_svg(document))
    name = "{http://www.w3.org/2000/svg}"
    boxes = [
        tuple(int(one.attrib[x]) for x in ("x", "y", "width", "height"))
        for one in root.iter(f"{name}rect")
    ]
    assert len(boxes) == len(document["stages"])
    for at, (x, y, w, h) in enumerate(boxes):
        assert x + w <= int(root.attrib["width"])
        assert y + h <= int(root.attrib["height"])
        for x2, y2, w2, h2 in boxes[:at]:
            assert x >= x2 + w2 or x2 >= x + w or y >= y2 + h2 or y2 >= y + h
    assert len([*root.iter(f"{name}line")]) == len(picture.list_links(document["stages"]))


def test_lines_lead_from_each_layer_to_the_next_one() -> None:
    stages = draw()["stages"]
    links = picture.list_links(stages)
    assert {other for _, other in links} == set(range(1, len(stages)))
    order = ["API", "northbound", "southbound", "flows", "tunnel", "tap"]
    for one, other in links:
        above, below = stages[one], stages[other]
        assert order.index(above["layer"]) <= order.index(below["layer"])
        assert above["site"] in ("", below["site"])
    assert (0, 1) in links


def test_names_that_are_code_are_text_in_every_picture() -> None:
    document = draw(NET, EVIL)
    assert EVIL in document["label"]
    page = picture.render_html(document)
    assert "<script" not in page
    assert not re.search(r"""(src|href)=|url\(|@import""", page.replace("xmlns=", ""))
    ElementTree.fromstring(picture.render_svg(document))
    for one in document["stages"]:
        one |= {"what": EVIL, "place": EVIL}
    mermaid = picture.render_mermaid(document)
    labels = re.findall(r'\["([^"]*)"\]$', mermaid, re.MULTILINE)
    assert len(labels) == len(document["stages"]) + 1  # and that of the one place
    assert not {"<", "]", ";click"} & {*"".join(labels)}
    assert "click x" not in re.sub(r'\["[^"]*"\]', "", mermaid)


def test_a_page_is_whole_and_needs_nothing_else() -> None:
    page = picture.render_html(draw("r"))
    head, body = page.split("<body>")
    assert head.startswith('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">')
    assert body.endswith("</body></html>\n")
    text = f"<body>{body[: -len('</html>') - 1]}".replace("<br>", "<br/>")
    codes = [one.text for one in ElementTree.fromstring(text).iter("code")]
    assert "ovn-nbctl list Logical_Router neutron-router-1   # at site s1" in codes
    assert codes[-1] == "ovn-nbctl ls-del bare-b   # at site s1"
