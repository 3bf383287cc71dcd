"""The words a USB webcam says about itself: descriptors and control blocks of USB Video Class 1.1.

Bytes only; who sends them and when stands in usbcam.py. Section numbers are those of "USB Device Class Definition
for Video Devices", revision 1.1, and of its "Frame Based Payload" companion.
"""
import struct
from typing import NamedTuple

# Intervals in units of 100 ns, as the class writes them: 30 and 15 frames a second.
INTERVALS = (333333, 666666)
# One bulk transfer. uvcvideo takes dwMaxPayloadTransferSize from the probe control and asks for that much at a time.
TRANSFER = 16384
CLOCK_HZ = 48_000_000

YUY2_GUID = bytes.fromhex("5955593200001000800000aa00389b71")
H264_GUID = bytes.fromhex("4832363400001000800000aa00389b71")

# Descriptor types and subtypes (appendix A).
CS_INTERFACE = 0x24
VC_HEADER, VC_INPUT_TERMINAL, VC_OUTPUT_TERMINAL, VC_PROCESSING_UNIT = 1, 2, 3, 5
VS_INPUT_HEADER = 1
VS_FORMAT_UNCOMPRESSED, VS_FRAME_UNCOMPRESSED = 4, 5
VS_FORMAT_MJPEG, VS_FRAME_MJPEG = 6, 7
VS_FORMAT_FRAME_BASED, VS_FRAME_FRAME_BASED = 0x10, 0x11
VS_COLORFORMAT = 0x0D

CAMERA_TERMINAL, PROCESSING_UNIT, STREAMING_TERMINAL = 1, 2, 3
BULK_IN = 0x81


class Mode(NamedTuple):
    """One format in one size; every mode is offered at every one of INTERVALS."""

    kind: str
    width: int
    height: int


def _intervals() -> bytes:
    return struct.pack(f"<{len(INTERVALS)}I", *INTERVALS)


def _frame(subtype: int, mode: Mode) -> bytes:
    """A frame descriptor of an uncompressed or MJPEG format (table 3-2 of either payload document)."""
    bits = mode.width * mode.height * 16
    return struct.pack(
        "<BBBBBHHIIIIB", 26 + 4 * len(INTERVALS), CS_INTERFACE, subtype, 1, 0, mode.width, mode.height,
        bits * 15, bits * 30, mode.width * mode.height * 2, INTERVALS[0], len(INTERVALS),
    ) + _intervals()


def _frame_based(mode: Mode) -> bytes:
    """A frame descriptor of a frame-based format: no largest frame size, but bytes a line (none)."""
    return struct.pack(
        "<BBBBBHHIIIBI", 26 + 4 * len(INTERVALS), CS_INTERFACE, VS_FRAME_FRAME_BASED, 1, 0, mode.width, mode.height,
        1_000_000, 8_000_000, INTERVALS[0], len(INTERVALS), 0,
    ) + _intervals()


def _format(index: int, mode: Mode) -> bytes:
    """One format with its one frame size and its colours (BT.709 primaries, SMPTE 170M matrix)."""
    colour = bytes([6, CS_INTERFACE, VS_COLORFORMAT, 1, 1, 4])
    if mode.kind == "mjpeg":
        head = struct.pack("<11B", 11, CS_INTERFACE, VS_FORMAT_MJPEG, index, 1, 1, 1, 0, 0, 0, 0)
        return head + _frame(VS_FRAME_MJPEG, mode) + colour
    if mode.kind == "yuyv":
        head = struct.pack(
            "<BBBBB16s6B", 27, CS_INTERFACE, VS_FORMAT_UNCOMPRESSED, index, 1, YUY2_GUID, 16, 1, 0, 0, 0, 0)
        return head + _frame(VS_FRAME_UNCOMPRESSED, mode) + colour
    if mode.kind == "h264":
        head = struct.pack(
            "<BBBBB16s7B", 28, CS_INTERFACE, VS_FORMAT_FRAME_BASED, index, 1, H264_GUID, 16, 1, 0, 0, 0, 0, 1)
        return head + _frame_based(mode) + colour
    raise ValueError(mode.kind)


def configuration(modes: list[Mode]) -> bytes:
    """The configuration descriptor: a control and a streaming interface, one bulk endpoint."""
    formats = b"".join(_format(number, mode) for number, mode in enumerate(modes, 1))
    count = len(modes)
    streaming_header = struct.pack(
        "<BBBBHBBBBBBB", 13 + count, CS_INTERFACE, VS_INPUT_HEADER, count, 13 + count + len(formats), BULK_IN, 0,
        STREAMING_TERMINAL, 0, 0, 0, 1,
    ) + bytes(count)

    units = struct.pack(
        "<BBBBHBBHHHB", 18, CS_INTERFACE, VC_INPUT_TERMINAL, CAMERA_TERMINAL, 0x0201, 0, 0, 0, 0, 0, 3) + bytes(3)
    # bmControls 0x0003: brightness and contrast.
    units += struct.pack(
        "<BBBBBHBHBB", 12, CS_INTERFACE, VC_PROCESSING_UNIT, PROCESSING_UNIT, CAMERA_TERMINAL, 0, 2, 0x0003, 0, 0)
    units += struct.pack(
        "<BBBBHBBB", 9, CS_INTERFACE, VC_OUTPUT_TERMINAL, STREAMING_TERMINAL, 0x0101, 0, PROCESSING_UNIT, 0)
    control_header = struct.pack(
        "<BBBHHIBB", 13, CS_INTERFACE, VC_HEADER, 0x0110, 13 + len(units), CLOCK_HZ, 1, 1)

    association = bytes([8, 11, 0, 2, 0x0E, 3, 0, 2])
    control_interface = bytes([9, 4, 0, 0, 0, 0x0E, 1, 0, 2])
    streaming_interface = bytes([9, 4, 1, 0, 1, 0x0E, 2, 0, 0])
    endpoint = struct.pack("<BBBBHB", 7, 5, BULK_IN, 2, 512, 0)

    body = (association + control_interface + control_header + units
            + streaming_interface + streaming_header + formats + endpoint)
    return struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), 2, 1, 0, 0x80, 250) + body


def device(has_serial: bool) -> bytes:
    """The device descriptor: high speed, 1d6b:0102, composite by interface association. No serial: iSerialNumber 0."""
    return struct.pack(
        "<BBHBBBBHHHBBBB", 18, 1, 0x0200, 0xEF, 2, 1, 64, 0x1D6B, 0x0102, 0x0100, 1, 2, 3 if has_serial else 0, 1)


def qualifier() -> bytes:
    """The device qualifier descriptor: nothing else at full speed."""
    return struct.pack("<BBHBBBBBB", 10, 6, 0x0200, 0xEF, 2, 1, 64, 1, 0)


def string(text: str) -> bytes:
    """A string descriptor."""
    data = text.encode("utf-16le")
    return bytes([2 + len(data), 3]) + data


LANGUAGES = bytes([4, 3, 0x09, 0x04])


def stream_control(mode: Mode, number: int, interval: int) -> bytes:
    """The video probe and commit control (4.3.1.1, 34 bytes) for one format number."""
    return struct.pack(
        "<HBBIHHHHHII", 1, number, 1, interval, 0, 0, 0, 0, 0, mode.width * mode.height * 2, TRANSFER,
    ) + struct.pack("<IBBBB", CLOCK_HZ, 0, 0, 0, 0)


def stream_choice(control: bytes) -> tuple[int, int]:
    """The format number and the interval a probe or commit control asks for."""
    return control[2] or 1, struct.unpack_from("<I", control, 4)[0] or INTERVALS[0]
