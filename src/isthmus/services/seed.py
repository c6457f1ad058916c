"""Seed a Keystone database with users, roles and catalogue; run again it makes what is missing.

Run as `python -m isthmus.services.seed` with `OS_KEYSTONE_CONFIG_FILES` set and an `Identity` as
JSON on standard input. The ids of the users go to the file that `USERS_FILE` names, since a user is
known by its id elsewhere; what was made is printed, a line each. It loads Keystone's own WSGI
application and calls its API in this process, so that every row is one that Keystone made, and no
server has to be up.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: The variable that holds the password of the bootstrapped administrator.
ADMIN_PASSWORD = "ISTHMUS_ADMIN_PASSWORD"  # noqa: S105  (the name of a variable)
#: The variable that holds the path of the file for the ids of users, by name.
USERS_FILE = "ISTHMUS_USERS_FILE"


class KeystoneClient:
    """Keystone's API, called in this process."""

    def __init__(self, application: Any, password: str) -> None:
        """Log in as the bootstrapped administrator."""
        from werkzeug.test import Client

        self._client = Client(application)
        self._headers: dict[str, str] = {}
        self.made: list[str] = []  #: what was made or changed, for people
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        user = {"name": "admin", "domain": {"id": "default"}, "password": password}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": scope}}
        reply = self._client.post("/v3/auth/tokens", json=body)
        if reply.status_code != 201:
            raise SystemExit(f"Keystone refused the administrator: {reply.text[:500]}")
        self._headers = {"X-Auth-Token": reply.headers["X-Subject-Token"]}

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call the API; anything but success ends this process with Keystone's words."""
        reply = self._client.open(f"/v3/{path}", method=method, json=body, headers=self._headers)
        if reply.status_code >= 300:
            raise SystemExit(f"Keystone: {method} {path}: {reply.status_code} {reply.text[:500]}")
        return reply.json if reply.data else None

    def ids(self, kind: str) -> dict[str, str]:
        """Return the ids of everything of one kind, by name."""
        return {row["name"]: row["id"] for row in self.call("GET", kind)[kind] if "name" in row}

    def make(self, kind: str, **values: Any) -> str:
        """Make an object and give its id."""
        made = self.call("POST", kind + "s", {kind: values})[kind]
        self.made.append(f"{kind} {values.get('name') or values.get('url') or values.get('id')}")
        return str(made["id"])

    def grant(self, project: str, user: str, role: str) -> None:
        """Give a user a role on a project, all by their ids, where the user has it not."""
        path = f"projects/{project}/users/{user}/roles"
        if role not in {row["id"] for row in self.call("GET", path)["roles"]}:
            self.call("PUT", f"{path}/{role}")
            self.made.append(f"role {role} of user {user} on project {project}")


def seed(client: KeystoneClient, plan: Mapping[str, Any]) -> dict[str, str]:
    """Make all that the plan names and Keystone does not have yet; give the ids of users."""
    _seed_catalogue(client, plan)
    _seed_people(client, plan)
    return client.ids("users")


def _seed_catalogue(client: KeystoneClient, plan: Mapping[str, Any]) -> None:
    regions = {row["id"] for row in client.call("GET", "regions")["regions"]}
    for region in plan["regions"]:
        if region not in regions:
            client.make("region", id=region)
    services = {row["type"]: row["id"] for row in client.call("GET", "services")["services"]}
    for kind, name in plan["services"]:
        if kind not in services:
            services[kind] = client.make("service", type=kind, name=name)
    known = {
        (row["service_id"], row["region_id"], row["interface"]): row
        for row in client.call("GET", "endpoints")["endpoints"]
    }
    for point in plan["endpoints"]:
        key = (services[point["service_type"]], point["region"], point["interface"])
        if key not in known:
            names = ("service_id", "region_id", "interface")
            client.make("endpoint", url=point["url"], **dict(zip(names, key, strict=True)))
        elif known[key]["url"] != point["url"]:
            body = {"endpoint": {"url": point["url"]}}
            client.call("PATCH", f"endpoints/{known[key]['id']}", body)
            client.made.append(f"endpoint {point['url']}")


def _seed_people(client: KeystoneClient, plan: Mapping[str, Any]) -> None:
    roles, projects, users = client.ids("roles"), client.ids("projects"), client.ids("users")
    for name in plan["roles"]:
        if name not in roles:
            roles[name] = client.make("role", name=name)
    for name in plan["projects"]:
        if name not in projects:
            projects[name] = client.make("project", name=name, domain_id="default")
    for user in plan["users"]:
        name = user["name"]
        if name not in users:
            fields = {"name": name, "password": user["password"], "domain_id": "default"}
            if user["default_project"]:
                fields["default_project_id"] = projects[user["default_project"]]
            users[name] = client.make("user", **fields)
        for grant in user["grants"]:
            client.grant(projects[grant["project"]], users[name], roles[grant["role"]])


def main() -> None:
    """Read the plan and seed Keystone."""
    plan = json.load(sys.stdin)
    from keystone.server.wsgi import initialize_public_application

    sys.argv = ["keystone"]
    client = KeystoneClient(initialize_public_application(), os.environ[ADMIN_PASSWORD])
    users = seed(client, plan)
    text = json.dumps(users, indent=1, sort_keys=True)
    Path(os.environ[USERS_FILE]).write_text(text)
    sys.stdout.writelines(f"made {one}\n" for one in client.made)


if __name__ == "__main__":
    main()
