"""Hypervisors: their daemons, interfaces, settings and what they carry."""

import datetime
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.injected.scene import Scene, fault

_MAPPINGS = "ovn-bridge-mappings"


@fault("the port was never plugged in", "host.no_interface", "pair", touches="tap of b")
def unplug(s: Scene) -> Iterator[None]:
    s.vs(s.b.host, "remove", "Interface", s.b.tap, "external_ids", "iface-id")
    yield
    s.vs(s.b.host, "set", "Interface", s.b.tap, f"external_ids:iface-id={s.b.port}")


@fault("two hypervisors, or two interfaces, claim it", "host.interface_twice", "pair",
       touches="tap of b")  # fmt: skip
def plug_twice(s: Scene) -> Iterator[None]:
    s.vs(s.b.host, "add-port", "br-int", "twice", "--", "set", "Interface", "twice",
         "type=internal", f"external_ids:iface-id={s.b.port}")  # fmt: skip
    yield
    s.vs(s.b.host, "del-port", "br-int", "twice")


@fault("an interface is down, or out of its bridge", "host.tap_down", "pair", touches="tap of b")
def take_down(s: Scene) -> Iterator[None]:
    s.at(s.b.host, "ip", "link", "set", s.b.tap, "down")
    yield
    s.at(s.b.host, "ip", "link", "set", s.b.tap, "up")


@fault("the guest's interface carries another size", "host.tap_mtu", "pair", touches="tap of b")
def narrow_tap(s: Scene) -> Iterator[None]:
    with s.narrow(s.b.host, s.b.tap, 1300):
        yield


@fault("the underlay carries too little", "mtu.too_large", "across", touches="underlay of a")
def narrow_underlay(s: Scene) -> Iterator[None]:
    with s.narrow(s.a.host, s.device(s.a.host, s.encap(s.b.host)), 1400):
        yield


@fault("Neutron reserves too little for Geneve", "mtu.geneve_header", "across",
       touches="underlay of a")  # fmt: skip
def leave_no_header(s: Scene) -> Iterator[None]:
    size = s.get("network", s.a.network)["mtu"] + 50
    with s.narrow(s.a.host, s.device(s.a.host, s.encap(s.b.host)), size):
        yield


@fault("conntrack is full", "host.conntrack_full", "pair", touches="conntrack of b")
def fill_conntrack(s: Scene) -> Iterator[None]:
    say = "ovs-appctl -t $OVS_RUNDIR/vswitchd.ctl dpctl/ct-%s"
    before = s.at(s.b.host, "sh", "-c", say % "get-maxconns")
    s.at(s.b.host, "sh", "-c", say % "set-maxconns 1")
    yield
    s.at(s.b.host, "sh", "-c", say % f"set-maxconns {before}")


@fault("Open vSwitch was started anew, or is dead", "host.vswitchd_hung", "pair",
       touches="vswitchd of b")  # fmt: skip
def hang_vswitchd(s: Scene) -> Iterator[None]:
    with s.stopped(f"{s.b.host}.vswitchd"):
        yield


@fault("ovn-controller is dead, hangs or is not connected", "host.controller_hung", "pair",
       touches="controller")  # fmt: skip
def hang_controller(s: Scene) -> Iterator[None]:
    with s.stopped(f"{s.a.host}.controller"):
        yield


@fault("ovn-controller is dead, hangs or is not connected", "host.controller_dead", "pair",
       touches="controller")  # fmt: skip
def kill_controller(s: Scene) -> Iterator[None]:
    with s.dead(f"{s.a.host}.controller"):
        yield


@fault("a hypervisor's row is gone", "chassis.missing", "across", touches="controller",
       rough=True)  # fmt: skip
def lose_chassis(s: Scene) -> Iterator[None]:
    with s.dead(f"{s.a.host}.controller"):
        s.sb(s.a.site, "chassis-del", s.a.host)
        yield


@fault("a wrong tunnel address", "host.encap_ip", "across", touches="controller")
def change_address(s: Scene) -> Iterator[None]:
    with (
        s.stopped(f"{s.a.host}.controller"),
        s.setting(s.a.host, "ovn-encap-ip", "192.0.2.9"),
    ):
        yield


