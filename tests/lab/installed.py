"""What machines of the installation page have already: Keystone, databases, OVN, Open vSwitch."""

from tests.lab.machine import Machine

ADMIN_PASSWORD = "admins-own"
_MARIADB = (
    "mariadb-install-db --user=root --auth-root-authentication-method=normal --skip-test-db",
    "setsid mariadbd --user=root --socket=/run/mysqld/mysqld.sock --skip-networking"
    " --innodb-flush-log-at-trx-commit=0 >/var/log/mariadb.log 2>&1 &",
    "for i in $(seq 600); do mariadb -e 'select 1' && break; sleep 0.1; done",
)
_MEMCACHED = "setsid memcached -u root -l 127.0.0.1 -t 1 -m 16 >/var/log/memcached.log 2>&1 &"
_KEYSTONE = """
mkdir -p /etc/keystone/fernet /etc/keystone/credential
chmod 700 /etc/keystone/fernet /etc/keystone/credential
cat >/etc/keystone/keystone.conf <<END
[database]
connection = mysql+pymysql://root@localhost/keystone?unix_socket=/run/mysqld/mysqld.sock
[fernet_tokens]
key_repository = /etc/keystone/fernet
[fernet_receipts]
key_repository = /etc/keystone/fernet
[credential]
key_repository = /etc/keystone/credential
[identity]
password_hash_rounds = 4
END
mariadb -e 'CREATE DATABASE keystone CHARACTER SET utf8mb4' &&
keystone-manage db_sync &&
keystone-manage fernet_setup --keystone-user root --keystone-group root &&
keystone-manage credential_setup --keystone-user root --keystone-group root &&
keystone-manage bootstrap --bootstrap-password {password} --bootstrap-region-id central \
  --bootstrap-public-url http://{address}:5000/v3 --bootstrap-internal-url http://{address}:5000/v3
"""
_KEYSTONE_API = (
    "OS_KEYSTONE_CONFIG_FILES=/etc/keystone/keystone.conf setsid uwsgi --http-socket {address}:5000"
    " --module keystone.wsgi.api:application --master --processes 2 --lazy-apps --die-on-term"
    " --add-header 'Connection: close' --buffer-size 65535 >/var/log/keystone.log 2>&1 &"
)


def set_address(machine: Machine, address: str, length: int) -> None:
    """Give the machine's link its address."""
    machine.run(f"ip addr add {address}/{length} dev eth0 && ip link set eth0 up")


def start_database(machine: Machine) -> None:
    """Make and start a MariaDB on its usual socket, and a memcached."""
    for command in (*_MARIADB, _MEMCACHED):
        machine.run(command)


def start_keystone(machine: Machine, address: str) -> None:
    """Make and start a Keystone with nothing but its administrator."""
    machine.run(_KEYSTONE.format(password=ADMIN_PASSWORD, address=address))
    machine.run(_KEYSTONE_API.format(address=address))


def start_ovn(machine: Machine) -> None:
    """Start a site's OVN as its packages do."""
    machine.run("/usr/share/ovn/scripts/ovn-ctl start_northd")


def start_vswitch(machine: Machine, address: str, length: int) -> None:
    """Start Open vSwitch, in user space, with the machine's link and address on a bridge."""
    machine.run("/usr/share/openvswitch/scripts/ovs-ctl start --no-mlockall --system-id=random")
    machine.run(
        "ovs-vsctl add-br br-ex -- set Bridge br-ex datapath_type=netdev"
        " -- add-port br-ex eth0"
        " -- set Open_vSwitch . external_ids:ovn-bridge-datapath-type=netdev"
    )
    machine.run("ip link set eth0 up")
    machine.run(f"ip addr add {address}/{length} dev br-ex && ip link set br-ex up")
