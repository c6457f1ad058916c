"""The cache of databases that labs share."""

from isthmus.lab.tier import template


def test_the_key_follows_the_files_that_make_the_tables() -> None:
    """They are read by path, and a file that moved would be missed by no import."""
    assert len(template.digest_migrations()) == 64
