"""What a dump keeps of a value: the form that it should have, and no secret."""

import json
import time
from typing import Any

import pytest

from isthmus.diagnose.dump import keep
from isthmus.diagnose.dump.allow import TABLES, keep_rows
from isthmus.diagnose.world import Source

SECRET = "hunter2-Zq9"


@pytest.mark.parametrize(
    "sentence",
    [
        f"cannot reach mysql+pymysql://neutron:{SECRET}@10.0.0.1/neutron",
        f"password={SECRET} was refused",
        f"admin_password: '{SECRET}'",
        f'{{"auth_token": "{SECRET}"}}',
        f"Authorization: Bearer {SECRET}",
        f"Authorization: Basic {SECRET}",
        f"bearer {SECRET} has expired",
        f"psk = {SECRET}; remote 10.0.0.1",
        f"os_api_key={SECRET}",
        f"mysql://neutron:a@{SECRET}@10.0.0.1/neutron",
        f"mysql://neutron:a/{SECRET}@10.0.0.1/neutron",
        f"password='never closed and {SECRET}",
        f"Could not recognize Fernet token gAAAAABmZ0123456789abcdefghij_{SECRET}",
        f"it said eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.{SECRET}",
        f"-----BEGIN RSA PRIVATE KEY-----?{SECRET}",
    ],
)
def test_a_sentence_loses_what_it_gives_away(sentence: str) -> None:
    found = keep.said(sentence)
    assert found is not None
    assert SECRET not in found
    assert "***" in found


@pytest.mark.parametrize(
    "sentence",
    [
        "HTTPConnectionPool(host='10.0.0.1', port=9696): no answer",
        "port 3f0b3c1e-0000-4000-8000-000000000001 is unknown: token bucket of 5",
        "https://10.0.0.1:9696/v2.0/ports says 409",
    ],
)
def test_a_sentence_without_a_secret_is_kept(sentence: str) -> None:
    assert keep.said(sentence) == sentence


@pytest.mark.parametrize(
    "piece", ["a", "a-", "://", "pass", "token-", "token='", "bearer ", "gAAAA"]
)
def test_what_a_sentence_costs_grows_with_its_length_alone(piece: str) -> None:
    def cost(length: int) -> float:
        told, times = (piece * length)[:length], []
        for _ in range(5):
            before = time.process_time()
            for _ in range(20):
                keep.said(told)
            times.append(time.process_time() - before)
        return min(times)

    assert cost(4096) < 80 * cost(256)  # where each word is looked at from each of its letters: 256


def test_a_name_that_a_terminal_would_obey_is_made_harmless() -> None:
    assert keep.text("\x1b[2Jweb\r\n\x9b1m") == "?[2Jweb???1m"


@pytest.mark.parametrize("value", ["$(reboot)", "a;b", "a b", "-rf", "`id`", "a\nb", 5, None, []])
def test_what_stands_in_printed_commands_is_one_word(value: Any) -> None:
    assert keep.word(value) is None


@pytest.mark.parametrize(
    "value", ["10.0.0.0/24", "fa:16:3e:00:00:01", "a-b_c.d", "2001:db8::1", ""]
)
def test_ids_and_addresses_are_words(value: str) -> None:
    assert keep.word(value) == value


def fill(source: Source, table: str) -> dict[str, Any]:
    """Return a row in which each column, and each key of it, has the secret."""
    columns = [*TABLES[source][table], "description", "tags", "binding:profile", "dns_name", "ssl"]
    told: dict[str, Any] = dict.fromkeys(columns, f"password={SECRET}")
    for name in ("external_ids", "other_config", "options", "vips", "extra_dhcp_opts", "status"):
        told[name] = {"psk": SECRET, "ovn-remote": f"ssl:{SECRET}", "private_key": SECRET,
                      "requested-chassis": "c1"}  # fmt: skip
    told["sites"] = [{"exits": {"4": {"site": "s1", "secret": SECRET}}, "password": SECRET}]
    told["security_group_rules"] = [{"id": "r", "description": SECRET}]
    told["external_gateway_info"] = {"network_id": "n", "password": SECRET}
    return told


#: Columns in which whatever a person wrote is kept: they are told in answers.
_NAMES = frozenset({"name", "match"})


@pytest.mark.parametrize(
    ("source", "table"), [(source, table) for source in Source for table in TABLES[source]]
)
def test_no_table_has_a_place_for_a_secret(source: Source, table: str) -> None:
    row = {key: value for key, value in fill(source, table).items() if key not in _NAMES}
    (kept,) = keep_rows(source, table, [row])
    assert SECRET not in json.dumps(kept)


def test_lists_and_words_that_are_read_stay() -> None:
    port = {
        "id": "p", "fixed_ips": [{"subnet_id": "s", "ip_address": "10.0.0.5", "secret": SECRET}],
        "security_groups": ["g"], "admin_state_up": True, "name": "web",
    }  # fmt: skip
    (kept,) = keep_rows(Source.CENTRAL, "port", [port])
    assert kept == {**port, "fixed_ips": [{"subnet_id": "s", "ip_address": "10.0.0.5"}]}
    interface = {"name": "genev", "options": {"remote_ip": "10.0.0.1", "psk": SECRET},
                 "ofport": [], "mtu": 1500}  # fmt: skip
    (kept,) = keep_rows(Source.HOST, "Interface", [interface])
    assert kept == {**interface, "options": {"remote_ip": "10.0.0.1"}}


def test_a_row_that_is_none_and_a_tree_without_end_are_left_out() -> None:
    assert keep_rows(Source.CENTRAL, "site", ["no row", 5, None]) == []
    deep: Any = "x"
    for _ in range(50):
        deep = {"sites": deep}
    (kept,) = keep_rows(Source.CENTRAL, "router_exit", [{"id": "r", "sites": deep}])
    assert len(json.dumps(kept)) < 300
