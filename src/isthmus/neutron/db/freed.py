"""Records that addresses rest, in the transaction in which ports release them."""

import ipaddress
from collections.abc import Callable, Collection
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.ipam import requests as ipam_req
from neutron_lib.db import api as db_api
from sqlalchemy.orm import Session

from isthmus.store.leases import resting

_KEY = "isthmus_freed"

#: Returns the subnets whose addresses rest.
Pick = Callable[[sa.Connection, Collection[str]], Collection[str]]


class RequestFactory(ipam_req.AddressRequestFactory):
    """Neutron's factory of address requests, extended by the port that asks."""

    @classmethod
    def get_request(cls, context: Any, port: Any, ip_dict: Any) -> Any:
        """Return a request; a port may get back what it released itself."""
        request = super().get_request(context, port, ip_dict)
        request.port_id = port.get("id")
        return request


def listen(pick: Pick) -> None:
    """Start to listen to every session of this process."""
    db_api.sqla_listen(Session, "before_flush", _before_flush)
    db_api.sqla_listen(Session, "before_commit", lambda session: _before_commit(session, pick))
    db_api.sqla_listen(Session, "after_rollback", _after_rollback)


def _before_flush(session: Session, _context: Any, _instances: Any) -> None:
    freed: dict[tuple[str, str], str] = session.info.setdefault(_KEY, {})
    for entity in session.deleted:
        if type(entity) is models_v2.IPAllocation and entity.port_id:
            freed[entity.subnet_id, entity.ip_address] = entity.port_id
    for entity in session.new:
        if type(entity) is models_v2.IPAllocation:
            freed.pop((entity.subnet_id, entity.ip_address), None)


def _before_commit(session: Session, pick: Pick) -> None:
    transaction = session.get_transaction()
    if transaction is not None and transaction.nested:
        return  # a savepoint; the real commit follows
    if session.new or session.dirty or session.deleted:
        session.flush()
    freed: dict[tuple[str, str], str] = session.info.pop(_KEY, {})
    if not freed:
        return
    connection = session.connection()
    kept = set(pick(connection, {subnet_id for subnet_id, _ in freed}))
    resting.record(
        connection,
        [
            (subnet_id, int(ipaddress.ip_address(address)), port_id)
            for (subnet_id, address), port_id in freed.items()
            if subnet_id in kept
        ],
    )


def _after_rollback(session: Session) -> None:
    session.info.pop(_KEY, None)
