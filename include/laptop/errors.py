"""The base of what the commands of a laptop say in one sentence."""


class LaptopError(RuntimeError):
    """Something a person has to act on; the message says what is wrong, and what to do."""
