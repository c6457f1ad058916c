"""Run tempest's and neutron-tempest-plugin's API tests against central, and against a stock server.

Central promises to be Neutron: what passes on a stock ML2/OVN server of the same version must pass
on central. Both run here, in one lab: central all tests, and the stock server the classes of those
that did not pass on central, since only they can differ. What differs is compared with the list in
`differences.yaml`, where each has its reason. The exit code is 0 when every difference is listed.
"""

import argparse
import configparser
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import openstack
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TEMPEST = ROOT / ".dev/tempest/bin"
ISTHMUS = ROOT / ".venv/bin/isthmus"
#: The whole API of networks.
REGEX = r"^(neutron_tempest_plugin\.api|tempest\.api\.network)\."
#: The fabric that both clouds have; see `isthmus lab external list`.
FABRIC = "public"
READER = """
import json, subunit, sys, testtools
seen = {}
def note(test):
    reason = test["details"].get("reason")
    seen[test["id"]] = [test["status"], reason.as_text().strip() if reason else ""]
result = testtools.StreamToDict(note)
result.startTestRun()
subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="stdout").run(result)
result.stopTestRun()
print(json.dumps(seen))
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a test ended."""

    status: str
    reason: str  #: why it was skipped, as tempest says it


def ensure_external(connection: openstack.connection.Connection, zone: str | None) -> str:
    """Make the external network that routers of tests leave by; gives its id.

    Args:
        connection: an administrator's, to one cloud.
        zone: what names the site that has the fabric; a stock server has the only one.
    """
    network = connection.network.find_network("public")
    if network is None:
        network = connection.network.create_network(
            name="public",
            is_router_external=True,
            is_default=True,
            provider_network_type="flat",
            provider_physical_network=FABRIC,
            **({"availability_zone_hints": [zone]} if zone else {}),
        )
        for version, cidr in ((4, "172.31.1.0/24"), (6, "2001:db8:f1a7:1::/64")):
            connection.network.create_subnet(
                network_id=network.id, ip_version=version, cidr=cidr, enable_dhcp=False
            )
    return str(network.id)


def workspace(folder: Path, cloud: str, region: str, zone: str | None) -> None:
    """Write a tempest workspace for one cloud of the lab's clouds.yaml.

    Args:
        folder: where.
        cloud: its name in clouds.yaml.
        region: its region.
        zone: what names the site of the external network, if one has to.
    """
    connection = openstack.connect(cloud=cloud)
    external = ensure_external(connection, zone)
    auth = connection.config.get_auth_args()
    extensions = sorted(extension.alias for extension in connection.network.extensions())
    settings = {
        "DEFAULT": {"log_file": "tempest.log"},
        "auth": {
            "use_dynamic_credentials": "true",
            "create_isolated_networks": "false",
            "admin_username": auth["username"],
            "admin_password": auth["password"],
            "admin_project_name": "admin",
            "admin_domain_name": "Default",
        },
        "identity": {"auth_version": "v3", "uri_v3": auth["auth_url"], "region": region},
        "identity-feature-enabled": {"api_v2": "false", "api_v3": "true"},
        "service_available": {
            "nova": "false",
            "glance": "false",
            "cinder": "false",
            "swift": "false",
            "horizon": "false",
            "neutron": "true",
        },
        "network": {
            "region": region,
            "project_networks_reachable": "false",
            "public_network_id": external,
            "floating_network_name": "public",
        },
        "network-feature-enabled": {
            "ipv6": "true",
            "ipv6_subnet_attributes": "true",
            "port_security": "true",
            "floating_ips": "true",
            "api_extensions": ",".join(extensions),
        },
        "neutron_plugin_options": {
            "available_type_drivers": "geneve,vxlan,vlan,flat,local",
            "provider_vlans": FABRIC,
            "create_shared_resources": "true",
        },
        "enforce_scope": {"neutron": "true", "keystone": "true"},
        "oslo_concurrency": {"lock_path": str(folder / "lock")},
    }
    make_workspace(folder, settings)


def make_workspace(folder: Path, settings: Mapping[str, Mapping[str, str]]) -> None:
    """Make a workspace of tempest.

    Args:
        folder: where.
        settings: its tempest.conf.
    """
    # A list of workspaces of its own: the person's would refuse a name that it has seen before.
    listed = ["--workspace-path", str(folder.parent / "workspaces.yaml")]
    subprocess.run(
        [TEMPEST / "tempest", "init", *listed, str(folder)], check=True, capture_output=True
    )
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict(settings)
    with (folder / "etc/tempest.conf").open("w") as handle:
        parser.write(handle)


def environ() -> dict[str, str]:
    return {**os.environ, "PATH": f"{TEMPEST}:{os.environ['PATH']}"}


