"""A guest by itself, without a lab: who comes in, and what is there then."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isthmus.lab.compute import image
from isthmus.nova import firmware
from isthmus.testing.needed import lack
from isthmus.testing.until import until

pytestmark = pytest.mark.root

Boot = Callable[[dict[str, object]], Path]


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Boot]:
    """Start a guest with what its config drive says, in a network of its own; gives its console."""
    if os.geteuid() != 0:
        lack("a guest needs root")
    netns, begun = f"guest-{os.getpid()}", []
    subprocess.run(["ip", "netns", "add", netns], check=True)

    def begin(about: dict[str, object]) -> Path:
        folder, lab = tmp_path / "guest", tmp_path / "lab"
        drive = folder / "config/openstack/latest"
        drive.mkdir(parents=True)
        lab.mkdir()
        (folder / "init").write_bytes(image.render_image())
        said = {"name": "web", "uuid": "u", **about}
        (drive / "meta_data.json").write_text(json.dumps(said))
        (drive / "network_data.json").write_text("{}")
        words = ["ip", "netns", "exec", netns, *firmware.boot_words(folder, lab, "web")]
        with (tmp_path / "console").open("w") as console:
            process = subprocess.Popen(
                words, stdout=console, stderr=console, start_new_session=True
            )
        begun.append(process)
        until(lambda: "web is up" in (tmp_path / "console").read_text(), timeout_s=120)
        return tmp_path / "console"

    yield begin
    for process in begun:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(["ip", "netns", "delete", netns], check=True)


def call(key: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Come in by SSH, as the owner of a key."""
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes")
    ssh = ["ip", "netns", "exec", f"guest-{os.getpid()}", "ssh", "-q", "-i", str(key)]
    ssh += [word for option in options for word in ("-o", option)]
    return subprocess.run(
        [*ssh, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def make_key(folder: Path, name: str) -> Path:
    key = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key


def test_the_owner_of_a_key_comes_in_and_nobody_else(boot: Boot, tmp_path: Path) -> None:
    if shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        lack("sshd not found: apt-get install openssh-server")
    mine, other = make_key(tmp_path, "mine"), make_key(tmp_path, "other")
    console = boot({"public_keys": {"k": mine.with_suffix(".pub").read_text()}})
    until(lambda: "Server listening" in console.read_text(), timeout_s=60)

    def is_in() -> bool:
        return call(mine, "root@127.0.0.1", "hostname").stdout == "web\n"

    until(is_in, timeout_s=60)
    refused = call(other, "root@127.0.0.1", "hostname")
    assert (refused.returncode, refused.stdout) == (255, "")
    terminal = call(mine, "-tt", "root@127.0.0.1", "tty")
    assert terminal.stdout.startswith("/dev/pts/"), "its own terminals, not the machine's"
    # Nothing of the machine is changed from inside, and its passwords are not read there.
    assert call(mine, "root@127.0.0.1", "touch /etc/of-a-guest").returncode == 1
    rows = call(mine, "root@127.0.0.1", "cut -d: -f2 /etc/shadow").stdout.split()
    assert set(rows) == {"*"}


def test_a_guest_without_keys_listens_nowhere(boot: Boot) -> None:
    boot({})
    words = ["ip", "netns", "exec", f"guest-{os.getpid()}", "ss", "-Hltn"]
    assert subprocess.run(words, capture_output=True, check=True).stdout == b""
