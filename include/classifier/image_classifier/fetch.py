"""Fetches an image that a request refers to, from a public web address or from the project's own S3 prefix.

An endpoint that opens any address it is given lets its callers reach what only the endpoint can reach: the
instance's credentials, other hosts of its network. So every address is resolved first, must be public, and
the connection goes to the checked address itself, that a second DNS answer cannot change it.
"""

import http.client
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from .errors import RequestError

URL_VARIABLE = "URL_INPUT"
S3_VARIABLE = "S3_INPUT_PREFIX"

MAX_BYTES = 10 * 1024 * 1024
MAX_URL_CHARACTERS = 8192
MAX_KEY_BYTES = 1024  # what S3 allows
MAX_REDIRECTS = 3
CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0

MAX_S3_CONNECTIONS = 16  # a batch reads its images together

REDIRECTS = (301, 302, 303, 307, 308)
# Many object stores serve images as bytes of no declared type; whether they are one, decoding shows.
UNDECLARED_TYPES = ("", "application/octet-stream", "binary/octet-stream")

# What is not the public internet, of the IANA special-purpose address registries and the multicast and reserved
# blocks (https://www.iana.org/assignments/iana-ipv4-special-registry, .../iana-ipv6-special-registry, of 2025).
# A list, because the answers of `ipaddress` differ with the version of Python.
NOT_PUBLIC_IPV4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared address space of carriers
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link local: on AWS the instance's credentials
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; 192.0.0.192 is the metadata service of another cloud
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays to IPv6, deprecated
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the broadcast address
    )
)
# All of IPv6 that is public so far lies in one block, with exceptions.
PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")
NOT_PUBLIC_IPV6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, among them Teredo, which stands for an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which stands for an IPv4 address
        "3fff::/20",  # documentation
    )
)


_s3_lock = threading.Lock()


def from_url(url: str) -> bytes:
    """Fetch an image from a public http or https address, at most 10 MB, within 10 seconds.

    :raises RequestError: the address is refused or unreachable, or what it answers is no image or too large.
    """
    if os.environ.get(URL_VARIABLE, "").lower() == "off":
        raise RequestError('This endpoint does not fetch addresses; send the image itself or "s3".')
    if len(url) > MAX_URL_CHARACTERS:
        raise RequestError(f"The address has {len(url):,} characters, more than {MAX_URL_CHARACTERS:,}.")
    deadline = time.monotonic() + TOTAL_SECONDS
    for _ in range(MAX_REDIRECTS + 1):
        parts, host, port = _parse(url)
        addresses = _public_addresses(host, port, deadline)
        with _response(parts, host, port, addresses, deadline) as response:
            if response.status not in REDIRECTS:
                return _read_image(response, host)
            location = response.getheader("Location")
        if not location:
            raise RequestError(f"{host} answered a redirect that leads nowhere.")
        try:
            url = urljoin(url, location)
        except ValueError as error:
            raise RequestError(f"{host} answered a redirect that is not valid ({error}).") from None
    raise RequestError(f"The address redirects more than {MAX_REDIRECTS} times.")


def from_s3(uri: str) -> bytes:
    """Read an object below the prefix in S3_INPUT_PREFIX, at most 10 MB.

    :raises RequestError: no prefix is set, the object is outside of it, unreadable or too large.
    """
    prefix = os.environ.get(S3_VARIABLE, "")
    if not prefix:
        raise RequestError('This endpoint does not read from S3; send the image itself or "url".')
    prefix = prefix.rstrip("/") + "/"  # s3://bucket/project must not open s3://bucket/project-of-others
    if not uri.startswith(prefix) or uri == prefix:
        raise RequestError(f"Only objects below {prefix} can be read.")

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise RequestError(f"The key has {len(key.encode()):,} bytes, more than {MAX_KEY_BYTES:,}.")

    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = _s3_client().get_object(Bucket=bucket, Key=key)
        if answer["ContentLength"] > MAX_BYTES:
            raise _too_large(uri)
        return answer["Body"].read()
    except ClientError as error:
        raise RequestError(f"{uri} cannot be read: {error.response['Error']['Code']}.") from None
    except BotoCoreError as error:
        raise RequestError(f"{uri} cannot be read: {type(error).__name__}.") from None


def _s3_client() -> Any:
    """Return the one S3 client of the process: several can't safely be made at once, as a batch would."""
    with _s3_lock:
        return make_s3_client()


