"""Another program that uses a camera: the few ioctls it takes to own a capture node, and to set its controls (V4L2,
x86-64 layout)."""
import contextlib
import ctypes
import fcntl
import os
import struct
from typing import Iterator

VIDIOC_G_FMT, VIDIOC_S_FMT, VIDIOC_REQBUFS = 0xC0D05604, 0xC0D05605, 0xC0145608
VIDIOC_S_EXT_CTRLS = 0xC0205648
VIDEO_CAPTURE, MEMORY_MMAP = 1, 1


@contextlib.contextmanager
def held(node: str) -> Iterator[None]:
    """Owns the buffers of a node meanwhile, which makes it busy for everybody else."""
    device = os.open(node, os.O_RDWR)
    try:
        # The format as it is: a format must have been set by the one who asks for buffers.
        form = bytearray(struct.pack("<I204x", VIDEO_CAPTURE))
        fcntl.ioctl(device, VIDIOC_G_FMT, form)
        fcntl.ioctl(device, VIDIOC_S_FMT, form)
        fcntl.ioctl(device, VIDIOC_REQBUFS, bytearray(struct.pack("<IIII4x", 2, VIDEO_CAPTURE, MEMORY_MMAP, 0)))
        yield
    finally:
        os.close(device)


def set_control(node: str, control: int, *values: int | str) -> None:
    """Sets a control to one value after the other, as somebody does who drags its slider."""
    device = os.open(node, os.O_RDWR)
    try:
        for value in values:
            text = ctypes.create_string_buffer(value.encode()) if isinstance(value, str) else None
            payload = struct.pack("<Q", ctypes.addressof(text)) if text else struct.pack("<iI", value, 0)
            size = len(text) if text else 0
            one = ctypes.create_string_buffer(struct.pack("<III", control, size, 0) + payload, 20)
            fcntl.ioctl(device, VIDIOC_S_EXT_CTRLS, struct.pack("<IIIiIIQ", 0, 1, 0, 0, 0, 0, ctypes.addressof(one)))
    finally:
        os.close(device)
