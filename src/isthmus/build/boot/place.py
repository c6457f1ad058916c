"""Where things are: the URLs that machines use, and the folders that boot services serve."""

from dataclasses import dataclass
from pathlib import Path

from isthmus.model.rack.fleet import Builder

#: The first script that every iPXE reads; it asks for the one of its own machine.
START = "start.ipxe"
KERNEL = "vmlinuz"
RAMDISK = "initrd.img"
#: Network boot programs, by the names under which TFTP serves them.
NBP_BIOS = "undionly.kpxe"
NBP_UEFI = "snponly.efi"


@dataclass(frozen=True, slots=True)
class Place:
    """One build's folders and URLs."""

    builder: Builder
    state: Path
    images: Path

    @property
    def url(self) -> str:
        """Return the URL that everything is below."""
        return f"http://{self.builder.address}:{self.builder.http_port}"

    @property
    def boot(self) -> Path:
        """Return the folder of /boot/: the ramdisk, its kernel, the first script."""
        return self.state / "http"

    @property
    def tftp(self) -> Path:
        """Return the folder that TFTP serves."""
        return self.state / "tftp"

    @property
    def socket(self) -> Path:
        """Return the socket of what answers machines."""
        return self.state / "api.sock"

    @property
    def dnsmasq_conf(self) -> Path:
        """Return dnsmasq's configuration."""
        return self.state / "dnsmasq.conf"

    @property
    def dnsmasq_hosts(self) -> Path:
        """Return dnsmasq's reservations."""
        return self.state / "dnsmasq.hosts"

    @property
    def nginx_conf(self) -> Path:
        """Return nginx's configuration."""
        return self.state / "nginx.conf"

    def image_url(self, file: str) -> str:
        """Return the URL of a file of the images folder."""
        return f"{self.url}/images/{file}"
