"""Every list and every object on a terminal of 80 columns, with names as long as people give them.

No word is split, and no line is longer than the terminal; ids stand where `--long` asks for them.
"""

import importlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import typer
from rich.console import Console
from tests.acceptance.inside import Inside, run_inside
from tests.acceptance.shell import HOLDS, NET, SUBNET, ago, job, small_cloud

from isthmus.cli import main, render
from isthmus.testing.cloud import Cloud, CloudSite

WIDTH = 80
SITE, OTHER = "frankfurt-am-main-2", "paris-la-defense-11"
NETWORK = "production-frontend-network-of-the-web-shop"
SUBNET_NAME = "production-frontend-subnet-ipv6-of-the-web-shop"
PORT = "production-frontend-web-server-number-17"
ROUTER = "production-edge-router-of-the-web-shop"
PORT_ID = "0a6b7c1e-0000-4000-8000-0000000000aa"
ROUTER_ID = "0a6b7c1e-0000-4000-8000-0000000000bb"
JOB = "0a6b7c1e-0000-4000-8000-0000000000cc"
LACK = "no site that has the external network is reachable"
ERROR = (
    "connection refused by https://network.frankfurt-am-main-2.example.org:9696/v2.0/site-applies "
    "after 3 attempts"
)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def site(number: int, name: str) -> dict[str, Any]:
    return {
        "id": f"1a6b7c1e-0000-4000-8000-{number:012}",
        "name": name,
        "region": name,
        "availability_zones": [f"zone-{name}-a", f"zone-{name}-b"],
        "service_user": f"default/isthmus-{name}",
        "tunnel_prefixes": ["192.0.2.0/24", "2001:db8:1234:5678::/64"],
        "fabrics": ["metro-ring", "storage"],
        "description": "The second floor of the data centre behind the railway station",
        "state": "enabled",
        "reachability": "unreachable",
        "last_seen_at": ago(days=3),
        "last_error": ERROR,
        "waits_for": "it has yet to register since central was restored from a backup",
        "backlog": 12,
        "parked": 3,
        "ports_due": 0,
        "holds": dict.fromkeys(HOLDS, 123456),
        "created_at": ago(days=300),
        "updated_at": ago(days=2),
    }


def exits(name: str) -> dict[str, Any]:
    return {
        "site": name,
        "state": "enabled",
        "is_reachable": False,
        "exits": {
            "4": {"way": "over", "site": SITE, "next_hop": "169.254.0.17"},
            "6": {"lack": "no site of it has a gateway for IPv6 on an external network"},
        },
        "transit": {"addresses": ["169.254.0.16/28", "fd00:1234:5678:9abc::16/64"]},
    }


def fill(cloud: Cloud) -> None:
    """Have long names in everything that is listed."""
    rows = cloud.rows
    for number, name in enumerate((SITE, OTHER)):
        cloud.sites[name] = CloudSite(name)
        rows.setdefault("sites", []).append(site(number, name))
    rows["networks"][0]["name"] = NETWORK
    rows["subnets"][0]["name"] = SUBNET_NAME
    fixed = [
        {"subnet_id": SUBNET, "ip_address": "2001:db8:1234:5678:f816:1ff:fe00:1"},
        {"subnet_id": SUBNET, "ip_address": "10.0.0.7"},
    ]
    rows["ports"] = [
        {
            "id": PORT_ID,
            "name": PORT,
            "network_id": NET,
            "mac_address": "fa:16:01:00:00:01",
            "fixed_ips": fixed,
            "status": "ACTIVE",
            "binding:host_id": f"{SITE}/compute-rack17-node23.frankfurt.example.org",
        }
    ]
    rows["site-presences"] = [
        {
            "id": f"p-{name}",
            "network_id": NET,
            "site": name,
            "withdrawn": False,
            "datapath_key": 16711681,
            "created_at": ago(days=3),
        }
        for name in (SITE, OTHER)
    ]
    more = {"site": SITE, "last_error": ERROR, "changed_at": ago(days=2), "age": 86400}
    more["not_before"] = None
    rows["site-jobs"] = [
        job(1, id=JOB, type="network", resource_id=NET, state="parked", **more),
        job(2, id=PORT_ID, resource_id=PORT_ID, **more),
    ]
    rows["site-refusals"] = [
        {
            "id": "r1",
            "site": SITE,
            "type": "port",
            "resource_id": PORT_ID,
            "attributes": "binding:profile,binding:vnic_type,allowed_address_pairs",
            "reason": "attribute-not-carried",
            "changed_at": ago(days=2),
        }
    ]
    rows["site-events"] = [
        {
            "id": JOB,
            "number": 17,
            "created_at": ago(days=2),
            "what": "job.parked",
            "site": SITE,
            "type": "network",
            "resource_id": NET,
            "who": "xjob",
            "details": ERROR,
        }
    ]
    first = 0x20010DB8_12345678_00000000_00000001
    leased = {"id": ROUTER_ID, "size": 201, "first": str(first), "last": str(first + 200)}
    leased |= {"kind": "subnet", "pool_id": SUBNET, "created_at": ago(days=2)}
    rows["site-leases"] = [
        {**leased, "site": SITE},
        {**leased, "id": PORT_ID, "site": f"gone/{JOB}"},
    ]
    rows["site-mappings"] = []
    rows["routers"] = [{"id": ROUTER_ID, "name": ROUTER, "status": "ACTIVE"}]
    gateway = [{"ip_address": "203.0.113.17"}, {"ip_address": "2001:db8:ffff::17"}]
    idle = {"fixed_address": "10.0.0.7", "home": SITE, "site": None, "idle": LACK}
    rows["router-exits"] = [
        {
            "id": ROUTER_ID,
            "name": ROUTER,
            "sites": [exits(SITE), exits(OTHER)],
            "gateways": [
                {"site": SITE, "network_id": NET, "fixed_ips": gateway},
                {"site": None, "network_id": NET, "fixed_ips": []},
            ],
            "floating_ips": [{"address": "203.0.113.77", **idle}],
            "forwardings": [
                {
                    "address": "203.0.113.78",
                    "protocol": "tcp",
                    "ports": "1000-2000",
                    "fixed_ports": "1000-2000",
                    **idle,
                }
            ],
        }
    ]


