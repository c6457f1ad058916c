"""The machine as Kolla leaves a host: nova-compute's configuration and Open vSwitch in containers.

The containers are podman's, of the machine's own files, with Kolla's names and folders; what runs
in that of Open vSwitch is the real switch, with DPDK on the planned ports.
"""

from collections.abc import Iterator

import pytest
from tests.qemu.tuned import Tuned

from isthmus.facts import dump, gather
from isthmus.facts.gather import collect_facts
from isthmus.model.host.nfv_layout import Layout
from isthmus.nfv import apply
from isthmus.nfv.apply import apply_plan
from isthmus.nfv.check.state import parse_state

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(3600)]

SWITCH = "/etc/kolla/openvswitch-vswitchd/config.json"
SWITCH_CONFIG = """\
{
    "command": "ovs-vswitchd unix:/run/openvswitch/db.sock --pidfile \
--log-file=/var/log/openvswitch/ovs-vswitchd.log",
    "config_files": []
}
"""
#: As `kolla_start` does: the command of that file becomes the process, word by word.
VSWITCHD = f'exec $(sed -n "s/.*\\"command\\": \\"\\(.*\\)\\".*/\\1/p" {SWITCH})'
CONF = "/etc/kolla/nova-compute/nova.conf"
#: As `kolla_start` does: the file that the deployment tool has written is copied in, then read.
COMPUTE = "cp /etc/kolla/nova-compute/nova.conf /tmp/nova.conf && exec sleep infinity"
SETUP = f"""
set -e
mkdir -p /etc/kolla/nova-compute /etc/kolla/openvswitch-vswitchd
cat >{SWITCH} <<'END'
{SWITCH_CONFIG}END
printf '[DEFAULT]\\ntransport_url = rabbit://nova:secret@mq/\\nvcpu_pin_set = 4-5\\n' >{CONF}
# Debian's units take the database along.
systemctl stop ovs-vswitchd
systemctl start ovsdb-server
run() {{ n=$1; shift; podman run -d --name "$n" --privileged --network host --pid host \\
  -v /run:/run -v /dev:/dev -v /etc:/etc -v /var/lib:/var/lib -v /var/log:/var/log -v /sys:/sys \\
  --rootfs /:O "$@"; }}
run nova_compute sh -c '{COMPUTE}'
run openvswitch_vswitchd sh -c '{VSWITCHD}'
# DPDK takes its time there, and answers nobody before.
timeout 600 sh -c 'until ovs-appctl version >/dev/null 2>&1; do sleep 2; done'
"""
TEARDOWN = """
podman rm -f nova_compute openvswitch_vswitchd
rm -rf /etc/kolla
systemctl restart ovs-vswitchd
"""


@pytest.fixture(scope="module")
def kolla(tuned: Tuned) -> Iterator[Tuned]:
    with pytest.MonkeyPatch.context() as patch:
        # Each `podman exec` takes ten seconds and more on the emulated machine.
        patch.setattr(gather, "FACTS_TIMEOUT_S", 1200.0)
        patch.setattr(apply, "APPLY_TIMEOUT_S", 1800.0)
        tuned.run(SETUP, timeout_s=900)
        try:
            yield tuned
        finally:
            tuned.run(TEARDOWN, timeout_s=900)
    assert tuned.until_clean() == {}


def test_the_layout_is_found_and_its_options_are_read(kolla: Tuned) -> None:
    text = collect_facts(kolla.client, settings=True)
    state = parse_state(dump.parse_facts(text))
    assert state.layout is Layout.KOLLA
    assert state.nova == {"DEFAULT/vcpu_pin_set": ("4-5",)}
    assert state.ovs_runs
    assert "secret" not in text
    runs = {one.name: one.runs for one in state.services}
    assert runs["nova_compute"]
    assert runs["openvswitch_vswitchd"]


def test_the_plan_is_applied_and_found_clean(kolla: Tuned) -> None:
    done = apply_plan(kolla.client, kolla.plan)
    assert any(CONF in change for change in done.changes)
    assert any("restarted nova_compute" in change for change in done.changes)
    assert any("restarted openvswitch_vswitchd" in change for change in done.changes)
    assert kolla.until_clean() == {}
    options = kolla.run(f"cat {CONF}")
    assert "rabbit://nova:secret@mq/" in options, "what the tool has written stays"
    assert "taskset -c" in kolla.run(f"cat {SWITCH}")
    controllers = kolla.run("cat /sys/fs/cgroup/machine.slice/cgroup.subtree_control")
    assert "cpuset" in controllers, "before any instance is there"
    assert apply_plan(kolla.client, kolla.plan).changes == ()


def test_what_is_wrong_in_a_container_is_named(kolla: Tuned) -> None:
    kolla.run(f"sed -i 's/^cpu_shared_set.*/cpu_shared_set = 0/' {CONF}; podman stop nova_compute")
    try:
        kolla.until_found(
            {"nova.cpu_shared_set": ["[compute] cpu_shared_set"], "service.down": ["nova-compute"]}
        )
    finally:
        kolla.run("podman start nova_compute")
        apply_plan(kolla.client, kolla.plan)
    assert kolla.until_clean() == {}
