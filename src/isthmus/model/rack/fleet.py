"""A fleet: which machines stand where, what they are to become, and how they are reached.

These are the words of the fleet file. What a rack says counts over what the fleet says, and what a
node says counts over both; `isthmus.build.fleet.resolve` applies that.
"""

import enum
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import Field

#: RFC 1123: what may be a host's name, of 63 characters at most.
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
MAC_PATTERN = r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, description="lower case letters, digits, -")]
Mac = Annotated[str, Field(pattern=MAC_PATTERN, description="six pairs of hex digits with colons")]
Address = Annotated[str, Field(description="an IP address", json_schema_extra={"format": "ip"})]
Cidr = Annotated[str, Field(description="a network, such as 192.0.2.0/24")]
Sha256 = Annotated[str, Field(pattern=SHA256_PATTERN, description="64 hex digits")]
#: Lists that must not be empty: an editor's schema says so, and a rule does.
SOME = Field(json_schema_extra={"minItems": 1})
#: Refused unknown keys are mostly typing mistakes.
STRICT = {"extra": "forbid"}


class Firmware(enum.StrEnum):
    """How a machine's firmware boots."""

    BIOS = "bios"
    UEFI = "uefi"


class Install(enum.StrEnum):
    """How an operating system comes onto a disk."""

    IMAGE = "image"  #: an image streamed to the disk: the fast path
    KICKSTART = "kickstart"
    PRESEED = "preseed"
    AUTOINSTALL = "autoinstall"


class BmcKind(enum.StrEnum):
    """What a machine's management controller speaks."""

    REDFISH = "redfish"
    IPMI = "ipmi"
    MANUAL = "manual"  #: nobody but a person switches it


class Compression(enum.StrEnum):
    """How an image is packed on the wire."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


class Raid(enum.StrEnum):
    """Software RAID of the system's disks, where an installer makes it."""

    NONE = "none"
    MIRROR = "mirror"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bmc:
    """How power and boot device of a machine are controlled."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    address: str = ""  #: host, host:port, or the URL of a Redfish service
    kind: BmcKind = BmcKind.REDFISH
    user: str = ""
    secret: str = ""  #: name of its password in the secrets file; never the password
    system: str = ""  #: Redfish: path of the system, where the service has several
    verify_tls: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    name: Name
    mac: Mac  #: of the port that boots from the network
    bmc: Bmc | None = None
    roles: tuple[Name, ...] = ()
    addresses: dict[str, Address] = field(default_factory=dict)  #: network -> its own address
    disks: Name | None = None
    image: Name | None = None
    install: Install | None = None
    firmware: Firmware | None = None
    serial: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds for machines that do not say otherwise."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    roles: tuple[Name, ...] | None = None
    disks: Name | None = None
    image: Name | None = None
    install: Install | None = None
    firmware: Firmware | None = None
    bmc: Bmc | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rack:
    """Machines that share power and a switch."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    name: Name
    defaults: Defaults = field(default_factory=Defaults)
    nodes: Annotated[tuple[Node, ...], SOME]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network of a site."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    name: Name
    cidr: Cidr
    pool: str = ""  #: first-last: where addresses are taken for nodes that name none
    gateway: Address | None = None
    vlan: Annotated[int, Field(ge=1, le=4094)] | None = None
    mtu: Annotated[int, Field(ge=1280, le=9710)] = 1500
    dns: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Disks:
    """A layout of disks."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    name: Name
    device: Annotated[str, Field(pattern=r"^/dev/[A-Za-z0-9/_.:-]+$")] = "/dev/sda"
    mirror: Annotated[str, Field(pattern=r"^/dev/[A-Za-z0-9/_.:-]+$")] | None = None
    raid: Raid = Raid.NONE
    root_gib: Annotated[int, Field(ge=4)] = 60
    swap_gib: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image, or the tree that an installer installs from."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    name: Name
    file: str = ""  #: of an image: its path below the builder's images folder
    sha256: Sha256 | None = None  #: of the image as it is on the disk, unpacked
    size_mib: Annotated[int, Field(ge=1)] | None = None  #: unpacked
    compression: Compression = Compression.NONE
    kernel: str = ""  #: of an installer: its kernel, below the images folder
    initrd: str = ""
    tree: str = ""  #: of an installer: URL of its packages
    release: str = ""  #: such as rhel9, bookworm, noble


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What machines of a role run."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    name: Name
    least: Annotated[int, Field(ge=0)] = 0  #: nodes a site needs of it


@dataclass(frozen=True, slots=True, kw_only=True)
class NfvDemand:
    """What the machines of a role must do for packet processing."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    role: Name
    demand: dict[str, Any]  #: an NFV demand, as `isthmus nfv plan --demand` reads it


@dataclass(frozen=True, slots=True, kw_only=True)
class HighAvailability:
    """What survives the loss of machines."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    controllers: Annotated[int, Field(ge=1)] = 3
    role: Name = "control"
    vip: Address | None = None
    network: Name | None = None  #: where the VIP is; the provisioning network where not said


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One site."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    name: Name
    provisioning: Name  #: the network that machines boot from
    networks: Annotated[tuple[Network, ...], SOME]
    racks: Annotated[tuple[Rack, ...], SOME]
    ha: HighAvailability | None = None
    nfv: tuple[NfvDemand, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How fast a build may go, and when it gives a machine up."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    parallel: Annotated[int, Field(ge=1)] = 800  #: machines on their way at a time
    per_rack: Annotated[int, Field(ge=1)] = 40
    #: Power-ons a second: 800 clients in 30 s were all served with no retransmission.
    power_ons_per_s: Annotated[float, Field(gt=0, le=200)] = 25.0
    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    halt_share: Annotated[float, Field(gt=0, le=1)] = 0.25  #: quarantined: start no more machines
    retry_after_s: Annotated[float, Field(ge=0)] = 30.0  #: doubles with each attempt
    power_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    boot_timeout_s: Annotated[float, Field(gt=0)] = 600.0  #: power on to the first request
    deploy_timeout_s: Annotated[float, Field(gt=0)] = 1800.0
    verify_timeout_s: Annotated[float, Field(gt=0)] = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """The machine that builds."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    address: Address  #: its address on the provisioning network
    interface: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:@-]{1,15}$")]
    http_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    link_gbps: Annotated[float, Field(gt=0)] = 10.0
    #: Of an IPv6 network to announce: iPXE waits 12 s for a router where none does (measured).
    router_prefix: Cidr | None = None
    console: str = ""  #: console= of the ramdisk and of installers, such as ttyS0,115200


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The whole file."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    builder: Builder
    images: Annotated[tuple[Image, ...], SOME]
    disks: Annotated[tuple[Disks, ...], SOME]
    roles: Annotated[tuple[Role, ...], SOME]
    sites: Annotated[tuple[Site, ...], SOME]
    services: dict[Name, tuple[Name, ...]] = field(default_factory=dict)  #: service -> roles
    central: Name | None = None  #: the site that the others are joined to
    defaults: Defaults = field(default_factory=Defaults)
    limits: Limits = field(default_factory=Limits)
    authorized_keys: tuple[str, ...] = ()  #: public keys that may log in as root
