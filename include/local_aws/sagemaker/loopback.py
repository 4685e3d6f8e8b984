"""Turns the loopback interface on and becomes another program: ``python loopback.py COMMAND [ARGUMENT ...]``.

In a new network namespace it is off, and processes that train together on one machine talk over it.
"""

import fcntl
import os
import socket
import struct
import sys

_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
"""Linux's requests to read and to set an interface's flags (netdevice(7))."""

_IFF_UP = 1
_REQUEST = "16sh22x"
"""``struct ifreq``: the interface's name and its flags, 40 bytes."""


def main() -> None:
    """Turn it on and execute the command."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack(_REQUEST, b"lo", 0))
        _, flags = struct.unpack(_REQUEST, answer)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack(_REQUEST, b"lo", flags | _IFF_UP))
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - it is to become the command


if __name__ == "__main__":
    main()
