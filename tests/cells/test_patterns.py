"""Regular expressions are the database's own, and it says which are none."""

import pytest

from isthmus import errors
from isthmus.store.nova.mappings import ApiMappings
from isthmus.store.nova.reading import read_place, reading


@pytest.mark.db
def test_mariadb_says_what_is_no_pattern(
    mariadb_url: str, recwarn: pytest.WarningsRecorder
) -> None:
    mappings = ApiMappings(mariadb_url, 5.0)
    # What Python's own would refuse or warn of.
    mappings.check_patterns(["[[:alpha:]]", r"\p{L}", r"a\Kb", "a|", "%", "(?i)web"])
    for pattern in ("(", "*", "[z-a]", "a{99999}"):
        with pytest.raises(errors.Invalid, match="no regular expression") as told:
            mappings.check_patterns(["fine", pattern])
        assert repr(pattern) in told.value.message
    assert not recwarn.list
    gone = ApiMappings("mysql+pymysql://nova@127.0.0.1:1/api", 1.0)
    with pytest.raises(errors.Unreachable, match="Nova's API database does not answer"):
        gone.check_patterns(["a"])


@pytest.mark.db
def test_a_database_has_one_place_whatever_leads_to_it(mariadb_url: str) -> None:
    longer = f"{mariadb_url}&connect_timeout=3"
    places = set()
    for url in (mariadb_url, longer):
        with reading(url, 5.0) as connection:
            places.add(read_place(connection))
    with reading(mariadb_url.replace("/isthmus?", "/mysql?"), 5.0) as connection:
        other = read_place(connection)
    (place,) = places
    assert place.endswith("/isthmus")
    assert other == place.removesuffix("isthmus") + "mysql"