def list_tests(folder: Path, regex: str) -> list[str]:
    """List the ids of the tests."""
    words = [f"{TEMPEST}/tempest", "run", "--list-tests", "--regex", regex]
    said = subprocess.run(words, cwd=folder, env=environ(), check=True, capture_output=True)
    lines = said.stdout.decode().splitlines()
    return sorted(line for line in lines if line.startswith(("tempest.", "neutron_tempest_")))


def run(folder: Path, tests: list[str]) -> dict[str, Ended]:
    """Run tests in a workspace; gives how each ended, by its id."""
    environment, chosen = environ(), folder / "chosen.txt"
    chosen.write_text("\n".join(tests) + "\n")
    subprocess.run(
        [f"{TEMPEST}/tempest", "run", "--concurrency", "2", "--load-list", str(chosen)],
        cwd=folder,
        env=environment,
        check=False,
        stdout=sys.stderr,
    )
    stream = subprocess.run(
        [TEMPEST / "stestr", "last", "--subunit"],
        cwd=folder,
        env=environment,
        check=False,
        capture_output=True,
    ).stdout
    answer = subprocess.run(
        [TEMPEST / "python", "-c", READER], input=stream, check=True, capture_output=True
    ).stdout
    found: dict[str, list[str]] = json.loads(answer)
    return {test: Ended(*said) for test, said in found.items()}


def choose_again(tests: list[str], central: dict[str, str]) -> list[str]:
    """Choose the classes of which something did not pass on central.

    Whole classes, since the tests of one share a project and its quota: one that follows nine
    others need not end as it does alone.
    """
    missed = {class_of(test) for test in tests if central.get(test) != "success"}
    return [test for test in tests if class_of(test) in missed]


def class_of(test: str) -> str:
    """Return the class of a test."""
    return test.partition("[")[0].rpartition(".")[0]


def differences(stock: dict[str, str], central: dict[str, str]) -> dict[str, str]:
    """Name the tests that pass on the stock server and do not pass on central."""
    return {
        test: central.get(test, "missing")
        for test, status in sorted(stock.items())
        if status == "success" and central.get(test) != "success"
    }


def is_listed(test: str, listed: set[str]) -> bool:
    """Tell whether a test, or its whole class, is in the list of differences."""
    name = test.partition("[")[0]
    return name in listed or class_of(test) in listed


def read_arguments() -> argparse.Namespace:
    """Read what the person asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--regex", default=REGEX, help="which tests")
    parser.add_argument("--lab", default="conform", help="name of the lab to use or make")
    parser.add_argument("--mariadb", action="store_true", help="Neutron on MariaDB in a new lab")
    parser.add_argument("--keep", action="store_true", help="leave the lab and the workspaces")
    parser.add_argument("--central-only", action="store_true", help="skip the stock server")
    parser.add_argument("--central-results", type=Path, help="a central.json of before, to go on")
    return parser.parse_args()


def main() -> int:
    """Compare central with a stock server."""
    options = read_arguments()
    state = Path(os.environ.get("ISTHMUS_STATE", "/var/lib/isthmus")) / options.lab
    made = not (state / "clouds.yaml").exists()
    if made:
        topology = HERE / "topology.yaml"
        words = [ISTHMUS, "lab", "up", "--name", options.lab, "--topology", topology]
        subprocess.run([*words, *(["--mariadb"] if options.mariadb else [])], check=True)
    os.environ["OS_CLIENT_CONFIG_FILE"] = str(state / "clouds.yaml")
    rows = yaml.safe_load((HERE / "differences.yaml").read_text()) or ()
    listed = {test for row in rows for test in row["tests"]}
    base = Path(tempfile.mkdtemp(prefix="isthmus-conformance-"))
    try:
        results: dict[str, dict[str, str]] = {}
        for cloud in ["central"] if options.central_only else ["central", "stock"]:
            workspace(base / cloud, cloud, cloud, "site1" if cloud == "central" else None)
            if cloud == "central" and options.central_results:
                results[cloud] = json.loads(options.central_results.read_text())
            else:
                tests = list_tests(base / cloud, options.regex)
                if cloud != "central":
                    tests = choose_again(tests, results["central"])
                ended = run(base / cloud, tests)
                results[cloud] = {test: one.status for test, one in ended.items()}
            (base / f"{cloud}.json").write_text(json.dumps(results[cloud], indent=1))
        for cloud, statuses in results.items():
            counted = {
                status: list(statuses.values()).count(status) for status in set(statuses.values())
            }
            print(f"{cloud}: {counted}")
        stock = results.get("stock") or dict.fromkeys(results["central"], "success")
        found = differences(stock, results["central"])
        unlisted = [test for test in found if not is_listed(test, listed)]
        for test, status in found.items():
            print(f"{'NEW' if test in unlisted else 'listed':7} {status:8} {test}")
        print(f"{len(found)} differences, {len(unlisted)} of them not listed; results in {base}")
        return 1 if unlisted else 0
    finally:
        if made and not options.keep:
            subprocess.run([ISTHMUS, "lab", "down", "--name", options.lab], check=False)


if __name__ == "__main__":
    sys.exit(main())
