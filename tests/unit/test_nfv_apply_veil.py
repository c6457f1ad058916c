"""What apply tells on of services' logs, and options of old that go over several lines."""

from pathlib import Path

import pytest
from tests.unit.test_nfv_apply_shell import run

from isthmus.facts.host.oslo_conf import parse_ini

LOGGED = {
    "an address": "ERROR oslo.messaging amqp://nova:SECRET@mq:5672/ is unreachable",
    "two": "ERROR one mysql+pymysql://n:SECRET@db/nova two rabbit://a:SECRET@mq, rabbit://b:SECRET@m",
    "an option": "ERROR oslo_config the value of password = SECRET, is none",
    "JSON": 'ERROR keystone {"admin_token": "SECRET", "user": "nova"}',
    "a header": "ERROR keystoneauth X-Auth-Token: SECRET expired",
}


@pytest.mark.parametrize("name", LOGGED)
def test_no_secret_of_a_log_is_told_on(tmp_path: Path, name: str) -> None:
    logged = LOGGED[name]
    (tmp_path / "log").write_text(f"INFO started\n{logged}\n")
    done = run(tmp_path, f"journalctl() {{ cat {tmp_path}/log; }}", "why nova-compute")
    assert "SECRET" not in done.stdout
    assert done.stdout.startswith("ERROR ")
    assert "***" in done.stdout


def test_what_is_no_secret_is_told_in_full(tmp_path: Path) -> None:
    said = "CRITICAL nova InvalidConfiguration: vcpu_pin_set = 1-4 and cpu_dedicated_set: 2"
    (tmp_path / "log").write_text(said + "\n")
    done = run(tmp_path, f"journalctl() {{ cat {tmp_path}/log; }}", "why nova-compute")
    assert done.stdout.strip() == said


def test_lines_that_go_on_go_with_their_option(tmp_path: Path) -> None:
    """Left behind, they would belong to the option above: here an address of the queue."""
    (tmp_path / "nova.conf").write_text(
        "[DEFAULT]\ntransport_url = rabbit://mq/\nvcpu_pin_set = 1,\n  2-4\n  6\n"
        "my_ip = 192.0.2.1\n"
        "[compute]\ncpu_shared_set = 0,\n  5\n"
    )
    run(tmp_path, "retire")
    text = (tmp_path / "nova.conf").read_text()
    assert parse_ini(text) == {
        "DEFAULT/transport_url": ("rabbit://mq/",),
        "DEFAULT/my_ip": ("192.0.2.1",),
        "compute/cpu_shared_set": ("0,\n5",),
    }
    assert "took this out:   2-4" in text
    assert run(tmp_path, "retire").stdout == ""
