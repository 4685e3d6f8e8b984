"""The kind of error that a retry can't mend."""


class PermanentError(Exception):
    """Something is wrong that a person has to change; the message says what. Tasks are not retried after it."""
