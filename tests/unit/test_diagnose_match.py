"""OVN's match expressions, rules' matches, and what a person asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import errors
from isthmus.diagnose.evaluate.match import Scope, address_sets_of, evaluate
from isthmus.diagnose.evaluate.policy import Peer, list_lacks
from isthmus.diagnose.evaluate.render import render_match
from isthmus.diagnose.question import Packet, Service, parse_service

SCOPE = Scope(
    {"inport": "p1", "ip4": True, "ip6": False, "ip": True, "tcp": True, "udp": False,
     "tcp.dst": 443, "ip4.src": "10.0.0.5", "ip.proto": 6},
    {"pg": frozenset({"p1"})},
    {"as": frozenset({"10.0.0.0/24"}), "none": frozenset()},
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("inport == @pg && ip4 && tcp && tcp.dst == 443", True),
        ("inport == @pg && ip6", False),
        ("inport == @gone", None),
        ("ip4.src == $as", True),
        ("ip4.src == $none", False),
        ("ip4.src == 10.0.0.0/8 && !udp", True),
        ("ip4.src == {192.0.2.1, 10.0.0.5}", True),
        ("ip4.src != 10.0.0.5", False),
        ("tcp.dst >= 400 && tcp.dst <= 500", True),
        ("tcp.dst > 443", False),
        ("(udp || tcp) && tcp.dst < 500", True),
        ("ct.new && ip4", None),
        ("ct.new && ip6", False),
        ("ct.new || ip4", True),
        ("!(ip6 || ct.est)", None),
        ("inport == \"p1\"", True),
        ("1", True),
        ("0 || ip4", True),
        ("ip.proto == 0x6", True),
        ("", None),
        ("ip4 &&", None),
        ("ip4 ip4", None),
        ("tcp.dst == many", None),
        ("((((", None),
    ],
)  # fmt: skip
def test_expressions(text: str, value: bool | None) -> None:
    assert evaluate(text, SCOPE) is value


@given(st.text(alphabet='()!&|= ip4tcp.dst{},@$"<>10_', max_size=60))
def test_no_text_makes_it_fail(text: str) -> None:
    assert evaluate(text, SCOPE) in (True, False, None)


def test_deep_and_long_texts_are_not_understood() -> None:
    assert evaluate("(" * 5000 + "ip4" + ")" * 5000, SCOPE) is None
    assert evaluate("!" * 5000 + "ip4", SCOPE) is None


def test_address_sets_are_found() -> None:
    assert address_sets_of("ip4.src == $pg_a_ip4 && x == $b") == {"pg_a_ip4", "b"}


RULES = st.fixed_dictionaries(
    {
        "direction": st.just("ingress"),
        "ethertype": st.sampled_from(["IPv4", "IPv6"]),
        "protocol": st.sampled_from([None, "tcp", "udp", "icmp", "47", "6"]),
        "port_range_min": st.sampled_from([None, 80, 443]),
        "port_range_max": st.sampled_from([None, 443, 500]),
        "remote_ip_prefix": st.sampled_from([None, "10.0.0.0/24", "192.0.2.0/24"]),
        "remote_group_id": st.sampled_from([None, "g-1", "g-2"]),
        "security_group_id": st.just("g-1"),
    }
)


@given(RULES, st.sampled_from(["tcp", "udp"]), st.sampled_from([80, 443, 600]))
def test_a_rule_and_its_acl_say_the_same(rule: dict[str, object], word: str, port: int) -> None:
    """The rule as Neutron means it, and the match that Neutron writes for it, agree."""
    if rule["protocol"] == "icmp":
        rule = {**rule, "port_range_min": None, "port_range_max": None}
    packet = Packet(family=4, source="10.0.0.5", target="10.0.0.6", protocol=word, target_port=port)
    passes = not list_lacks(rule, packet, Peer("10.0.0.5", frozenset({"g-1"})), {})
    scope = Scope(
        {"outport": "p", "ip4": True, "ip6": False, "ip4.src": "10.0.0.5", "tcp": word == "tcp",
         "udp": word == "udp", "icmp4": False, "ip.proto": 6 if word == "tcp" else 17,
         f"{word}.dst": port},
        {"pg_g_1": frozenset({"p"})},
        {"pg_g_1_ip4": frozenset({"10.0.0.5"}), "pg_g_2_ip4": frozenset({"10.0.0.7"})},
    )  # fmt: skip
    if rule["protocol"] is None or rule["protocol"] == "47":
        rule = {**rule, "port_range_min": None, "port_range_max": None}
        passes = not list_lacks(rule, packet, Peer("10.0.0.5", frozenset({"g-1"})), {})
    assert evaluate(render_match(rule), scope) is passes


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("", Service("icmp")),
        ("ping", Service("icmp")),
        ("TCP/443", Service("tcp", 443)),
        ("udp:53", Service("udp", 53)),
        ("47", Service("47")),
    ],
)
def test_services(text: str, service: Service) -> None:
    assert parse_service(text) == service


@pytest.mark.parametrize("text", ["tcp", "tcp/0", "tcp/70000", "icmp/3", "443/tcp", "foo/1", "300"])
def test_what_is_no_service_is_refused(text: str) -> None:
    with pytest.raises(errors.Invalid):
        parse_service(text)
