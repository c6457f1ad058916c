"""RabbitMQ's management API, as cells are added by it and measured with it: a real one."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from tests.cells.rabbit import Rabbit

from isthmus import errors
from isthmus.clients.compute.rabbitmq import RabbitManagement
from isthmus.testing.until import until

# A RabbitMQ is no part of what `./dev test` sets up; `./dev test all` has one.
pytestmark = [pytest.mark.stress, pytest.mark.timeout(300)]


@pytest.fixture
def queue(rabbit: Rabbit) -> Iterator[str]:
    """Give a transport URL whose vhost and password have what has to be quoted."""
    found = f"rabbit://nova_a:p%2Fw@{rabbit.queue},nova_a:p%2Fw@mq2:5672/a%2Fb"
    yield found
    RabbitManagement(rabbit.management, 10).drop(found)


def test_a_vhost_and_its_user_are_made_and_deleted(rabbit: Rabbit, queue: str) -> None:
    api = RabbitManagement(rabbit.management, 10)
    assert (api.is_there(queue), api.is_any_there(queue)) == (False, False)
    api.ensure(queue)
    api.ensure(queue)
    assert (api.is_there(queue), api.is_any_there(queue)) == (True, True)
    place = rabbit.management.rpartition("@")[2]
    who = requests.get(f"http://{place}/api/whoami", auth=("nova_a", "p/w"), timeout=30)
    assert who.status_code == 401  # logged in, and not let into the management
    assert "Not_Authorized" in who.text or "not_authori" in who.text.lower()
    assert requests.delete(f"{rabbit.management}/api/vhosts/a%2Fb", timeout=30).ok
    assert (api.is_there(queue), api.is_any_there(queue)) == (False, True)
    api.drop(queue)
    api.drop(queue)
    assert api.is_any_there(queue) is False


def test_messages_that_nobody_takes_are_counted(rabbit: Rabbit, queue: str) -> None:
    url = f"{rabbit.management}/api"
    api = RabbitManagement(rabbit.management, 10)
    api.ensure(queue)
    before = api.read_load(queue)
    assert (before.waiting, before.alarms) == (0, ())
    admin = {"configure": ".*", "write": ".*", "read": ".*"}
    requests.put(f"{url}/permissions/a%2Fb/guest", json=admin, timeout=30).raise_for_status()
    requests.put(f"{url}/queues/a%2Fb/conductor", json={}, timeout=30).raise_for_status()
    body: dict[str, Any] = {
        "properties": {},
        "routing_key": "conductor",
        "payload": "x",
        "payload_encoding": "string",
    }
    publish = f"{url}/exchanges/a%2Fb/amq.default/publish"
    for _ in range(7):
        assert requests.post(publish, json=body, timeout=30).json() == {"routed": True}
    until(lambda: api.read_load(queue, before).waiting == 7, timeout_s=60)
    assert api.read_load(queue, before).waiting_before == 0


def test_who_is_not_let_in_or_does_not_answer_is_said(rabbit: Rabbit, queue: str) -> None:
    place = rabbit.management.rpartition("@")[2]
    stranger = RabbitManagement(f"http://stranger:S3cret@{place}", 10)
    with pytest.raises(errors.Refused, match="stranger") as refused:
        stranger.ensure(queue)
    assert "S3cret" not in refused.value.message
    with pytest.raises(errors.Unreachable, match="does not answer") as silent:
        RabbitManagement("http://a:S3cret@127.0.0.1:1", 2).get("overview")
    assert "S3cret" not in silent.value.message
    with pytest.raises(errors.NotFound, match="no vhosts/none"):
        RabbitManagement(rabbit.management, 10).get("vhosts/none")
    for url in ("amqp://a:b@c", "http://c", ""):
        with pytest.raises(errors.Invalid, match="http://USER:PASSWORD@HOST"):
            RabbitManagement(url, 2)
