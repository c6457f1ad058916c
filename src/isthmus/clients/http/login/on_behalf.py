"""A person's token, sent by a service that works for that person."""

from typing import Any

from keystoneauth1 import plugin
from typing_extensions import override


class OnBehalf(plugin.BaseAuthPlugin):
    """A person's token, with the site's own beside it, as OpenStack's services do it."""

    def __init__(self, own: Any, token: str) -> None:
        """Bind it.

        Args:
            own: the service's own login.
            token: the person's.
        """
        super().__init__()
        self._own = own
        self._token = token

    @override
    def get_token(self, session: Any, **_: Any) -> str:
        return self._token

    @override
    def get_headers(self, session: Any, **_: Any) -> dict[str, str]:
        own = self._own.get_token(session)
        return {"X-Auth-Token": self._token, "X-Service-Token": own}

    @override
    def get_endpoint(self, session: Any, **options: Any) -> str | None:
        found: str | None = self._own.get_endpoint(session, **options)
        return found

    @override
    def get_connection_params(self, session: Any, **options: Any) -> Any:
        return self._own.get_connection_params(session, **options)

    @override
    def invalidate(self) -> bool:
        return bool(self._own.invalidate())
