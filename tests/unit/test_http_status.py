"""One table of HTTP statuses, for every client."""

import pytest

from isthmus import errors
from isthmus.clients.http.status import MEANINGS, to_error

NEUTRON = {"NeutronError": {"type": "X", "message": "10.0.0.9 is taken.", "detail": ""}}


@pytest.mark.parametrize("status", MEANINGS)
def test_an_error_names_who_answered_what_and_why(status: int) -> None:
    error = to_error(status, NEUTRON, name="site1", path="/v2.0/ports")
    assert type(error) is MEANINGS[status].error
    assert error.message.startswith(f"site1 answered {status} to /v2.0/ports: 10.0.0.9 is taken")
    assert MEANINGS[status].remedy in error.message
    assert ".;" not in error.message


@pytest.mark.parametrize("status", [401, 403, 500, 502, 503, 504])
def test_where_the_reason_is_none_there_is_a_remedy(status: int) -> None:
    assert to_error(status, {}, name="n", path="/").fields["remedy"]


def test_one_of_our_own_errors_comes_back_as_itself() -> None:
    body = {"NeutronError": {"type": errors.Exhausted.code, "message": "all gone"}}
    error = to_error(500, body, name="central", path="/")
    assert (type(error), error.message) == (errors.Exhausted, "all gone")


def test_a_proxy_answers_in_the_name_of_one_that_is_away() -> None:
    page = "<html><body><h1>503 Service Unavailable</h1>\nNo server is available.</body></html>"
    assert type(to_error(503, page, name="n", path="/")) is errors.Unreachable
    assert type(to_error(503, NEUTRON, name="n", path="/")) is errors.Busy


def test_a_site_goes_on_while_central_is_out_of_order() -> None:
    assert type(to_error(500, NEUTRON, name="n", path="/")) is errors.StepFailed
    assert type(to_error(500, NEUTRON, name="n", path="/", can_wait=True)) is errors.Stale


def test_a_login_that_is_not_accepted_is_refused_to_a_person_and_a_fault_between_services() -> None:
    assert type(to_error(401, {}, name="n", path="/")) is errors.Refused
    assert type(to_error(401, {}, name="n", path="/", can_wait=True)) is errors.StepFailed


def test_keystone_says_its_reason_elsewhere() -> None:
    body = {"error": {"code": 401, "message": "The request requires authentication", "title": "U"}}
    assert (
        "requires authentication; check the user" in to_error(401, body, name="n", path="/").message
    )


def test_a_status_that_no_api_of_ours_gives_is_none_of_ours() -> None:
    assert type(to_error(418, "teapot", name="n", path="/")) is errors.ProtocolError