@cache
def make_s3_client() -> Any:
    import boto3  # only this way of input needs it
    from botocore.config import Config

    seconds = CONNECT_SECONDS
    config = Config(
        connect_timeout=seconds,
        read_timeout=seconds,
        retries={"total_max_attempts": 2},
        max_pool_connections=MAX_S3_CONNECTIONS,
    )
    return boto3.client("s3", config=config)


def _parse(url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError as error:
        raise RequestError(f"The address is not valid ({error}).") from None
    if parts.scheme not in ("http", "https") or not host:
        raise RequestError("The address must start with http:// or https:// and name a host.")
    if parts.username is not None or parts.password is not None:
        raise RequestError("The address must not contain a user name or a password.")
    return parts, host, port


def _public_addresses(host: str, port: int, deadline: float) -> list[str]:
    """Resolve a host, and return its addresses if every one of them is public."""
    addresses = resolve_host(host, port, deadline)
    if not addresses:
        raise RequestError(f"The host {host} is unknown.")
    # One private address among several is refused too: a name under an attacker's control may have both.
    if not all(is_public(address) for address in addresses):
        raise RequestError(f"The host {host} is not on the public internet, so it is not fetched from.")
    return addresses


def is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in NOT_PUBLIC_IPV4)
    return ip in PUBLIC_IPV6 and not any(ip in network for network in NOT_PUBLIC_IPV6)


def resolve_host(host: str, port: int, deadline: float) -> list[str]:
    found: list[str] = []

    def resolve() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError):
            return  # unknown, or no name at all
        found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))

    # getaddrinfo knows no time limit; a thread that is still waiting is left behind and ends by itself.
    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(_remaining(deadline))
    return list(found)


@contextmanager
def _response(
    parts: SplitResult, host: str, port: int, addresses: list[str], deadline: float
) -> Iterator[http.client.HTTPResponse]:
    """Ask for the address and yield the answer; the connection goes to one of the given IP addresses."""
    try:
        with ExitStack() as cleanup:
            connection = http.client.HTTPConnection(host, port)
            cleanup.callback(connection.close)
            connection.sock = sock = _connect(addresses, port, deadline)
            if parts.scheme == "https":
                connection.sock = sock = ssl.create_default_context().wrap_socket(
                    sock, server_hostname=host, do_handshake_on_connect=False
                )
            # A socket's timeout starts anew with every byte that trickles in; this one does not.
            timer = threading.Timer(_remaining(deadline), _shut_down, [sock])
            timer.start()
            cleanup.callback(timer.cancel)
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
            headers = {"Accept": "image/*", "User-Agent": "image-classifier"}
            connection.request("GET", _target(parts), headers=headers)
            yield connection.getresponse()
            if time.monotonic() >= deadline:  # what was read ended because the connection was shut down
                raise TimeoutError
    except RequestError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() >= deadline:
            raise RequestError(f"{host} did not answer within {TOTAL_SECONDS:.0f} seconds.") from None
        raise RequestError(f"{host} cannot be reached ({type(error).__name__}).") from None


def _target(parts: SplitResult) -> str:
    """Return path and query with every character escaped that a request line cannot hold."""
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    return f"{path}?{quote(parts.query, safe='/%:@!$&()*+,;=~?')}" if parts.query else path


def _connect(addresses: list[str], port: int, deadline: float) -> socket.socket:
    failure: OSError = OSError("no address")
    for address in addresses:
        try:
            timeout = min(CONNECT_SECONDS, _remaining(deadline))
            return socket.create_connection((address, port), timeout)
        except OSError as error:
            failure = error
    raise failure


def _shut_down(sock: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not the TLS socket's own: that is in use elsewhere


def _read_image(response: http.client.HTTPResponse, host: str) -> bytes:
    if response.status != 200:
        raise RequestError(f"{host} answered with status {response.status} instead of an image.")
    kind = (response.getheader("Content-Type") or "").split(";")[0].strip().lower()
    if not kind.startswith("image/") and kind not in UNDECLARED_TYPES:
        raise RequestError(f"{host} answered with {kind} instead of an image.", status=415)
    if (response.length or 0) > MAX_BYTES:
        raise _too_large(f"The image at {host}")
    content = response.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _too_large(f"The image at {host}")
    return content


def _too_large(what: str) -> RequestError:
    return RequestError(f"{what} is larger than {MAX_BYTES // 1024 // 1024} MB.", status=413)


def _remaining(deadline: float) -> float:
    return max(0.01, deadline - time.monotonic())
