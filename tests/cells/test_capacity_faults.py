"""Odd cells, hosts, flavors and words: said in one line, and everything else is counted."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.cells.test_numa import ask

from isthmus import errors
from isthmus.cells.arrays import make_arrays
from isthmus.cells.assemble import assemble
from isthmus.cells.capacity import list_capacity
from isthmus.cells.fill import Order, State
from isthmus.cells.traits import OWNER_VERSION
from isthmus.cli import main
from isthmus.cli.compute.cell import _parse_counts
from isthmus.config.nova import read_databases
from isthmus.model.compute.cloud import (
    ApiState,
    Cell,
    CellAddress,
    CellHosts,
    ComputeCloud,
    ComputeHost,
    Flavor,
    Provider,
    ResourceInventory,
)
from isthmus.nfv.compute.numa import NumaFit
from isthmus.nfv.compute.topology import close_unreadable
from isthmus.store.nova.cell import collect_hosts
from isthmus.store.nova.reading import reading

FLAVOR = Flavor(name="small", flavorid="1", vcpus=1, ram_mib=512)
PINNED = Flavor(
    name="pinned", flavorid="2", vcpus=2, ram_mib=512, extra_specs={"hw:cpu_policy": "dedicated"}
)


def host(name: str, cell: str = "c", **more: Any) -> ComputeHost:
    return ComputeHost(**{"name": name, "node": name, "uuid": name, "cell": cell, **more})


def make_cloud(*hosts: ComputeHost, classes: tuple[str, ...] = ("VCPU",)) -> ComputeCloud:
    names = sorted({one.uuid for one in hosts})
    return ComputeCloud(
        cells=(),
        hosts=hosts,
        providers=tuple(
            Provider(id=number, uuid=name, name=name, root=number)
            for number, name in enumerate(names, 1)
        ),
        inventories=tuple(
            ResourceInventory(provider=number, resource_class=kind, capacity=count, used=0)
            for number, _ in enumerate(names, 1)
            for kind, count in (*((one, 4) for one in classes), ("MEMORY_MB", 4096))
        ),
    )


def count(cloud: ComputeCloud, by: str, flavor: Flavor = FLAVOR) -> dict[str, int]:
    found = list_capacity(make_arrays(cloud), [flavor], NumaFit(cloud.hosts), by)
    return {one.scope: one.fits for one in found}


def make_numa(cpus: int, dedicated: int) -> str:
    node = {
        "id": 0,
        "cpuset": list(range(cpus)),
        "pcpuset": list(range(dedicated)),
        "pinned_cpus": [],
        "siblings": [],
        "memory": 8192,
        "cpu_usage": 0,
        "memory_usage": 0,
        "mempages": [
            {"nova_object.data": {"size_kb": 4, "total": 2097152, "used": 0, "reserved": 0}}
        ],
        "socket": 0,
    }
    return json.dumps({"nova_object.data": {"cells": [{"nova_object.data": node}]}})


@pytest.mark.parametrize(
    "numa",
    [
        "no JSON",
        '{"cells": []}',
        "[1]",
        '{"nova_object.data": {"cells": [{"nova_object.data": []}]}}',
        make_numa(4, 4).replace('"memory": 8192', '"memory": "8192"'),
        make_numa(4, 4).replace('"size_kb": 4', '"size_kb": 0'),
        make_numa(4, 4).replace('"siblings": []', '"siblings": null'),
    ],
)
def test_a_host_that_cannot_be_read_is_closed(numa: str) -> None:
    odd, fine = close_unreadable([host("odd", numa=numa), host("fine", numa=make_numa(4, 4))])
    cloud = make_cloud(odd, fine)
    assert odd.closed == "numa_topology is unreadable"
    assert count(cloud, "host") == {"odd": 0, "fine": 4}
    (row,) = list_capacity(make_arrays(cloud), [FLAVOR], NumaFit(cloud.hosts), "cloud")
    assert ("numa_topology is unreadable", 1) in [(one.name, one.hosts) for one in row.bindings]


def test_a_host_without_dedicated_cpus_takes_pinned_instances_by_its_shared_ones() -> None:
    legacy = make_cloud(host("legacy", numa=make_numa(4, 4)))
    assert count(legacy, "cloud", PINNED) == {"cloud": 2}
    both = make_cloud(host("both", numa=make_numa(8, 8)), classes=("PCPU", "VCPU"))
    assert count(both, "cloud", PINNED) == {"cloud": 4}
    # What Nova has as dedicated CPUs of the host binds in the end.
    shared = make_cloud(host("shared", numa=make_numa(4, 0)))
    assert count(shared, "cloud", PINNED) == {"cloud": 0}
    never = ComputeCloud(
        cells=(),
        hosts=legacy.hosts,
        providers=legacy.providers,
        inventories=legacy.inventories,
        retries_pinned=False,
    )
    assert count(never, "cloud", PINNED) == {"cloud": 0}


def test_a_reservation_takes_dedicated_cpus_first_and_then_shared_ones() -> None:
    cloud = make_cloud(host("h", numa=make_numa(8, 8)), classes=("PCPU", "VCPU"))
    state = State(make_arrays(cloud), NumaFit(cloud.hosts))
    assert state.reserve(PINNED, 3, Order.SPREAD) == 3
    assert state.arrays.columns["PCPU"].free.tolist() == [0]
    assert state.arrays.columns["VCPU"].free.tolist() == [2]
    assert state.reserve(PINNED, 3, Order.SPREAD) == 1


def make_api(*cells: Cell, hosts: dict[str, str]) -> ApiState:
    return ApiState(
        cells=tuple(
            CellAddress(id=number, cell=one, database="") for number, one in enumerate(cells)
        ),
        host_cells=hosts,
        aggregates=(),
        flavors=(),
    )


def test_cells_of_one_name_are_told_apart() -> None:
    api = make_api(Cell(name="x", uuid="1"), Cell(name="x", uuid="2"), hosts={"a": "1", "b": "2"})
    answers = {
        "1": CellHosts(hosts=(host("a", "x", node="n"),), version=0),
        "2": CellHosts(hosts=(host("b", "x", node="n"),), version=0),
    }
    plain = make_cloud(host("a"), host("b"))
    cloud = assemble(api, answers, plain.providers, plain.inventories)
    assert count(cloud, "cell") == {"x (1)": 4, "x (2)": 4}
    assert count(cloud, "host") == {"n in x (1)": 4, "n in x (2)": 4}


@pytest.mark.parametrize("first", [0, 1])
def test_of_a_host_in_two_cells_the_open_one_counts(first: int) -> None:
    api = make_api(Cell(name="x", uuid="1"), Cell(name="y", uuid="2"), hosts={"a": "2"})
    answers = {
        str(number): CellHosts(hosts=(host("a", cell),), version=0)
        for number, cell in ((1, "x"), (2, "y"))
    }
    if first:
        api = make_api(*[one.cell for one in reversed(api.cells)], hosts={"a": "2"})
    plain = make_cloud(host("a"))
    cloud = assemble(api, answers, plain.providers, plain.inventories)
    assert count(cloud, "cell") == {"x": 0, "y": 4}


def test_nova_asks_for_its_own_trait_once_all_computes_report_it() -> None:
    plain = make_cloud(host("a"))

    def counted(*versions: int) -> int:
        cells = tuple(
            Cell(name=str(number), uuid=str(number), version=version)
            for number, version in enumerate(versions)
        )
        return count(
            ComputeCloud(
                cells=cells,
                hosts=plain.hosts,
                providers=plain.providers,
                inventories=plain.inventories,
            ),
            "cloud",
        )["cloud"]

    assert counted(OWNER_VERSION, 0) == 0
    assert counted(OWNER_VERSION, OWNER_VERSION - 1) == 4
    assert counted() == 4


def test_what_nothing_else_bounds_is_no_number() -> None:
    flavor = Flavor(
        name="metal",
        flavorid="m",
        vcpus=1,
        ram_mib=1,
        extra_specs={f"resources:{one}": "0" for one in ("MEMORY_MB", "DISK_GB")},
    )
    cloud = make_cloud(host("a"), host("b", closed="service is down"))
    (row,) = list_capacity(make_arrays(cloud), [flavor], None, "cloud")
    assert {one.name: one.without for one in row.bindings} == {"VCPU": None, "service is down": 4}


@pytest.fixture
def cell_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/cell.db"
    ask(["tables", f"sqlite:///{tmp_path}/api.db", url, f"sqlite:///{tmp_path}/p.db"], [])
    return url


def test_ratios_that_are_not_there_are_those_of_nova(cell_url: str, tmp_path: Path) -> None:
    engine = sa.create_engine(cell_url)
    names = "vcpus memory_mb local_gb vcpus_used memory_mb_used local_gb_used hypervisor_version"
    columns = names.split()
    with engine.begin() as connection:
        for number, ratio in enumerate((None, 0.0, 2.5)):
            row = {
                **dict.fromkeys(columns, 0),
                "hypervisor_type": "QEMU",
                "cpu_info": "",
                "uuid": str(number),
                "hypervisor_hostname": f"h{number}",
                "deleted": 0,
                "cpu_allocation_ratio": ratio,
                "ram_allocation_ratio": ratio,
            }
            values = ", ".join(f":{one}" for one in row)
            sql = f"INSERT INTO compute_nodes ({', '.join(row)}) VALUES ({values})"
            connection.execute(sa.text(sql), row)
    engine.dispose()
    file = tmp_path / "nova.conf"
    urls = "[api_database]\nconnection = sqlite://\n[placement_database]\nconnection = sqlite://\n"
    file.write_text(f"[DEFAULT]\ninitial_ram_allocation_ratio = 1.25\n{urls}")
    where = read_databases([file], [file])
    found = collect_hosts(
        cell_url,
        "c",
        down_time_s=60,
        timeout_s=5.0,
        cpu_ratio=where.cpu_ratio,
        ram_ratio=where.ram_ratio,
    )
    assert [(one.cpu_ratio, one.ram_ratio) for one in found.hosts] == [
        (4.0, 1.25),
        (4.0, 1.25),
        (2.5, 2.5),
    ]
    assert found.version == 0


@pytest.mark.parametrize("form", ["sqlite:///{path}", "sqlite:///file:{path}?mode=rwc&uri=true"])
def test_a_wrong_path_makes_no_file(tmp_path: Path, form: str) -> None:
    path = tmp_path / "nobody.db"
    url = form.format(path=path)
    with pytest.raises(errors.Unreachable), reading(url, 1.0) as connection:
        connection.execute(sa.text("SELECT 1"))
    assert not path.exists()


def test_tables_of_nobody_are_no_silence(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(errors.Inconsistent), reading(f"sqlite:///{path}", 1.0) as connection:
        connection.execute(sa.text("SELECT 1 FROM cell_mappings"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=1", [("a", 1)]),
        ("a=b=2", [("a=b", 2)]),
        ("m1:large=3", [("m1:large", 3)]),
        ("a,b=2, c=3", [("a,b", 2), ("c", 3)]),
        ("a=1,a=2", [("a", 1), ("a", 2)]),
    ],
)
def test_counts_of_flavors_are_read(text: str, found: list[tuple[str, int]]) -> None:
    assert _parse_counts(text) == found


@pytest.mark.parametrize("text", ["", "a", "=1", "a=0", "a=-1", "a=1e9", f"a={10**9}", "a=1,b"])
def test_other_counts_are_refused(text: str) -> None:
    with pytest.raises(errors.Invalid, match="FLAVOR=NUMBER"):
        _parse_counts(text)


@pytest.mark.parametrize("timeout", ["nan", "inf", "1e300", "3601"])
def test_a_timeout_is_a_time(timeout: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main.run(["cell", "capacity", "--timeout", timeout])
    assert end.value.code == 2
    assert "--timeout" in capsys.readouterr().err
