"""A small RTSP reader (RFC 2326) over TCP interleaved, which keeps what came: RTP gaps, H.264 NAL units, its end.

Written here because it has to say things ffprobe does not: which access units came in which order, whether one is
missing, and how the server ended the session.
"""
import re
import socket
import struct
import threading
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from wait import DEADLINE, wait_for

KEEP_ALIVE = 20.0


class Frame(NamedTuple):
    """What came under one RTP timestamp."""

    timestamp: int
    nals: list[bytes]

    def pictures(self) -> bytes:
        """The coded slices alone: what a parser may add or drop (parameter sets, delimiters, SEI) left out."""
        return b"".join(nal for nal in self.nals if nal[0] & 31 in (1, 5))


class Response(NamedTuple):
    """A response of the server."""

    status: int
    headers: dict[str, str]
    body: str


class Connection:
    """Requests and responses on one TCP connection; interleaved packets are handed out in between."""

    def __init__(self, url: str):
        self.url = url
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port or 554), timeout=DEADLINE)
        self._file = self._socket.makefile("rb")
        self._sequence = 0

    def send(self, method: str, url: str | None = None, **headers: str) -> None:
        self._sequence += 1
        lines = [f"{method} {url or self.url} RTSP/1.0", f"CSeq: {self._sequence}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join(lines + ["", ""]).encode())

    def receive(self) -> Response | tuple[int, bytes] | None:
        """The next response, or (channel, packet); None at the end of the connection."""
        try:
            first = self._file.read(1)
            if not first:
                return None
            if first == b"$":
                channel, length = struct.unpack(">BH", self._file.read(3))
                return channel, self._file.read(length)
            line = first + self._file.readline()
            headers = {}
            while (header := self._file.readline().decode().strip()):
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            body = self._file.read(int(headers.get("content-length", 0))).decode()
            words = line.decode().split()
            # A request of the server's (a keep-alive, say) has its method where a response has the version.
            return Response(int(words[1]) if words[0].startswith("RTSP") else 0, headers, body)
        except (ConnectionError, struct.error):
            return None

    def request(self, method: str, url: str | None = None, **headers: str) -> Response:
        self.send(method, url, **headers)
        answer = self.receive()
        while not isinstance(answer, Response):
            if answer is None:
                raise ConnectionError(f"the server hung up on {method}")
            answer = self.receive()
        return answer

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()


def describe(url: str) -> Response:
    """The response to a DESCRIBE."""
    connection = Connection(url)
    try:
        return connection.request("DESCRIBE", Accept="application/sdp")
    finally:
        connection.close()


class Reader:
    """Plays a stream on a thread of its own until the server or `close` ends it."""

    def __init__(self, url: str):
        self._connection = Connection(url)
        answer = self._connection.request("DESCRIBE", Accept="application/sdp")
        assert answer.status == 200, f"DESCRIBE {url}: {answer.status}"
        self.sdp = answer.body
        base = answer.headers.get("content-base", url).rstrip("/")
        control = re.findall(r"^a=control:(.*)$", self.sdp, re.M)[-1].strip()
        track = control if control.startswith("rtsp://") else f"{base}/{control}"
        answer = self._connection.request("SETUP", track, Transport="RTP/AVP/TCP;unicast;interleaved=0-1")
        assert answer.status == 200, f"SETUP {track}: {answer.status}"
        self._session = answer.headers["session"].split(";")[0]
        answer = self._connection.request("PLAY", Session=self._session, Range="npt=0-")
        assert answer.status == 200, f"PLAY {url}: {answer.status}"
        self.frames: list[Frame] = []
        self.packets_missed = 0
        self.ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_frames(self, more: int, deadline: float = DEADLINE) -> None:
        """Waits for this many more frames."""
        goal = len(self.frames) + more
        wait_for(f"{more} more frames", lambda: len(self.frames) >= goal or self.ended, deadline)
        assert len(self.frames) >= goal, f"the server ended the session after {len(self.frames)} frames, not {goal}"

    def wait_end(self, deadline: float = DEADLINE) -> None:
        """Waits until the server has ended the session."""
        wait_for("the end of the session", lambda: self.ended, deadline)

    def close(self) -> None:
        self._connection.close()
        self._thread.join(DEADLINE)

    def _read(self) -> None:
        expected, nals, timestamp, pieces = None, [], None, b""
        spoke = time.monotonic()
        while (message := self._connection.receive()) is not None:
            if time.monotonic() - spoke > KEEP_ALIVE:
                spoke = time.monotonic()
                self._connection.send("GET_PARAMETER", Session=self._session)
            if isinstance(message, Response):
                continue
            channel, packet = message
            if channel != 0 or len(packet) < 13:
                continue
            flags, kind, sequence, now = struct.unpack_from(">BBHI", packet)
            if expected is not None and sequence != expected:
                self.packets_missed += (sequence - expected) & 0xFFFF
            expected = (sequence + 1) & 0xFFFF
            if timestamp is not None and now != timestamp and nals:
                self.frames.append(Frame(timestamp, nals))
                nals = []
            timestamp = now
            payload = packet[12 + 4 * (flags & 15):]
            nals, pieces = self._unpack(payload, nals, pieces)
            if kind & 0x80:
                self.frames.append(Frame(timestamp, nals))
                nals = []
        self.ended = True

    @staticmethod
    def _unpack(payload: bytes, nals: list[bytes], pieces: bytes) -> tuple[list[bytes], bytes]:
        """NAL units of one H.264 payload (RFC 6184): single, STAP-A, FU-A. Of JPEG (RFC 2435) nothing is kept."""
        kind = payload[0] & 31
        if kind == 24:
            at = 1
            while at + 2 < len(payload):
                size = struct.unpack_from(">H", payload, at)[0]
                nals = nals + [payload[at + 2:at + 2 + size]]
                at += 2 + size
        elif kind == 28:
            if payload[1] & 0x80:
                pieces = bytes([payload[0] & 0xE0 | payload[1] & 31])
            pieces += payload[2:]
            if payload[1] & 0x40:
                return nals + [pieces], b""
        elif 1 <= kind <= 23:
            nals = nals + [payload]
        return nals, pieces
