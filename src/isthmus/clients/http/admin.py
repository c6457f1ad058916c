"""The Admin API of central, as an operator calls it: lists that page by themselves, and changes."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isthmus import errors
from isthmus.clients.http.neutron import NeutronClient, collection_path
from isthmus.clients.http.unpaged import NAMES, list_unpaged
from isthmus.model.form import is_id, name_near

Row = Mapping[str, Any]

#: Rows asked for at once; central may have a lower limit of its own.
PAGE_SIZE = 500
#: How often one list is begun, where the rows that we stand on go: while more come than one can
#: look at, that would have no end.
MOST_BEGUN = 20
#: Ids in one URL: servers take lines of 8 KiB at most, some of 4.
IDS_IN_CALL = 50


class _Promised(dict[str, Any]):
    """A row of which something may be asked that it has not: then another version gave it."""

    def __init__(self, row: Row, giver: str, resource: str) -> None:
        super().__init__(row)
        self._giver, self._resource = giver, resource

    def __missing__(self, key: str) -> Any:
        raise errors.ProtocolError(
            f"{self._giver} says nothing of {key} in its {collection_path(self._resource)}: it may "
            "run another version of Isthmus"
        )


class AdminApi:
    """Central's lists."""

    def __init__(self, client: NeutronClient) -> None:
        """Bind it to central's client."""
        self._client = client

    def read_clock(self) -> datetime.datetime:
        """Return the time at central, as its last answer told it."""
        return self._client.read_clock()

    def read_ahead_s(self) -> float:
        """Return how far its clock is ahead of ours, as its last answer told it; in seconds."""
        now = datetime.datetime.now(datetime.UTC)
        return (self._client.read_clock().astimezone(datetime.UTC) - now).total_seconds()

    def shows_holdings(self) -> bool:
        """Tell whether the caller may see what the tier holds, and an empty list says something."""
        return bool(self._client.get_all("site_holding", fields="epoch"))

    def iterate(
        self,
        resource: str,
        *,
        marker: str | None = None,
        page_size: int = PAGE_SIZE,
        **filters: Any,
    ) -> Iterator[Row]:
        """List resources page by page, as they are asked for.

        Args:
            resource: their singular name.
            marker: id of the row before the first one wanted.
            page_size: rows in one call.
            filters: name to a value or a list of values; None does not narrow.
        """
        query: dict[str, Any] = {key: value for key, value in filters.items() if value is not None}
        query["limit"] = page_size
        seen: set[str] = set()
        at = marker
        begun = 1
        while True:
            try:
                rows = self._client.get_all(resource, **query, **({"marker": at} if at else {}))
            except errors.Refused as error:
                if at is None and isinstance(error, errors.NotFound):
                    raise errors.Refused(
                        f"what answers as {self._client.name} has no {collection_path(resource)}: "
                        "it is another tier, or no Isthmus. Look at --os-cloud, and at the region "
                        "and the endpoint of its entry in clouds.yaml"
                    ) from error
                if not seen or at == marker:
                    raise
                if begun == MOST_BEGUN:
                    return
                # The row we stood on is gone, as rows of jobs go: look from where we began.
                at, begun = marker, begun + 1
                continue
            if not all(isinstance(row.get("id"), str) for row in rows):
                path = collection_path(resource)
                raise errors.ProtocolError(f"{self._client.name} lists rows without ids: {path}")
            fresh = [self._promise(resource, row) for row in rows if row["id"] not in seen]
            yield from fresh
            if not rows:
                return
            seen.update(row["id"] for row in fresh)
            at = rows[-1]["id"]

    def list(self, resource: str, **filters: Any) -> list[Row]:
        """List resources, all of them."""
        if resource in NAMES:
            return list_unpaged(self._client, resource, filters)
        return [*self.iterate(resource, **filters)]

    def get(self, resource: str, row_id: str, **query: Any) -> Row:
        """Get one resource.

        Raises:
            NotFound: there is none.
        """
        path = f"{collection_path(resource)}/{row_id}"
        answer = self._client.call("GET", path, query=query)
        return self._promise(resource, self._client.unwrap(resource, path, answer))

    def create(self, resource: str, body: Mapping[str, Any]) -> Row:
        """Make one."""
        return self._promise(resource, self._client.post(resource, body))

    def update(self, resource: str, row_id: str, body: Mapping[str, Any]) -> Row:
        """Change one."""
        path = f"{collection_path(resource)}/{row_id}"
        answer = self._client.call("PUT", path, body={resource: body})
        return self._promise(resource, self._client.unwrap(resource, path, answer))

    def delete(self, resource: str, row_id: str) -> None:
        """Remove one."""
        self._client.call("DELETE", f"{collection_path(resource)}/{row_id}")

    def act(
        self, resource: str, row_id: str, action: str, body: Mapping[str, Any] | None = None
    ) -> Row:
        """Call an action of one resource: `PUT .../ID/ACTION`.

        Args:
            resource: its singular name.
            row_id: its id.
            action: the last part of the path.
            body: what the action takes, with no envelope.
        """
        path = f"{collection_path(resource)}/{row_id}/{action}"
        answer = self._client.call("PUT", path, body=dict(body or {}))
        return self._promise(resource, self._client.unwrap(resource, path, answer))

    def get_named(self, resource: str, id_or_name: str, *, fields: Sequence[str] = ()) -> Row:
        """Get one of Neutron's own resources by its id or, if no id is like that, by its name.

        Raises:
            Invalid: it is empty, as the name of all that has none.
            NotFound: there is none; says which names come near.
            Conflict: several have that name.
        """
        if not id_or_name:
            raise errors.Invalid(f"which {resource} is meant? The name is empty")
        query: dict[str, Any] = {"fields": list(fields)} if fields else {}
        for key in ("id", "name"):
            rows = self._client.get_all(resource, **{key: id_or_name}, **query)
            if len(rows) > 1:
                ids = ", ".join(row["id"] for row in rows)
                raise errors.Conflict(
                    f"{len(rows)} {resource}s are called {id_or_name!r}: say which by its id: {ids}"
                )
            if rows:
                return self._promise(resource, rows[0])
        near = "" if is_id(id_or_name) else name_near(id_or_name, self.list_names(resource))
        raise errors.NotFound(f"there is no {resource} {id_or_name!r}{near}")

    def find_named(self, resource: str, name: str) -> Sequence[str]:
        """Return the ids of those of Neutron's own resources that have a name."""
        rows = self._client.get_all(resource, name=name, fields=["id"])
        return [str(row["id"]) for row in rows]

    def list_bindings(self, port_id: str) -> Sequence[Row]:
        """List the bindings of a port: of one whose server moves there are two.

        Nothing where the caller may not see them.
        """
        path = f"{collection_path('port')}/{port_id}/bindings"
        try:
            answer = self._client.call("GET", path)
        except errors.Refused:
            return []
        rows = answer.get("bindings") if isinstance(answer, Mapping) else None
        return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []

    def list_names(self, resource: str) -> Sequence[str]:
        """List the names of Neutron's own resources, at most a page of them."""
        rows = self._client.get_all(resource, fields=["name"], limit=PAGE_SIZE)
        return [str(row.get("name") or "") for row in rows]

    def name_some(self, resource: str, ids: Sequence[str]) -> Mapping[str, str]:
        """Return the names of some of Neutron's own resources, by id; what has none is left out."""
        found: dict[str, str] = {}
        for at in range(0, len(ids), IDS_IN_CALL):
            chunk = list(ids[at : at + IDS_IN_CALL])
            rows = self._client.get_all(resource, id=chunk, fields=["id", "name"])
            found |= {str(row["id"]): str(row["name"]) for row in rows if row.get("name")}
        return found

    def _promise(self, resource: str, row: Row) -> Row:
        return _Promised(row, self._client.name, resource)
