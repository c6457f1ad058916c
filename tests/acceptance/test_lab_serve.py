"""The processes that serve a lab's APIs, with the standard library's demo application."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest

from isthmus.clients.machine import process
from isthmus.errors import StepFailed
from isthmus.lab.process.zygote import Birth
from isthmus.model.host.process import ProcessId
from isthmus.testing.port import find_port
from isthmus.testing.until import until

APPLICATION = "wsgiref.simple_server:demo_app"


def answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_serve_keeps_connections_and_ends_on_sigterm() -> None:
    port = find_port()
    words = ["--application", APPLICATION, "--port", str(port)]
    command = [sys.executable, "-m", "isthmus.lab.process.serve", *words]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            until(lambda: answers(port), what="an answer")
            connection = HTTPConnection("127.0.0.1", port, timeout=120)
            for _ in range(3):
                connection.request("GET", "/")
                assert b"Hello world!" in connection.getresponse().read()
                assert connection.sock is not None, "the server closed a connection it could keep"
            connection.close()
            server.send_signal(signal.SIGTERM)
            assert server.wait(120) == 0
        finally:
            server.kill()


@pytest.fixture
def zygote(tmp_path: Path) -> Iterator[process.Zygote]:
    made = process.Zygote(["wsgiref.simple_server"], tmp_path / "zygote.log", {})
    yield made
    made.close()


def end(child: ProcessId) -> None:
    process.send(child, signal.SIGKILL)
    until(lambda: not process.is_alive(child), what="its end")


def test_children_serve_and_outlive_the_zygote(zygote: process.Zygote, tmp_path: Path) -> None:
    ports = [find_port(), find_port()]
    children = []
    try:
        for port in ports:
            birth = Birth(
                name=f"child-{port}",
                log=str(tmp_path / f"{port}.log"),
                application=APPLICATION,
                bind="127.0.0.1",
                port=port,
                env={"ISTHMUS_TEST_CHILD": str(port)},
            )
            children.append(zygote.give_birth(birth.to_line()))
        for port in ports:
            until(partial(answers, port), what="an answer")
        zygote.close()
        assert all(answers(port) for port in ports)
        assert all(process.is_alive(child) for child in children)
    finally:
        for child in children:
            end(child)
    assert not any(answers(port) for port in ports)


def test_a_child_that_cannot_start_says_why_in_its_log(
    zygote: process.Zygote, tmp_path: Path
) -> None:
    log = tmp_path / "bad.log"
    birth = Birth(name="bad", log=str(log), application="no.such:thing", bind="", port=0)
    try:
        child = zygote.give_birth(birth.to_line())
    except StepFailed:
        pass  # it was gone before anybody looked
    else:
        until(lambda: not process.is_alive(child), what="its end")
    until(lambda: "No module named" in log.read_text(), what="its last words")


def test_a_pid_that_was_given_away_again_is_never_hit() -> None:
    me = process.find(os.getpid())
    assert me is not None
    stranger = ProcessId(me.pid, me.started + 1)
    assert process.is_alive(me)
    assert not process.is_alive(stranger)
    # Were it sent, this test would end here.
    assert not process.send(stranger, signal.SIGKILL)


def test_processes_are_found_by_their_marker_and_no_other() -> None:
    env = {**os.environ, "ISTHMUS_TEST_MARK": "/a/b"}
    with subprocess.Popen(["cat"], env=env, stdin=subprocess.PIPE) as child:
        try:
            until(lambda: [one.pid for one in process.find_marked("ISTHMUS_TEST_MARK", "/a/b")])
            found = [one.pid for one in process.find_marked("ISTHMUS_TEST_MARK", "/a/b")]
            assert found == [child.pid]
            assert list(process.find_marked("ISTHMUS_TEST_MARK", "/a")) == []
        finally:
            child.kill()


def test_children_of_a_process_are_found_and_no_others() -> None:
    words = ["sh", "-c", "exec 3<&0; cat <&3 & cat <&3; wait"]  # two of them
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as parent:
        me, found = process.find(os.getpid()), process.find(parent.pid)
        assert me is not None
        assert found is not None
        children: list[ProcessId] = []
        try:
            until(lambda: len(process.list_children(found)) == 2, what="both are started")
            assert found in process.list_children(me)
            children = process.list_children(found)
            assert not {me, found} & set(children)
            assert process.list_children(ProcessId(found.pid, found.started + 1)) == []
        finally:
            for one in children:
                process.send(one, signal.SIGKILL)
            parent.kill()


def test_zygote_line_and_birth_are_one() -> None:
    birth = Birth(name="x", log="/l", env={"a": "b"}, argv=("p", "q"), main="m:f")
    assert json.loads(birth.to_line())["argv"] == ["p", "q"]
    assert Birth.from_line(birth.to_line()) == birth


def test_a_process_that_a_signal_holds_is_told_from_one_that_runs(tmp_path: Path) -> None:
    child = process.spawn(["sleep", "600"], netns=None, log=tmp_path / "log")
    try:
        assert not process.is_stopped(child)
        process.send(child, signal.SIGSTOP)
        assert until(lambda: process.is_stopped(child))
        assert process.is_alive(child)
        process.send(child, signal.SIGCONT)
        assert until(lambda: not process.is_stopped(child))
    finally:
        process.send(child, signal.SIGKILL)
    assert until(lambda: not process.is_alive(child))
    assert not process.is_stopped(child)