class Screen(Inside):
    """A person at a terminal of some width."""

    def look(self, width: int, *arguments: str) -> str:
        def open_console(*, stderr: bool = False) -> Console:
            return Console(
                file=sys.stderr if stderr else sys.stdout,
                width=width,
                force_terminal=not stderr,
                color_system=None,
                highlight=False,
            )

        with mock.patch.object(render, "open_console", open_console):
            ran = run_inside({**os.environ, **self.environment}, arguments)
        assert ran.returncode in {0, 1}, ran.stderr
        assert "error: " not in ran.stderr
        return ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    with small_cloud() as cloud:
        fill(cloud)
        yield Screen(tmp_path_factory.mktemp("home"), cloud)


#: What is named behind a command that shows one object.
SHOWN = {"site": SITE, "network": NETWORK, "router": ROUTER, "port": PORT, "job": JOB}


def list_commands(*, long: bool) -> Iterator[tuple[str, ...]]:
    """List the commands that show something of the cloud, as the help knows them."""
    for noun, module, _, panel in main.SUB_APPS:
        # They need OVN, a file to write, and a database of a tier.
        if panel != "Cloud" or noun in {"why", "check", "explain", "gather", "pairs", "restored"}:
            continue
        command: Any = typer.main.get_command(importlib.import_module(f"isthmus.cli.{module}").app)
        verbs = getattr(command, "commands", {None: command})
        for verb, one in verbs.items():
            if verb in {None, "list", "show", "refused"}:
                words = [
                    noun,
                    *([verb] if verb else []),
                    *([SHOWN[noun]] if verb == "show" else []),
                ]
                has_long = any("--long" in param.opts for param in one.params)
                if not long:
                    yield tuple(words)
                elif has_long:
                    yield (*words, "--long")


COMMANDS = [*list_commands(long=False)]
LONG = [*list_commands(long=True)]


def test_there_are_commands_to_look_at() -> None:
    assert len(COMMANDS) > 12
    assert {words[0] for words in LONG} >= {"network", "lease", "job", "router", "audit"}


@pytest.mark.parametrize("words", [*COMMANDS, *LONG], ids=" ".join)
def test_no_word_is_split(screen: Screen, words: tuple[str, ...]) -> None:
    narrow, wide = screen.look(WIDTH, *words), screen.look(1000, *words)
    assert narrow.strip()
    assert max(map(len, narrow.splitlines())) <= WIDTH
    assert set(narrow.split()) - set(wide.split()) == set()
    empty = {one for one in wide.splitlines()[0].split() if one not in narrow}  # of every row
    assert set(wide.split()) - set(narrow.split()) - empty == set()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_times_are_ages(screen: Screen, words: tuple[str, ...]) -> None:
    assert not re.search(r"\d{4}-\d\d-\d\dT", screen.look(1000, *words))


#: Columns that have ids although nobody asked: what a job, or a removed site, is called by.
_BY_ID = {"job list": {JOB, PORT_ID}, "gone list": {JOB}, "lease list": {JOB}}


@pytest.mark.parametrize(
    "words", [one for one in COMMANDS if one[1:2] in {("list",), ("refused",)}], ids=" ".join
)
def test_lists_have_names_and_no_ids(screen: Screen, words: tuple[str, ...]) -> None:
    seen = {one[0] for one in re.finditer(UUID, screen.look(1000, *words))}
    assert seen <= _BY_ID.get(" ".join(words), set())


@pytest.mark.parametrize("words", LONG, ids=" ".join)
def test_long_has_the_names_and_the_ids_beside_them(screen: Screen, words: tuple[str, ...]) -> None:
    short, long = (screen.look(3000, *one).splitlines()[0].split() for one in (words[:-1], words))
    added = [one for one in long if one not in short]
    assert added
    assert all(one in {"id", "name"} or one.endswith("_id") for one in added)
    assert [one for one in long if one in short] == short


def list_help() -> Iterator[tuple[str, ...]]:
    yield ()
    for noun, module, *_ in main.SUB_APPS:
        yield (noun,)
        command: Any = typer.main.get_command(importlib.import_module(f"isthmus.cli.{module}").app)
        yield from ((noun, verb) for verb in getattr(command, "commands", ()))


@pytest.mark.parametrize("words", [*list_help()], ids=" ".join)
def test_help_is_in_our_words_and_splits_none(screen: Screen, words: tuple[str, ...]) -> None:
    def read(width: int) -> str:
        size = {"COLUMNS": str(width), "TERMINAL_WIDTH": str(width)}
        ran = run_inside({**os.environ, **screen.environment, **size}, [*words, "--help"])
        assert ran.returncode == 0
        return re.sub("[╭╮╰╯│─]", " ", ran.stdout)

    text = read(WIDTH)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert not re.search(r"<\w+( range)?>|<list\[|\{[A-Za-z]+\}", text)
    assert set(text.split()) - set(read(400).split()) == set()
