"""`isthmus build site` with Placement, Glance and Nova: a server comes up at the site that it made.

The machines are those of `test_build_site`; servers are network namespaces, by our driver of Nova.
"""

from pathlib import Path

import pytest
from tests.lab import bare
from tests.lab.machine import Machine, Switch
from tests.lab.page import Step, run_step
from tests.lab.test_build_site import (
    COMPUTE_FLEET,
    build,
    machines,
    open_clouds,
    prepare,
    read_passwords,
    recaps,
    see_nothing_secret,
    told,
    watched_processes,
)

from isthmus.testing.needed import lack

__all__ = ["machines"]
pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.stress]


@pytest.mark.timeout(2400)
def test_a_site_that_was_built_has_servers(
    machines: tuple[Switch, dict[str, Machine]], tmp_path: Path
) -> None:
    if not Path(bare.RABBITMQ).exists():
        lack("rabbitmq-server")
    switch, nodes = machines
    prepare(nodes, tmp_path, COMPUTE_FLEET)
    with watched_processes() as processes:
        first = build(tmp_path, switch)
    assert first.returncode == 0, told(first, nodes)
    state = tmp_path / "state"
    see_nothing_secret(read_passwords(state), processes, state, first.stdout + first.stderr, nodes)

    again = build(tmp_path, switch)
    assert again.returncode == 0, told(again, nodes)
    assert "changed:" not in again.stderr, again.stderr
    assert [changes for _, changes in recaps(again.stdout)] == [0, 0, 0]

    see_a_server(nodes["c1"], nodes["n1"])


def see_a_server(central: Machine, site: Machine) -> None:
    """Have a network at central and a server at the site; it answers, and is gone when deleted."""
    open_clouds(central, site)
    site.run("python -m isthmus.lab.compute.image >/tmp/guest.img")
    site.run(
        "openstack --os-cloud north image create --disk-format raw --file /tmp/guest.img guest"
    )
    central.run("openstack network create net1")
    central.run("openstack subnet create --network net1 --subnet-range 10.0.0.0/24 net1-v4")
    central.run("isthmus network extend net1 north --wait 120")
    create = "openstack --os-cloud north server create --flavor m1.nano --image guest"
    central.run(f"{create} --network net1 --wait vm1")
    show = "openstack --os-cloud north server show vm1 -f value -c status -c OS-EXT-SRV-ATTR:host"
    assert set(central.run(show).split()) == {"ACTIVE", "n1"}
    step = Step(
        line=0, section="", repeat=True, printed=("ACTIVE",),
        command="openstack --os-cloud north port list --server vm1 -f value -c Status",
    )  # fmt: skip
    run_step(central.shell, step, "see_a_server")
    assert "10.0.0." in central.run(
        "openstack --os-cloud north server show vm1 -f value -c addresses"
    )
    log = "openstack --os-cloud north console log show vm1"
    step = Step(
        line=0, section="", command=f"{log} | grep -c 10.0.0.", repeat=True, printed=("...",)
    )
    run_step(central.shell, step, "see_a_server")
    central.run("openstack --os-cloud north server delete --wait vm1")
    assert not central.run("openstack --os-cloud north port list -f value -c ID --network net1 "
                           "--device-owner compute:nova").strip()  # fmt: skip
