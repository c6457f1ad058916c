"""Ansible's settings: the four that count at hundreds of hosts, and what stands behind each.

Measured on ten hosts with twenty tasks, two cores, controller's processor time in brackets:
defaults 355 s (66 s); without facts 285 s (56 s); with pipelining, too, 143 s (31 s); more forks
and the free strategy changed nothing there, since both cores were busy. Where tasks wait instead
(24 hosts, sleeps) forks of 24 took 73 s instead of 94 s with 5. What then remains is mostly
the start of a Python for each task, which the connection of the collection spares (ADR 0105).
"""

import enum
import hashlib
from dataclasses import dataclass
from pathlib import Path


class Strategy(enum.StrEnum):
    """How hosts go through a play."""

    LINEAR = "linear"  #: all through one task before the next
    FREE = "free"  #: each as fast as it can: a slow host holds nobody up
    HOST_PINNED = "host_pinned"  #: as free, and a fork stays with its host


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What is tuned."""

    forks: int
    pipelining: bool = True
    gather: bool = False  #: facts of every host at every play, or only where a play asks
    strategy: Strategy = Strategy.LINEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What Ansible has to find, where it has to be told."""

    collections: Path | None = None  #: the folder in which the collection `isthmus.site` is
    vault: Path | None = None  #: the file with the password of encrypted variables


NOWHERE = Places()
#: Of the collection: SSH, and a Python on each host that is kept for the time of a play.
CONNECTION = "isthmus.site.kept"
#: Of the collection: what each task's process would load by itself is loaded once before.
CALLBACK = "isthmus.site.warm"

#: A fork uses 0.14 s of the controller's processor for each task (measured) and waits for the rest.
FORKS_PER_CORE = 10
FEWEST_FORKS = 5  #: Ansible's own default


def choose_forks(hosts: int, cores: int) -> int:
    """Return how many hosts are worked on at a time.

    More forks than hosts only cost memory; more than a core can feed only wait for it.
    """
    return max(1, min(hosts, max(FEWEST_FORKS, FORKS_PER_CORE * cores)))


#: The path of a Unix socket has 107 bytes at most; ssh adds this many to its folder's.
_SOCKET_PATH, _SOCKET_NAME = 107, len("/") + 40 + len(".") + 16


def choose_control_folder(folder: Path) -> str:
    """Return where ssh keeps the sockets of its connections: in the build's folder, if they fit.

    Two builds never share one: the same address may be another machine there.
    """
    own = f"{folder}/cp"
    if len(own.encode()) + _SOCKET_NAME <= _SOCKET_PATH:
        return own
    return f"~/.ansible/cp/{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def render_settings(tuning: Tuning, folder: Path, places: Places = NOWHERE) -> str:
    """Write ansible.cfg.

    Args:
        tuning: what is tuned.
        folder: of the build, for the cache of facts and the keys of known hosts.
        places: what else Ansible has to find.
    """
    gathering = "implicit" if tuning.gather else "explicit"
    more = ""
    if places.collections:
        more += f"collections_path = {places.collections}\ntransport = {CONNECTION}\n"
        more += f"callbacks_enabled = {CALLBACK}\n"
    more += f"vault_password_file = {places.vault}\n" if places.vault else ""
    return f"""\
# Written by isthmus build; changes are overwritten.
[defaults]
inventory = {folder}/inventory/hosts.yaml
forks = {tuning.forks}
strategy = {tuning.strategy}
gathering = {gathering}
fact_caching = jsonfile
fact_caching_connection = {folder}/facts
fact_caching_timeout = 86400
inject_facts_as_vars = False
# The default of 10 s makes hosts unreachable where the controller is busy (22 of 24, seen).
timeout = 60
host_key_checking = True
retry_files_enabled = False
# What a module was told stays out of the host's log.
no_target_syslog = True
# By itself it looks every millisecond, which is most of what its main process does then.
internal_poll_interval = 0.005
{more}
[ssh_connection]
pipelining = {tuning.pipelining}
ssh_args = -o ControlMaster=auto -o ControlPersist=600s -o StrictHostKeyChecking=accept-new \
-o UserKnownHostsFile={folder}/known_hosts
control_path_dir = {choose_control_folder(folder)}
control_path = %(directory)s/%%C
retries = 2
"""
