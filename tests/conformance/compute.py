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
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import openstack
import yaml
from tests.conformance.run import (
    HERE,
    ISTHMUS,
    Ended,
    class_of,
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
#: What the result of a class that was not set up, or skipped, begins with.
_SET_UP = "setUpClass ("
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


def choose_part(tests: Sequence[str], ended: AbstractSet[str], most: int) -> list[str]:
    """Choose the next tests of those that have not ended well, whole classes of them.

    Args:
        tests: all of them.
        ended: those that have ended as one would like; a class, where it was skipped as one.
        most: how many, by and by; the last class is not cut.
    """
    found: list[str] = []
    for test in tests:
        if test in ended or class_of(test) in ended:
            continue
        if len(found) >= most and class_of(test) != class_of(found[-1]):
            break
        found.append(test)
    return found


def as_class(test: str) -> str:
    """Return the class whose set-up a result is of, or the test itself."""
    return test[len(_SET_UP) : -1] if test.startswith(_SET_UP) else test


def read_results(file: Path) -> dict[str, Ended]:
    """Read how tests ended before."""
    if not file.exists():
        return {}
    return {test: Ended(**one) for test, one in json.loads(file.read_text()).items()}


def render_table(results: Mapping[str, Ended], told: Mapping[str, Any]) -> Iterator[str]:
    """Write which tests of which class passed, and why others did not, as the manual has it."""
    reasons = {text: number for number, row in enumerate(told["skips"], 1) for text in row["said"]}
    rows: dict[str, Counter[str]] = {}
    for test, ended in sorted(results.items()):
        is_class = test.startswith(_SET_UP)
        name = as_class(test) if is_class else class_of(test)
        row = rows.setdefault(name, Counter())
        if ended.status == "skip":
            why = next((number for text, number in reasons.items() if text in ended.reason), 0)
            row[f"{'all ' * is_class}skipped ({why})"] += 1
        else:
            row["passed" if ended.status == "success" else "failed"] += 1
    yield "| class | passed | failed | skipped, and why |"
    yield "|---|---|---|---|"
    for name, row in rows.items():
        skipped = [
            one if one.startswith("all") else f"{count} {one.removeprefix('skipped ')}"
            for one, count in sorted(row.items())
            if "skipped" in one
        ]
        words = name.removeprefix("tempest.")
        yield f"| `{words}` | {row['passed']} | {row['failed']} | {', '.join(skipped)} |"


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
    parser.add_argument(
        "--results", type=Path, help="a file of results to go on with: what failed is run again"
    )
    parser.add_argument("--most", type=int, default=10_000, help="how many tests this time")
    parser.add_argument("--table", action="store_true", help="write all results as a table")
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
        file = options.results or base / "nova.json"
        results = read_results(file)
        good = {one for one, how in results.items() if how.status in {"success", "skip"}}
        chosen = choose_part(tests, {as_class(one) for one in good}, options.most)
        print(f"{len(chosen)} of {len(tests)} tests", file=sys.stderr)
        if chosen:
            with way_outside(options.lab) if call else nullcontext():
                now = run(base / "nova", chosen)
            again = {class_of(one) for one in chosen}
            # A class that could not be set up is one no more where its tests have run.
            stale = [one for one in results if as_class(one) in again and one not in good]
            results = {test: one for test, one in results.items() if test not in stale} | now
            rows = {test: asdict(one) for test, one in sorted(results.items())}
            file.write_text(json.dumps(rows, indent=1) + "\n")
        print(dict(Counter(one.status for one in results.values())))
        told = yaml.safe_load((HERE / "compute.yaml").read_text())
        if options.table:
            print("\n".join(render_table(results, told)))
        found = list(judge(results, told))
        for word, status, test in found:
            print(f"{word:7} {status:8} {test}")
        wrong = [test for word, _, test in found if word != "listed"]
        print(f"{len(wrong)} did not end as compute.yaml says; results in {file}")
        return 1 if wrong else 0
    finally:
        if made and not options.keep:
            subprocess.run([ISTHMUS, "lab", "down", "--name", options.lab], check=False)


if __name__ == "__main__":
    sys.exit(main())
