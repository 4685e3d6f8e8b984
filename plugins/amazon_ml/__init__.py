"""What the Amazon provider lacks for operating models, laid out and named as the provider would."""

import logging

# For each client, botocore logs at INFO where it found credentials and endpoint: dozens of lines in front of what a
# task has to say. Airflow's option ``logging.namespace_levels`` is meant for this, but Airflow 3.3.2 applies it to the
# loggers of structlog alone.
for _name in ("aiobotocore.credentials", "botocore.configprovider", "botocore.credentials"):
    logging.getLogger(_name).setLevel(logging.WARNING)
