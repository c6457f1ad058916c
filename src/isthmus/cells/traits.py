"""Traits that a flavor asks of hosts: of any provider in use, or of the compute node itself.

Source:
    nova.scheduler.utils 34.0.0: `ResourceRequest`; nova.scheduler.request_filter 34.0.0: what it
    makes of flavors. What it makes of images, tenants, zones and networks is not known here.
"""

from isthmus import errors
from isthmus.model.compute.cloud import Flavor, is_true

#: What Nova's scheduler forbids every root.
DISABLED_TRAIT = "COMPUTE_STATUS_DISABLED"
#: What it requires of every root, once each nova-compute reports it.
OWNER_TRAIT = "OWNER_NOVA"
OWNER_VERSION = 73  #: version of the nova-compute service that reports it
_TPM_MODELS = {"tpm-tis": "COMPUTE_SECURITY_TPM_TIS", "tpm-crb": "COMPUTE_SECURITY_TPM_CRB"}
_TPM_VERSIONS = {"1.2": "COMPUTE_SECURITY_TPM_1_2", "2.0": "COMPUTE_SECURITY_TPM_2_0"}
_SECRETS = ("user", "host", "deployment")
_MEMORY_MODELS = {
    "amd-sev": "HW_CPU_X86_AMD_SEV",
    "amd-sev-es": "HW_CPU_X86_AMD_SEV_ES",
    "amd-sev-snp": "HW_CPU_X86_AMD_SEV_SNP",
    "intel-tdx": "HW_CPU_X86_INTEL_TDX",
}
_ADDRESS_MODES = {
    "passthrough": "COMPUTE_ADDRESS_SPACE_PASSTHROUGH",
    "emulate": "COMPUTE_ADDRESS_SPACE_EMULATED",
}
_AFFINITIES = {
    "required": "",
    "legacy": "",
    "preferred": "",
    "socket": "COMPUTE_SOCKET_PCI_NUMA_AFFINITY",
}
_BOOT = {"required": "COMPUTE_SECURITY_UEFI_SECURE_BOOT", "disabled": "", "optional": ""}
_DISK_FORMATS = ("plain", "luks", "luksv2")
_SOUND_MODELS = ("sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb", "virtio")


def list_required(flavor: Flavor) -> frozenset[str]:
    """List the traits that the providers of one instance must have between them.

    Raises:
        Invalid: Nova knows none of what an extra spec says.
    """
    found = {
        _look_up(flavor, "os:secure_boot", _BOOT),
        _look_up(flavor, "hw:pci_numa_affinity_policy", _AFFINITIES),
        _look_up(flavor, "hw:maxphysaddr_mode", _ADDRESS_MODES),
    }
    version = _look_up(flavor, "hw:tpm_version", _TPM_VERSIONS)
    if version:
        model = _look_up(flavor, "hw:tpm_model", _TPM_MODELS) or _TPM_MODELS["tpm-tis"]
        if model == _TPM_MODELS["tpm-crb"] and version != _TPM_VERSIONS["2.0"]:
            raise errors.Invalid(f"flavor {flavor.name} has a TPM tpm-crb that is not version 2.0")
        found |= {model, version}
    if wants_encrypted_memory(flavor):
        model = _look_up(flavor, "hw:mem_encryption_model", _MEMORY_MODELS)
        found.add(model or _MEMORY_MODELS["amd-sev"])
    return frozenset(found - {""})


def list_root_required(flavor: Flavor) -> frozenset[str]:
    """List the traits that the compute node itself must have.

    Raises:
        Invalid: Nova knows none of what an extra spec says.
    """
    specs = flavor.extra_specs
    found: set[str] = set()
    if is_true(specs.get("hw:virtio_packed_ring")):
        found.add("COMPUTE_NET_VIRTIO_PACKED")
    if is_true(specs.get("hw:ephemeral_encryption")):
        found.add("COMPUTE_EPHEMERAL_ENCRYPTION")
        form = choose_spec(flavor, "hw:ephemeral_encryption_format", _DISK_FORMATS)
        if form:
            found.add(f"COMPUTE_EPHEMERAL_ENCRYPTION_{form.upper()}")
    if choose_spec(flavor, "hw:sound_model", _SOUND_MODELS) == "virtio":
        found.add("COMPUTE_SOUND_MODEL_VIRTIO")
    if specs.get("hw:tpm_version"):
        keeper = choose_spec(flavor, "hw:tpm_secret_security", _SECRETS) or "user"
        found.add(f"COMPUTE_SECURITY_TPM_SECRET_SECURITY_{keeper.upper()}")
    return frozenset(found)


def wants_encrypted_memory(flavor: Flavor) -> bool:
    """Tell whether the memory of instances is encrypted."""
    return is_true(flavor.extra_specs.get("hw:mem_encryption"))


def _look_up(flavor: Flavor, key: str, known: dict[str, str]) -> str:
    """Return what an extra spec stands for; empty where it is not there."""
    text = choose_spec(flavor, key, tuple(known))
    return known[text] if text else ""


def choose_spec(flavor: Flavor, key: str, known: tuple[str, ...]) -> str:
    """Return an extra spec that has to be one of a few words; empty where it is not there.

    Raises:
        Invalid: it is another word.
    """
    text = flavor.extra_specs.get(key, "")
    if text and text not in known:
        raise errors.Invalid(
            f"flavor {flavor.name} has {key}={text}, and Nova knows {', '.join(known)}"
        )
    return text
