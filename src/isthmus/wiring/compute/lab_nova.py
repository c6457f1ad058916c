"""Joins a lab's Nova with what is installed on this machine."""

import sysconfig
from pathlib import Path

from isthmus import errors
from isthmus.clients.http import lab_cloud
from isthmus.lab.compute.bring import ComputeRequest
from isthmus.lab.compute.services import ComputeFiles


def request_compute(cells: int = 1, *, metadata: bool = False) -> ComputeRequest:
    """Find what the sites' Nova needs on this machine.

    Args:
        cells: how many each Nova has.
        metadata: whether hypervisors have Neutron's metadata agent.

    Raises:
        Unsupported: Nova is not installed, or Glance is not.
    """
    etc = Path(sysconfig.get_path("data")) / "etc"
    files = ComputeFiles(
        nova_paste=etc / "nova" / "api-paste.ini",
        glance_paste=etc / "glance" / "glance-api-paste.ini",
    )
    if not (files.nova_paste.exists() and files.glance_paste.exists()):
        raise errors.Unsupported("Nova and Glance are not installed; run: ./dev setup compute")
    upload = lab_cloud.upload_image
    return ComputeRequest(files=files, upload=upload, cells=cells, metadata=metadata)
