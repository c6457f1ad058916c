"""Run tempest's tests of compute, and its scenarios of networks, against the Nova of a lab's site.

Servers of the lab are namespaces (`isthmus.nova`): what that driver does not do is switched off in
tempest's configuration, under its own name, so that its tests are skipped. What is skipped and what
fails must be in `compute.yaml`, with its reason. The exit code is 0 when all of it is.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import openstack
import yaml
from tests.conformance.run import (
    HERE,
    ISTHMUS,
    Ended,
    ensure_external,
    is_listed,
    list_tests,
    make_workspace,
    run,
)

from isthmus.lab.compute.image import NAME, render_image
from isthmus.wiring.lab import open_labs

SITE = "site1"
#: What has to do with one server, its ports and its images. Scenarios that need disks are skipped.
REGEX = {
    "api": r"^tempest\.api\.compute\.",
    "scenario": r"^tempest\.scenario\.test_(minimum|network|security_groups|server|shelve|snap)",
}
#: A second image, since tests want to tell two apart; it holds the same.
OTHER_IMAGE = "guest-too"
#: The flavors that a lab's Nova begins with: m1.nano and m1.tiny.
FLAVORS = ("1", "2")
#: Between the machine and the outside of the site, for tests that call servers from there.
NEAR, FAR = "198.18.77.1", "198.18.77.2"
#: What tempest can ask for, and whether the driver of the lab's servers does it.
FEATURES = {
    "attach_encrypted_volume": False,
    "change_password": False,
    "cold_migration": True,
    # It is there, as a folder: a guest has no disks.
    "config_drive": False,
    "console_output": True,
    "disk_config": True,
    "hostname_fqdn_sanitization": True,
    "interface_attach": True,
    "live_migration": True,
    "live_migrate_back_and_forth": True,
    "metadata_service": True,
    "pause": False,
    # Files that are handed over are on the drive, and most of a guest's file system is read only.
    "personality": False,
    "rescue": False,
    "resize": True,
    "serial_console": False,
    "shelve": False,
    "snapshot": False,
    "spice_console": False,
    "suspend": False,
    "vnc_console": False,
    "volume_multiattach": False,
}


def ensure_image(connection: openstack.connection.Connection, name: str) -> str:
    """Upload an image, unless it is there; gives its id."""
    found = connection.image.find_image(name)
    if found is None:
        found = connection.image.create_image(
            name=name,
            data=render_image(),
            disk_format="raw",
            container_format="bare",
            visibility="public",
        )
    return str(found.id)


def workspace(folder: Path, networks_at: str, *, call: bool) -> None:
    """Write a tempest workspace.

    Args:
        folder: where.
        networks_at: `central`, or the site alone.
        call: whether servers are called at floating IPs.
    """
    site = openstack.connect(cloud=SITE)
    at = openstack.connect(cloud=networks_at)
    external = ensure_external(at, SITE if networks_at == "central" else None)
    auth = site.config.get_auth_args()
    extensions = sorted(extension.alias for extension in at.network.extensions())
    versions = site.compute.get_endpoint_data()
    assert versions is not None
    off = dict.fromkeys(("cinder", "swift", "horizon"), "false")
    on = dict.fromkeys(("nova", "glance", "neutron"), "true")
    settings: dict[str, Mapping[str, str]] = {
        "DEFAULT": {"log_file": "tempest.log"},
        "auth": {
            "use_dynamic_credentials": "true",
            "create_isolated_networks": "true",
            "admin_username": auth["username"],
            "admin_password": auth["password"],
            "admin_project_name": "admin",
            "admin_domain_name": "Default",
        },
        "identity": {"auth_version": "v3", "uri_v3": auth["auth_url"], "region": SITE},
        "identity-feature-enabled": {"api_v2": "false", "api_v3": "true"},
        "service_available": {**off, **on},
        "compute": {
            "region": SITE,
            "image_ref": ensure_image(site, NAME),
            "image_ref_alt": ensure_image(site, OTHER_IMAGE),
            "flavor_ref": FLAVORS[0],
            "flavor_ref_alt": FLAVORS[1],
            "min_compute_nodes": "2",
            "min_microversion": ".".join(map(str, versions.min_microversion)),
            "max_microversion": ".".join(map(str, versions.max_microversion)),
            "hypervisor_type": "isthmus",
        },
        "compute-feature-enabled": {name: str(does) for name, does in FEATURES.items()},
        "image": {"region": SITE},
        "image-feature-enabled": {"api_v2": "true"},
        "network": {
            "region": networks_at,
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
        "validation": {
            "run_validation": str(call),
            "connect_method": "floating",
            "image_ssh_user": "root",
        },
        "scenario": {"dhcp_client": "dhclient"},
        "oslo_concurrency": {"lock_path": str(folder / "lock")},
    }
    make_workspace(folder, settings)


@contextmanager
def way_outside(lab: str) -> Iterator[None]:
    """Let the machine itself reach the floating IPs of the site, while the block lasts."""
    outside = open_labs().open(lab).plan.get_site(SITE).outside
    assert outside is not None
    link = f"conf-{lab}"[:15]
    end = f"peer name api netns {outside.netns}"
    lines = [f"link add {link} type veth {end}", f"addr add {NEAR}/30 dev {link}"]
    lines += [f"link set {link} up"]
    far = [f"addr add {FAR}/30 dev api", "link set api up"]
    _ip(lines)
    try:
        _ip(far, "-n", outside.netns)
        routes = (f"-{net.version} route add {net} via {FAR}" for net in _ranges(outside))
        for route in routes:
            subprocess.run(["ip", *route.split()], check=True)
        yield
    finally:
        _ip([f"link delete {link}"])


def _ranges(outside: Any) -> Iterator[Any]:
    for network in outside.networks:
        yield from (net for net in network.subnets if net.version == 4)


def _ip(lines: list[str], *where: str) -> None:
    subprocess.run(["ip", *where, "-batch", "-"], input="\n".join(lines), text=True, check=True)


def judge(results: Mapping[str, Ended], told: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Say of each test that did not end as one would like whether that was expected.

    Args:
        results: how each ended.
        told: what `compute.yaml` says.

    Yields:
        (word, status, test): `listed`, `NEW`, or `STALE` for one that passes though it is listed.
    """
    fails = {test for row in told["fails"] for test in row["tests"]}
    reasons = [text for row in told["skips"] for text in row["said"]]
    for test, ended in sorted(results.items()):
        if ended.status == "success":
            if strip_tags(test) in fails:
                yield "STALE", ended.status, test
            continue
        if ended.status == "skip":
            is_told = any(text in ended.reason for text in reasons)
        else:
            is_told = is_listed(test, fails)
        yield "listed" if is_told else "NEW", ended.status, f"{test}  {ended.reason}".rstrip()


