"""The how-to pages that want a Nova, typed: each leaves nothing behind."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.lab.conftest import Silent, new_name
from tests.lab.preloaded import preloaded
from tests.lab.test_howto_pages import type_page

from isthmus import errors
from isthmus.lab.capability import check_machine
from isthmus.lab.opened import OpenLab
from isthmus.testing.needed import lack
from isthmus.wiring.compute.lab_nova import request_compute
from isthmus.wiring.lab import choose_topology, machine_tools, open_labs

pytestmark = [pytest.mark.lab, pytest.mark.stress, pytest.mark.timeout(3600)]

PAGES = ("servers.md", "ladder.md")


@pytest.fixture(scope="module")
def lab() -> Iterator[OpenLab]:
    """Two sites with two hypervisors each, and a Nova each."""
    try:
        check_machine(machine_tools(), compute=True)
        request = request_compute()
    except (errors.Refused, errors.Unsupported) as refusal:
        lack(refusal.message)
    labs, name = open_labs(), new_name()
    try:
        yield labs.up(name, choose_topology(None, 2, 2), reporter=Silent(), compute=request)
    finally:
        with contextlib.suppress(errors.NotFound):
            labs.down(name)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the folder of the `openstack` that the pages use."""
    with preloaded(tmp_path_factory.mktemp("client")) as folder:
        yield folder


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_as_it_says_and_leaves_nothing(
    lab: OpenLab,
    client: Path,
    page: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    type_page(lab, client, page, tmp_path, record_property)
