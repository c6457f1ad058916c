"""Whether this process knows how old its database is: before, it gives nothing out."""

from pathlib import Path

from oslo_config import cfg

from isthmus import errors
from isthmus.config.site import GROUP
from isthmus.model.site import SiteName
from isthmus.neutron.db.witness import Witness
from isthmus.neutron.db.witness import find as find_witness


def get_witness() -> Witness:
    """Return the witness of this process, whichever core plugin it runs."""
    return find_witness(Path(cfg.CONF.state_path), SiteName(cfg.CONF[GROUP].site))


def require_sight() -> None:
    """Refuse to give a number out where no look of this process has ever succeeded.

    The database may have been put back while Neutron was stopped, and what it has be another
    site's by now. A process in which none looks gives out nothing that is not looked for before:
    it serves no API.

    Raises:
        Busy: none has.
    """
    why = get_witness().blindness
    if why:
        raise errors.Busy(
            "no address or key is allocated now: this process could not yet find out whether its "
            f"database was restored ({why})"
        )
