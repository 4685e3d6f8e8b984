"""AWS's Deep Learning AMIs with PyTorch, and the public parameters that name them, in moto."""

import datetime
import hashlib
from dataclasses import dataclass
from typing import Any

from moto.ec2.models import amis
from moto.ssm.models import Parameter, ssm_backends

from include.local_aws.config import ACCOUNT_ID


@dataclass(frozen=True)
class Image:
    """An AMI: the PyTorch in it, its system as in the parameter's name and in its own, its root device, its age."""

    pytorch: str
    system: str
    system_name: str
    root_device: str
    created: str

    @property
    def parameter(self) -> str:
        """The public parameter that names it."""
        flavor = f"oss-nvidia-driver-gpu-pytorch-{self.pytorch}-{self.system}"
        return f"/aws/service/deeplearning/ami/x86_64/{flavor}/latest/ami-id"

    @property
    def image_id(self) -> str:
        """Its id: always the same, as no other has its parameter."""
        return f"ami-{hashlib.sha256(self.parameter.encode()).hexdigest()[:17]}"

    @property
    def name(self) -> str:
        """Its name."""
        date = self.created.replace("-", "")
        return f"Deep Learning OSS Nvidia Driver AMI GPU PyTorch {self.pytorch} ({self.system_name}) {date}"


_UBUNTU_22 = ("ubuntu-22.04", "Ubuntu 22.04", "/dev/sda1")
_UBUNTU_24 = ("ubuntu-24.04", "Ubuntu 24.04", "/dev/sda1")
_AMAZON = ("amazon-linux-2023", "Amazon Linux 2023", "/dev/xvda")

# The newest is neither the first nor the last, by name nor by age.
IMAGES = (
    Image("2.7", *_UBUNTU_22, "2026-09-02"),
    Image("2.7", *_AMAZON, "2026-09-02"),
    Image("2.13", *_UBUNTU_22, "2026-08-19"),
    Image("2.13", *_UBUNTU_24, "2026-08-19"),
    Image("2.13", *_AMAZON, "2026-08-19"),
    Image("2.12", *_UBUNTU_22, "2026-09-10"),
    Image("2.12", *_UBUNTU_24, "2026-09-10"),
    Image("2.12", *_AMAZON, "2026-09-10"),
)


def publish(region: str) -> None:
    """Add the AMIs to those that every region of moto's EC2 begins with, and a region's parameters of them.

    It must be done before the first request to EC2.
    """
    known = {record["ami_id"] for record in amis.AMIS}
    amis.AMIS.extend(_record(image) for image in IMAGES if image.image_id not in known)
    parameters = ssm_backends[ACCOUNT_ID][region]._parameters
    for image in IMAGES:
        # PutParameter takes no name below /aws.
        parameters[image.parameter] = [
            Parameter(  # type: ignore[abstract]
                account_id=ACCOUNT_ID,
                name=image.parameter,
                value=image.image_id,
                parameter_type="String",
                description=None,
                allowed_pattern=None,
                keyid=None,
                last_modified_date=datetime.datetime.fromisoformat(f"{image.created}T00:00:00+00:00"),
                version=1,
                data_type="aws:ec2:image",
            )
        ]


def _record(image: Image) -> dict[str, Any]:
    """Return an AMI as moto's list of them holds it."""
    return {
        "ami_id": image.image_id,
        "name": image.name,
        "description": f"{image.name}; local AWS runs none of it",
        "owner_id": "898082745236",
        "image_location": f"amazon/{image.name}",
        "public": True,
        "state": "available",
        "creation_date": f"{image.created}T00:00:00.000Z",
        "architecture": "x86_64",
        "hypervisor": "xen",
        "virtualization_type": "hvm",
        "image_type": "machine",
        "platform": None,
        "root_device_type": "ebs",
        "root_device_name": image.root_device,
        "sriov": "simple",
    }
