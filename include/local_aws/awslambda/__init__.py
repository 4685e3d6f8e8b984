"""Lambda that really runs, on top of moto's, which keeps functions, versions and aliases.

Functions run with the Python of this repository, whatever their runtime says. Not emulated: the memory limit,
layers, and the retries of asynchronous events.
"""

from include.local_aws.awslambda.service import LambdaService

__all__ = ["LambdaService"]
