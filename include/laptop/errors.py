"""The base class of errors that the commands report in one sentence."""


class LaptopError(RuntimeError):
    """An error that the user has to fix. The message says what is wrong and what to do."""
