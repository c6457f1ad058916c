"""The circuit breaker: who may call while a link is down."""

from isthmus.clients.http.breaker import FIRST_PROBE_S, LAST_PROBE_S, Breaker


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_everybody_may_call_while_the_link_is_up() -> None:
    breaker = Breaker(_Clock())
    assert breaker.admits(probe=False)
    assert breaker.admits(probe=True)


def test_a_tenant_never_probes() -> None:
    clock = _Clock()
    breaker = Breaker(clock)
    breaker.failed("no route")
    clock.now += 1000
    assert not breaker.admits(probe=False)
    assert breaker.admits(probe=True)
    assert breaker.why == "no route"


def test_one_probe_at_a_time_each_a_little_later() -> None:
    clock = _Clock()
    breaker = Breaker(clock)
    breaker.failed("cut")
    assert not breaker.admits(probe=True)
    clock.now += FIRST_PROBE_S
    assert breaker.admits(probe=True)
    assert not breaker.admits(probe=True)
    for _ in range(20):
        breaker.failed("cut")
    clock.now += LAST_PROBE_S
    assert breaker.admits(probe=True)


def test_an_answer_opens_the_link_for_all() -> None:
    breaker = Breaker(_Clock())
    breaker.failed("cut")
    breaker.succeeded()
    assert breaker.admits(probe=False)
    assert breaker.why == ""
