"""SageMaker that really trains, processes, tunes and serves, as child processes of this server."""

from include.local_aws.sagemaker.service import SageMaker

__all__ = ["SageMaker"]
