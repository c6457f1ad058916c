"""Addresses of databases that cannot be opened: said without a word of the password in them."""

from pathlib import Path

import pytest

from isthmus import errors
from isthmus.config.nova import read_databases
from isthmus.store.nova.reading import format_url, reading

SECRET = "S3cret"


@pytest.mark.parametrize(
    "url",
    [
        f"mysql+pymysql://nova:x@{SECRET}:y@db:abc/nova",
        f"mysql+foo://nova:{SECRET}@db/nova",
        f"mysql+pymysql://nova:{SECRET}@db/nova?foo=1",
        f"mysql+pymysql://nova:{SECRET}@db/nova?ssl_ca=/nowhere",
        f"oracle://nova:{SECRET}@db/nova",
        f"{SECRET}",
        "",
    ],
)
def test_an_address_that_nothing_is_made_of(url: str) -> None:
    with pytest.raises((errors.Invalid, errors.Unreachable)) as told, reading(url, 1.0):
        pass
    assert SECRET not in str(told.value)


@pytest.mark.parametrize(
    ("url", "template", "filled"),
    [
        ("{scheme}://{hostname}/c1", "mysql://db/nova", "mysql://db/c1"),
        ("mysql://nova:a{b@db/c1", "mysql://db/nova", "mysql://nova:a{b@db/c1"),
        ("mysql://{nobody}/c1", "mysql://db/nova", "mysql://{nobody}/c1"),
        ("mysql://{port.x}/c1", "mysql://db/nova", "mysql://{port.x}/c1"),
        (
            "{scheme}://{hostname}/c1",
            f"mysql://nova:{SECRET}/x@db/nova",
            "{scheme}://{hostname}/c1",
        ),
    ],
)
def test_a_template_is_filled_in_as_nova_does(url: str, template: str, filled: str) -> None:
    assert format_url(url, template) == filled


@pytest.mark.parametrize(
    "text",
    [
        f"[api_database]\nconnection mysql//nova {SECRET}\n",
        f"[api_database]\nconnection = mysql://nova:pa$word{SECRET}@db/nova_api\n",
        f"[DEFAULT]\nservice_down_time = {SECRET}\n[api_database]\nconnection = x\n",
    ],
)
def test_a_file_that_cannot_be_read_is_not_repeated(tmp_path: Path, text: str) -> None:
    file = tmp_path / "nova.conf"
    file.write_text(text)
    with pytest.raises(errors.Invalid) as told:
        read_databases((file,), (file,))
    assert str(file) in str(told.value)
    assert SECRET not in str(told.value)
