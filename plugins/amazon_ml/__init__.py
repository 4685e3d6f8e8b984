"""Operators, hooks, triggers and links for operating models, as an extension of the Amazon provider."""

import logging

# For each client, botocore logs at INFO where it found the credentials and the endpoint. These are dozens of lines
# before the task's own output. Airflow's option ``logging.namespace_levels`` is meant for this, but Airflow 3.3.2
# applies it only to structlog loggers.
for _name in ("aiobotocore.credentials", "botocore.configprovider", "botocore.credentials"):
    logging.getLogger(_name).setLevel(logging.WARNING)
