"""EC2: moto keeps the records of instances; what they run really runs, as processes of this machine."""

from include.local_aws.ec2.machines import Machines
from include.local_aws.ec2.service import EC2

__all__ = ["EC2", "Machines"]