@fault("no common encapsulation", "chassis.encap_type", "near", touches="controller")
def change_encapsulation(s: Scene) -> Iterator[None]:
    with s.setting(s.b.host, "ovn-encap-type", "vxlan"):
        yield


@fault("two hypervisors of one name", "host.system_id_twice", "near", touches="controller")
def share_name(s: Scene) -> Iterator[None]:
    with (
        s.stopped(f"{s.a.host}.controller", f"{s.b.host}.controller"),
        s.setting(s.b.host, "system-id", s.a.host),
    ):
        yield


@fault("two or stale rows of one hypervisor", "chassis.twice", "across", touches="chassis")
def register_twice(s: Scene) -> Iterator[None]:
    name = s.find(s.sb, s.a.site, "Chassis", f"name={s.a.host}", column="hostname")
    s.sb(s.a.site, "chassis-add", "ghost", "geneve", "192.0.2.77")
    s.sb(s.a.site, "set", "Chassis", "ghost", f"hostname={name}")
    yield
    s.sb(s.a.site, "chassis-del", "ghost")


@fault("two physical networks on one bridge", "host.bridge_twice", "pair", touches="mappings")
def map_twice(s: Scene) -> Iterator[None]:
    before = s.vs(s.a.host, "--if-exists", "get", "Open_vSwitch", ".",
                  f"external_ids:{_MAPPINGS}").strip('"')  # fmt: skip
    pair = "one:br-none,other:br-none"
    with s.setting(s.a.host, _MAPPINGS, f"{before},{pair}" if before else pair):
        yield


@fault("a hypervisor lacks a flow", "host.no_flow", "across", touches="flows of a")
def lose_flow(s: Scene) -> Iterator[None]:
    bound = s.find(s.sb, s.a.site, "Port_Binding", f"logical_port={s.b.port}")
    key = int(s.sb(s.a.site, "get", "Port_Binding", bound, "tunnel_key"))
    row = s.sb(s.a.site, "get", "Port_Binding", bound, "datapath")
    datapath = int(s.sb(s.a.site, "get", "Datapath_Binding", row, "tunnel_key"))
    flows = f"metadata={datapath:#x},reg15={key:#x}"
    # The controller would write them anew with the next change of the network.
    with s.stopped(f"{s.a.host}.controller"):
        s.at(s.a.host, "sh", "-c",
             f"ovs-ofctl -O OpenFlow15 del-flows unix:$OVS_RUNDIR/br-int.mgmt {flows}")  # fmt: skip
        yield
    s.at(s.a.host, "sh", "-c", "ovn-appctl -t $(ls -t $OVN_RUNDIR/ovn-controller.*.ctl | head -1) "
         "inc-engine/recompute")  # fmt: skip


@fault("a certificate has expired", "host.certificate_expired", "pair", touches="certificate")
def let_expire(s: Scene) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        key, pem = Path(folder, "key.pem"), Path(folder, "host.pem")
        _write_expired(key, pem)
        s.vs(s.a.host, "set-ssl", str(key), str(pem), str(pem))
        yield
        s.vs(s.a.host, "del-ssl")


def _write_expired(key: Path, pem: Path) -> None:
    """Write a certificate that ended three days ago."""
    made = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "host")])
    now = datetime.datetime.now(datetime.UTC)
    one = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(made.public_key())
        .serial_number(7).not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now - datetime.timedelta(days=3)).sign(made, hashes.SHA256())
    )  # fmt: skip
    pem.write_bytes(one.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))  # fmt: skip


@fault("versions that do not match", "host.version_differs", "pair", touches="northd")
def wait_for_version(s: Scene) -> Iterator[None]:
    column = "options:northd_internal_version"
    before = s.sb(s.a.site, "get", "SB_Global", ".", column).strip('"')
    with (
        s.stopped(f"{s.a.site}.northd"),
        s.setting(s.a.host, "ovn-match-northd-version", "true"),
    ):
        s.sb(s.a.site, "set", "SB_Global", ".", f'{column}="99.03.0-1"')
        yield
        s.sb(s.a.site, "set", "SB_Global", ".", f'{column}="{before}"')


@fault("a hypervisor makes no tunnels to other sites", "host.not_interconn", "far",
       touches="controller")  # fmt: skip
def forget_interconn(s: Scene) -> Iterator[None]:
    with s.setting(s.a.host, "ovn-is-interconn", None):
        yield
