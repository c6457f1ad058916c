"""Where a tier's database is: `[database] connection` of its Neutron."""

from collections.abc import Sequence
from pathlib import Path

from oslo_config import cfg

from isthmus import errors

_OPTIONS = (cfg.StrOpt("connection", secret=True),)


def read_url(config_files: Sequence[Path]) -> str:
    """Read the URL of the database.

    Raises:
        Invalid: the files make no sense, or do not say.
    """
    conf = cfg.ConfigOpts()
    conf.register_opts(_OPTIONS, "database")
    names = [str(one) for one in config_files]
    try:
        conf([], project="neutron", default_config_files=names)
    except cfg.Error as error:
        raise errors.Invalid(f"{', '.join(names)}: {error}") from error
    if not conf.database.connection:
        raise errors.Invalid(f"{', '.join(names)}: [database] connection is not set")
    return str(conf.database.connection)
