"""What the RabbitMQ of a site's Nova reads. Pure."""

import json
from collections.abc import Sequence
from pathlib import Path

from isthmus.services.compute import cell_name

RABBITMQ_USER = "nova"
#: Who makes vhosts once RabbitMQ's management is enabled.
RABBITMQ_ADMIN = "isthmus"
#: A node that is alone: its name does not hang on what the machine is called.
NODE = "isthmus@localhost"
#: Words of Erlang: one scheduler that does not spin, where many share few cores.
SMALL = "+sbwt none +S 1:1"
#: Other nodes, which there are not, would be heard on the loopback alone.
_AT_HOME = "-kernel inet_dist_use_interface {127,0,0,1}"


def queue_url(password: str, place: str) -> str:
    """Return the URL by which Nova reaches a RabbitMQ, without a vhost.

    Args:
        password: Nova's.
        place: address and port.
    """
    return f"rabbit://{RABBITMQ_USER}:{password}@{place}"


def render_rabbitmq(listeners: Sequence[str], definitions: Path) -> str:
    """Write a `rabbitmq.conf`.

    Args:
        listeners: addresses and ports.
        definitions: what `render_definitions` writes.
    """
    return "\n".join(
        [
            *(f"listeners.tcp.{number} = {one}" for number, one in enumerate(listeners, start=1)),
            f"load_definitions = {definitions}",
            "log.console = true",
            "log.console.level = warning",
            "log.file = false",
            "",
        ]
    )


def render_definitions(password: str, cells: int) -> str:
    """Write the vhosts and the users that a RabbitMQ begins with, as JSON.

    Args:
        password: of Nova, and of who makes vhosts.
        cells: how many cells there are.
    """
    vhosts = ["/", *(cell_name(number) for number in range(1, cells + 1))]
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return json.dumps(
        {
            "vhosts": [{"name": name} for name in vhosts],
            "users": [
                {"name": RABBITMQ_USER, "password": password, "tags": []},
                {"name": RABBITMQ_ADMIN, "password": password, "tags": ["administrator"]},
            ],
            "permissions": [
                {"user": RABBITMQ_USER, "vhost": name, **everything} for name in vhosts
            ],
        }
    )


def rabbitmq_variables(home: Path) -> dict[str, str]:
    """Return the variables that keep a RabbitMQ and its port mapper to their own folder."""
    return {
        "HOME": str(home),
        "RABBITMQ_NODENAME": NODE,
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{SMALL} {_AT_HOME}",
    }


def render_variables(words: str = "") -> str:
    """Write a `rabbitmq-env.conf` of a machine that has one RabbitMQ, which is alone.

    Args:
        words: more words of Erlang.
    """
    more = " ".join(filter(None, (words, _AT_HOME)))
    return (
        f'NODENAME={NODE}\nSERVER_ADDITIONAL_ERL_ARGS="{more}"\nexport ERL_EPMD_ADDRESS=127.0.0.1\n'
    )
