"""MariaDB for the databases of Nova and Placement."""

from tests.ports.conftest import mariadb_url, mariadbd

__all__ = ["mariadb_url", "mariadbd"]
