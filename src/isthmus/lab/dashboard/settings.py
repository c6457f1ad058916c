"""What Horizon's local_settings.py says in a lab. Pure.

`docs/howto/dashboard.md` tells an operator the same settings, and which are the lab's own.
"""

import pprint
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.lab.plan import KEYSTONE_PORT, MEMCACHED_PORT

#: How Horizon reaches the page on which a person starts: central has networks and no servers.
HOME = "/project/networks/"
#: What loggers write; the rest is left out, where they fill a log with every call.
_LOG_LEVEL = "WARNING"


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizonServer:
    """What one Horizon is told."""

    region: str  #: whose services a person works with first
    secret_key: str = field(repr=False)
    static_root: Path  #: where the files are that never change


def render_settings(server: HorizonServer) -> str:
    """Write `local_settings.py`."""
    words = [
        '"""Settings of Horizon, written by `isthmus lab up --dashboard`."""',
        "from openstack_dashboard.settings import HORIZON_CONFIG",
        *(f"{name} = {_literal(value)}" for name, value in list_settings(server).items()),
        f'HORIZON_CONFIG["user_home"] = {_literal(HOME)}',
    ]
    return "\n".join(words) + "\n"


def list_settings(server: HorizonServer) -> Mapping[str, object]:
    """List the settings that are not Horizon's defaults, by name."""
    return {
        "OPENSTACK_KEYSTONE_URL": f"http://127.0.0.1:{KEYSTONE_PORT}/v3",
        "OPENSTACK_ENDPOINT_TYPE": "internalURL",
        "DEFAULT_SERVICE_REGIONS": {"*": server.region},
        "OPENSTACK_NEUTRON_NETWORK": {
            # Central has no agents, and its routers are in every site that needs them.
            "show_agents_column": False,
            "enable_distributed_router": False,
            "enable_ha_router": False,
        },
        "CACHES": {
            "default": {
                "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
                "LOCATION": f"127.0.0.1:{MEMCACHED_PORT}",
                # Without it each page is an error where no memcached answers.
                "OPTIONS": {"ignore_exc": True},
            }
        },
        "ALLOWED_HOSTS": ["*"],
        "SECRET_KEY": server.secret_key,
        "STATIC_ROOT": str(server.static_root),
        "COMPRESS_OFFLINE": True,
        "AVAILABLE_THEMES": [("default", "Default", "themes/default")],
        "LOGGING": {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
            "handlers": {"log": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["log"], "level": _LOG_LEVEL},
        },
    }


def _literal(value: object) -> str:
    return pprint.pformat(value, sort_dicts=False)
