"""The Python that is kept on a host, without SSH: what it is asked, and who goes away."""

import base64
import io
import json
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from isthmus.build.configure.package import find_collections
from isthmus.testing.until import until

SERVER = find_collections() / (
    "ansible_collections/isthmus/site/plugins/plugin_utils/kept_server.py"
)
GREETING = b"isthmus\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the socket of one that is kept for a second."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    began = subprocess.run(
        [sys.executable, "-", "1"], input=SERVER.read_bytes(), capture_output=True, check=True
    )
    yield began.stdout.decode().strip()
    until(lambda: not list(tmp_path.glob("isthmus-kept-*")), what="it ended and left nothing")


def ask(place: str, request: Mapping[str, object], data: bytes = b"") -> tuple[int, bytes, bytes]:
    with socket.socket(socket.AF_UNIX) as client, client.makefile("rb") as heard:
        client.connect(place)
        assert heard.readline() == GREETING
        head = json.dumps({**request, "size": len(data)}).encode()
        client.sendall(head + b"\n" + data)
        told = json.loads(heard.readline())
        return told["code"], heard.read(told["out"]), heard.read(told["err"])


def make_module(**files: str) -> bytes:
    """Write a module as Ansible does: what it runs, and the archive of what that imports."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{name}.py", text)
    data = base64.b64encode(kept.getvalue()).decode()
    return f"""
def run(zip_data):
    import base64, sys, tempfile
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(base64.b64decode(zip_data))
        file.flush()
        sys.path.insert(0, file.name)
        import isthmus_part
        print(isthmus_part.VALUE, __name__, len(sys.argv), repr(sys.stdin.read()))


run(
zip_data='{data}',
)
""".encode()


def test_a_module_runs_as_if_python_had_read_it(place: str) -> None:
    for value in (1, 2):
        module = make_module(isthmus_part=f"VALUE = {value}", broken="def (:")
        assert ask(place, {"kind": "module"}, module) == (
            0,
            f"{value} __main__ 1 ''\n".encode(),
            b"",
        )
    # What the one before imported is not there: each is a process of its own.
    code, out, err = ask(place, {"kind": "module"}, b"import isthmus_part")
    assert (code, out) == (1, b"")
    assert b"No module named 'isthmus_part'" in err


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("raise SystemExit(7)", (7, b"", b"")),
        ("raise SystemExit('gone')", (1, b"", b"gone\n")),
        ("import atexit; atexit.register(print, 'end'); print('begin')", (0, b"begin\nend\n", b"")),
        ("import os; os.kill(os.getpid(), 9)", (137, b"", b"")),
        ("import sys; sys.stderr.write('x' * 300_000)", (0, b"", b"x" * 300_000)),
    ],
)
def test_a_module_ends_as_it_would(place: str, text: str, answer: tuple[int, bytes, bytes]) -> None:
    assert ask(place, {"kind": "module"}, text.encode()) == answer


def test_programs_and_files(place: str, tmp_path: Path) -> None:
    program = {"kind": "program", "words": ["sh", "-c", "cat; echo err >&2; exit 3"]}
    assert ask(place, program, b"in") == (3, b"in", b"err\n")
    left = {"kind": "program", "words": ["sh", "-c", "sleep 5 & echo left"]}
    assert ask(place, left) == (0, b"left\n", b"")
    code, _, err = ask(place, {"kind": "program", "words": ["/none"]})
    assert code == 1
    assert b"No such file" in err
    file = tmp_path / "file"
    assert ask(place, {"kind": "put", "path": str(file)}, b"data" * 99_999) == (0, b"", b"")
    assert file.read_bytes() == b"data" * 99_999
    assert file.stat().st_mode & 0o777 == 0o600
    code, _, err = ask(place, {"kind": "put", "path": str(tmp_path / "no/file")}, b"x")
    assert code == 1
    assert b"No such file" in err


def test_who_goes_away_takes_nothing_along(place: str) -> None:
    for said in (b"", b'{"kind": "module"', b'{"kind": "module", "size": 9}\nshort'):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(place)
            client.sendall(said)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(place)
        text = b"print('x' * 300_000)"
        client.sendall(json.dumps({"kind": "module", "size": len(text)}).encode() + b"\n" + text)
    assert ask(place, {"kind": "module"}, b"print(1)") == (0, b"1\n", b"")
