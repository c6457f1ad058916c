"""Joins `isthmus why` with central, the sites, their OVN and a lab's hypervisors."""

import os
from collections.abc import Mapping
from pathlib import Path

from isthmus import errors
from isthmus.clients.http.admin import AdminApi
from isthmus.clients.machine.hypervisor import SshHypervisors, SshTargets
from isthmus.clients.ovsdb.select import RemoteDatabase
from isthmus.diagnose.collect.protocols import Hypervisor
from isthmus.lab.network.reading import HypervisorReader
from isthmus.lab.opened import OpenLab
from isthmus.wiring.admin import Admin
from isthmus.wiring.lab import machine_tools, open_labs

_Remotes = Mapping[str, tuple[str, str]]
_Logins = Mapping[str, str] | None
_NO_WAY = "no way in: give --ovn {site}=NB,SB, such as tcp:10.0.0.1:6641,tcp:10.0.0.1:6642"


class Ways:
    """Ways to what `isthmus why` reads, with the person's own credentials."""

    def __init__(
        self, cloud: str, remotes: _Remotes, lab: str, ssh: SshTargets, logins: _Logins = None
    ) -> None:
        """Open them; call nothing yet.

        Args:
            cloud: entry of clouds.yaml that names central and the person.
            remotes: site -> its northbound and southbound database, as OVSDB connections.
            lab: the lab whose hypervisors are asked; empty for that of the clouds.yaml in use.
            ssh: the hypervisors that are read over ssh.
            logins: site -> entry of clouds.yaml by which it is read, if not by the person's token.

        Raises:
            Invalid: there is no such entry.
            NotFound: there is no lab of that name.
        """
        self._admin, self._remotes = Admin(cloud), dict(remotes)
        self._logins = {site: Admin(entry) for site, entry in (logins or {}).items()}
        self.api = self._admin.api
        self.opened = find_lab(lab)
        #: Name of the lab in which all that is read runs; empty where there is none.
        self.lab = self.opened.plan.name if self.opened and not (remotes or ssh) else ""
        self._ssh = SshHypervisors(ssh)

    def open_site_api(self, name: str, region: str) -> AdminApi:
        """Open the lists of a site's Neutron."""
        own = self._logins.get(name)
        return AdminApi(own.open_own(name) if own else self._admin.open_site(name, region))

    def open_northbound(self, site: str) -> RemoteDatabase:
        """Open a site's northbound database."""
        return RemoteDatabase(self._remote(site)[0], "OVN_Northbound")

    def open_southbound(self, site: str) -> RemoteDatabase:
        """Open a site's southbound database."""
        return RemoteDatabase(self._remote(site)[1], "OVN_Southbound")

    def open_host(self, host: str) -> Hypervisor:
        """Open a hypervisor."""
        if (reached := self._ssh.find(host)) is not None:
            return reached
        if self.opened is None:
            raise errors.Unsupported("no way in: give --ssh, such as root@%h for all hypervisors")
        return HypervisorReader(self.opened.plan, machine_tools(), host)

    def find_server_port(self, name: str) -> str | None:
        """Find the port of a lab's server."""
        return self.list_servers().get(name)

    def list_servers(self) -> dict[str, str]:
        """List the ports of the lab's servers by the names of these."""
        rows = self.opened.ledger.read().servers if self.opened else {}
        return {name: str(row["port_id"]) for name, row in rows.items()}

    def _remote(self, site: str) -> tuple[str, str]:
        if site in self._remotes:
            return self._remotes[site]
        if self.opened is None:
            raise errors.Unsupported(_NO_WAY.format(site=site))
        home = self.opened.plan.tier_dir(self.opened.plan.get_site(site))
        return f"unix:{home}/nb.sock", f"unix:{home}/sb.sock"


def find_lab(name: str) -> OpenLab | None:
    """Find the lab that is meant: the named one, or the one whose clouds.yaml is in use.

    Raises:
        NotFound: there is none of that name.
    """
    labs = open_labs()
    if name:
        return labs.open_own(name)
    home = Path(os.environ.get("OS_CLIENT_CONFIG_FILE") or "/").resolve().parent
    here = home.parent == labs.folder.resolve() and home.name in labs.list_names()
    return labs.open(home.name) if here else None
