"""An S3 server that accepts all objects and stores nothing, to measure only the client."""

from __future__ import annotations

import asyncio
import sys

EMPTY_LIST = b'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>'
NO_SUCH_KEY = (
    b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>Nothing is stored.</Message></Error>'
)
STORED = b'HTTP/1.1 200 OK\r\nETag: "00000000000000000000000000000000"\r\nContent-Length: 0\r\n\r\n'


class Sink(asyncio.Protocol):
    """Read complete requests, regardless of their fragmentation, and respond to each."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._head = bytearray()
        self._line = b""
        self._left: int | None = None

    def data_received(self, data: bytes) -> None:
        while data or self._left == 0:
            if self._left is None:
                self._head += data
                end = self._head.find(b"\r\n\r\n")
                if end < 0:
                    return
                data = bytes(self._head[end + 4 :])
                self._read_head(bytes(self._head[:end]))
                self._head.clear()
            assert self._left is not None
            taken = min(self._left, len(data))
            self._left -= taken
            data = data[taken:]
            if self._left == 0:
                self._left = None
                self._transport.write(_answer(self._line))
                if not data:
                    return

    def _read_head(self, head: bytes) -> None:
        self._line, _, fields = head.partition(b"\r\n")
        lower = fields.lower()
        at = lower.find(b"content-length:")
        self._left = int(lower[at + 15 :].partition(b"\r\n")[0]) if at >= 0 else 0
        if b"100-continue" in lower:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _answer(line: bytes) -> bytes:
    method, target, _ = line.split(b" ", 2)
    if method in (b"PUT", b"POST"):
        return STORED
    if method == b"HEAD":
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    status, body = (b"200 OK", EMPTY_LIST) if b"list-type" in target else (b"404 Not Found", NO_SUCH_KEY)
    return b"HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
