"""Stands for a program that a warm pool's kept process runs: ``warm_client.py SOCKET EXECUTABLE -- SCRIPT ...``.

Takes the place of ``EXECUTABLE -- SCRIPT ...``, a Python: hands folder, environment, arguments and standard streams
to the kept process, passes signals on, and ends as the program does. With other arguments, or when the kept
process is gone, it becomes EXECUTABLE. It imports little and is run without site-packages, for it is started twice
in each job.
"""

import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    """Have the program run, and end with its exit status or by its signal."""
    path, executable, *arguments = sys.argv[1:]
    connection = socket.socket(socket.AF_UNIX)
    if arguments[:1] != ["--"] or not _connected(connection, Path(path)):
        os.execv(executable, [executable, *arguments])  # noqa: S606 - it stands for this Python
    request = {
        "command": arguments[1:],
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "executable": executable,
    }
    text = json.dumps(request).encode()
    socket.send_fds(connection, [struct.pack("!q", len(text))], [0, 1, 2])
    connection.sendall(text)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: connection.send(bytes([received])))
    answer = connection.recv(4, socket.MSG_WAITALL)
    code = struct.unpack("!i", answer)[0] if len(answer) == 4 else 1
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def at_address(call: Callable[[str], None], path: Path) -> None:
    """Call a socket's ``bind`` or ``connect`` with a path of any length; their own limit is 107 bytes (unix(7)).

    :raises OSError: as they do
    """
    folder = os.open(path.parent, os.O_PATH)
    try:
        call(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _connected(connection: socket.socket, path: Path) -> bool:
    try:
        at_address(connection.connect, path)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
