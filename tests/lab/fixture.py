"""The H.264 the lab's webcams send, as something to compare with: which access unit is this, and does one miss?"""
from pathlib import Path

import rtsp
import usbcam


def _nals(unit: bytes) -> list[bytes]:
    """The NAL units of an access unit in byte-stream form (four- or three-byte start codes, zeros before them)."""
    parts = unit.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    return [part for part in parts if part]


class Fixture:
    """A camera's film, which it shows again and again."""

    def __init__(self, path: Path):
        units = [rtsp.Frame(0, _nals(unit)).pictures() for unit in usbcam.access_units(str(path))]
        self._length = len(units)
        self._places = {unit: place for place, unit in enumerate(units)}
        assert len(self._places) == len(units), "two access units of the fixture are alike"

    def places(self, frames: list[rtsp.Frame]) -> list[int | None]:
        """Which access unit of the film each frame is; None for one that is not of it, byte for byte."""
        return [self._places.get(frame.pictures()) for frame in frames]

    def assert_whole(self, reader: rtsp.Reader) -> None:
        """Asserts that a reader got the film unchanged and without a gap."""
        frames = list(reader.frames)
        places = self.places(frames)
        strange = [number for number, place in enumerate(places) if place is None]
        assert not strange, f"of {len(frames)} frames these are not the camera's: {strange[:20]}"
        gaps = [(a, b) for a, b in zip(places, places[1:]) if b != (a + 1) % self._length]
        assert not gaps, f"frames are missing between (place in the film) {gaps[:20]}, of {len(frames)} read"
        assert reader.packets_missed == 0, f"{reader.packets_missed} RTP packets are missing"