def strip_tags(test: str) -> str:
    """Return a test's name without its tags."""
    return test.partition("[")[0]


def read_arguments() -> argparse.Namespace:
    """Read what the person asks for."""
    parser = argparse.ArgumentParser(
        prog="./dev conformance compute", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "what",
        choices=["api", "scenario"],
        nargs="?",
        default="api",
        help="tests of the API, or scenarios",
    )
    parser.add_argument("--regex", help="which tests")
    parser.add_argument("--lab", default="compconf", help="name of the lab to use or make")
    parser.add_argument(
        "--networks-at",
        default="central",
        choices=["central", SITE],
        help="where tests make networks",
    )
    parser.add_argument("--keep", action="store_true", help="leave the lab and the workspace")
    return parser.parse_args()


def main() -> int:
    """Run the tests, and hold what did not pass against the list."""
    options = read_arguments()
    state = Path(os.environ.get("ISTHMUS_STATE", "/var/lib/isthmus")) / options.lab
    made = not (state / "clouds.yaml").exists()
    if made:
        words = ["lab", "up", "--name", options.lab, "--compute", "--metadata", "--sites", "1"]
        subprocess.run([ISTHMUS, *words], check=True)
    os.environ["OS_CLIENT_CONFIG_FILE"] = str(state / "clouds.yaml")
    base = Path(tempfile.mkdtemp(prefix="isthmus-conformance-"))
    try:
        call = options.what == "scenario"
        workspace(base / "nova", options.networks_at, call=call)
        tests = list_tests(base / "nova", options.regex or REGEX[options.what])
        if call:
            with way_outside(options.lab):
                results = run(base / "nova", tests)
        else:
            results = run(base / "nova", tests)
        rows = {test: asdict(one) for test, one in results.items()}
        (base / "nova.json").write_text(json.dumps(rows, indent=1))
        print(dict(Counter(one.status for one in results.values())))
        told = yaml.safe_load((HERE / "compute.yaml").read_text())
        found = list(judge(results, told))
        for word, status, test in found:
            print(f"{word:7} {status:8} {test}")
        wrong = [test for word, _, test in found if word != "listed"]
        print(f"{len(wrong)} did not end as compute.yaml says; results in {base}")
        return 1 if wrong else 0
    finally:
        if made and not options.keep:
            subprocess.run([ISTHMUS, "lab", "down", "--name", options.lab], check=False)


if __name__ == "__main__":
    sys.exit(main())
