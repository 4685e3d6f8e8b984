"""CloudWatch whose alarms really change state, on top of moto's, which keeps metrics and alarms.

Not emulated: actions other than SNS topics, alarms that learn their threshold, metric math beyond arithmetic,
comparisons, FILL and IF.
"""

from include.local_aws.cloudwatch.service import CloudWatch

__all__ = ["CloudWatch"]
