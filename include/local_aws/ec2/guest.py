"""The commands of an instance that must not reach this machine: shutdown, poweroff, halt, reboot and sudo.

``python guest.py URL INSTANCE NAME [ARGUMENT ...]`` tells the server at URL that INSTANCE is to be powered off,
which it does even when this process and whoever started it are long gone.
"""

import json
import os
import sys
import urllib.error
import urllib.request

_DEFAULT_TIME = "+1"
_POWER_OFF = {"-h", "-P", "-H", "--poweroff", "--halt", "--no-wall", "-p", "-f", "--force"}


def main(url: str, instance_id: str, name: str, arguments: list[str]) -> int:
    """Do what the command of that name does on an instance; returns the exit status."""
    if name == "sudo":
        return _sudo(arguments)
    if name == "reboot" or "-r" in arguments or "--reboot" in arguments:
        print(
            f"{name}: local AWS does not restart an instance from within; stop it, or end it.",
            file=sys.stderr,
        )
        return 1
    if name == "shutdown" and "-c" in arguments:
        return _ask(url, instance_id, {"cancel": True})
    words = [word for word in arguments if word not in _POWER_OFF]
    try:
        minutes = _minutes(words[0] if words else _DEFAULT_TIME) if name == "shutdown" else 0
    except ValueError:
        print(f"{name}: {words[0]} is no time; local AWS knows now and +MINUTES.", file=sys.stderr)
        return 1
    return _ask(url, instance_id, {"minutes": minutes})


def _minutes(time: str) -> int:
    return 0 if time == "now" else int(time.removeprefix("+"))


def _ask(url: str, instance_id: str, members: dict[str, object]) -> int:
    request = urllib.request.Request(  # noqa: S310 - the server's own address
        f"{url}/_local_aws/instances/{instance_id}/shutdown", json.dumps(members).encode()
    )
    # Without the proxies of the environment: the server listens on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(request, timeout=30).close()
    except urllib.error.URLError as error:
        print(f"shutdown: the server of this instance does not answer: {error}", file=sys.stderr)
        return 1
    return 0


def _sudo(arguments: list[str]) -> int:
    """Become the command: whoever asks for root on an instance has it already."""
    while arguments and arguments[0].startswith("-"):
        takes_value = arguments.pop(0) in ("-u", "-g", "--user", "--group")
        if takes_value and arguments:
            arguments.pop(0)
    if not arguments:
        print("sudo: a command is needed.", file=sys.stderr)
        return 1
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606 - it is to become the command
    except FileNotFoundError:
        print(f"sudo: {arguments[0]}: command not found", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
