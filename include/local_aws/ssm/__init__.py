"""Systems Manager: Run Command on the instances of local EC2; parameters and all else are moto's."""

from include.local_aws.ssm.service import SSM

__all__ = ["SSM"]
