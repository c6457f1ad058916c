"""MariaDB for the databases of Nova and Placement, and RabbitMQ for its messages."""

from tests.cells.rabbit import rabbit
from tests.cells.real_nova import real_nova
from tests.ports.conftest import mariadb_url, mariadbd

__all__ = ["mariadb_url", "mariadbd", "rabbit", "real_nova"]
