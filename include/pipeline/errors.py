"""The base class of errors that a retry can't fix."""


class PermanentError(Exception):
    """Raised if a person has to change something; the message says what. Airflow does not retry the task."""
