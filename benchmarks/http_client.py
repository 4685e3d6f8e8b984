"""A connection to a measured server."""

from __future__ import annotations

import http.client

from benchmarks import servers


class Client:
    """A persistent connection to a server on this machine."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=servers.START_SECONDS)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def reconnect(self) -> None:
        """Close the connection; the next request opens a new one, since servers close idle connections."""
        self._connection.close()

    def post(self, path: str, body: bytes, content_type: str) -> bytes:
        """Return the body of a response with status 200.

        :raises RuntimeError: If the status is different.
        """
        try:
            response = self._send(path, body, content_type)
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            # Servers close idle connections after some seconds, and this one is idle while another server is measured.
            self._connection.close()
            response = self._send(path, body, content_type)
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path} returned {response.status}: {content.decode(errors='replace')[:500]}")
        return content

    def _send(self, path: str, body: bytes, content_type: str) -> http.client.HTTPResponse:
        self._connection.request("POST", path, body, {"Content-Type": content_type})
        return self._connection.getresponse()
