#!/usr/bin/env python3
"""A USB webcam in user space, plugged into this kernel through vhci-hcd (USB/IP), so that the kernel's own usbcore,
uvcvideo, V4L2 and udev meet it as they meet a real one.

    modprobe vhci-hcd; modprobe uvcvideo
    usbcam.py --port N --serial S [--name NAME] --mjpeg 'GLOB' --h264 FILE [--fps F] [--fault KIND@FRAME]

Modes: 640x360 MJPEG if --mjpeg, 320x180 YUYV unless --no-yuyv, 640x360 H.264 if --h264 (whose access units must begin
with a delimiter NAL), at 30 and 15 frames/s advertised and --fps delivered, as webcams do in the dark. Controls
brightness and contrast; a second, metadata node, as webcams have. Bulk streaming: the virtual host controller has no
isochronous transfers worth using.

Start is plug, SIGTERM is unplug. PORT is the physical port: another number is another USB port. An empty serial means
that the device says it has none. Faults begin at the frame given and end at SIGUSR1:

    freeze   no more frames; the device stays
    garbage  truncated frames of random bytes
    vanish   unplugged in mid-frame
    slow     one frame a second
    nonsense the sizes of all formats are 0x0 (not ended by SIGUSR1; frame number ignored)
    mute     the request to stream is never answered (frame number ignored)
    deaf     requests about brightness and contrast are never answered
    broken   requests about brightness are refused (frame number ignored)
    refuse   no format is accepted any more (the device enumerates; frame number ignored)
    stall    every class request is refused, so that uvcvideo gives up on it (frame number ignored)

Protocol: the kernel's Documentation/usb/usbip_protocol.rst; descriptors: uvc.py. Needs root.
"""
import argparse
import errno
import glob
import os
import signal
import socket
import struct
import sys
import threading
import time

import uvc

ATTACH = "/sys/devices/platform/vhci_hcd.0/attach"
USB_SPEED_HIGH = 3
BUS_NUMBER = 1 << 16

# USB/IP commands, and the status of a refused request (a stalled endpoint) and of a cancelled one.
CMD_UNLINK, RET_SUBMIT, RET_UNLINK = 2, 3, 4
EPIPE, ECONNRESET = -32, -104

# Requests of chapter 9 and of the video class.
GET_STATUS, CLEAR_FEATURE, SET_FEATURE, SET_ADDRESS, GET_DESCRIPTOR = 0, 1, 3, 5, 6
GET_CONFIGURATION, SET_CONFIGURATION, GET_INTERFACE, SET_INTERFACE = 8, 9, 10, 11
SET_CUR, GET_CUR, GET_MIN, GET_MAX, GET_RES, GET_LEN, GET_INFO, GET_DEF = 1, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87
VS_PROBE, VS_COMMIT = 1, 2
PU_BRIGHTNESS, PU_CONTRAST = 2, 3


def access_units(path: str) -> list[bytes]:
    """The access units of an H.264 byte stream, cut at its delimiter NALs."""
    with open(path, "rb") as file:
        data = file.read()
    starts, at = [], data.find(b"\0\0\0\1")
    while at >= 0:
        if data[at + 4] & 31 == 9:
            starts.append(at)
        at = data.find(b"\0\0\0\1", at + 4)
    return [data[start:end] for start, end in zip(starts, starts[1:] + [len(data)])]


def grey_ramps(width: int, height: int) -> list[bytes]:
    """Eight YUYV pictures of a grey ramp that moves to the side."""
    return [
        bytes(128 if x & 1 else (x * 2 + step * 8) & 255 for x in range(width * 2)) * height for step in range(8)]


class Camera:
    """The device: answers control requests on the USB/IP socket, and pumps frames into the transfers that wait."""

    def __init__(self, options: argparse.Namespace):
        kind, _, frame = options.fault.partition("@")
        self.fault, self.fault_from = kind, int(frame or 0)
        self.pause = 1 / options.fps
        self.pictures: dict[str, list[bytes]] = {}
        self.modes: list[uvc.Mode] = []
        if options.mjpeg:
            files = sorted(glob.glob(options.mjpeg))
            self._offer(uvc.Mode("mjpeg", 640, 360), [open(file, "rb").read() for file in files])
        if options.yuyv:
            self._offer(uvc.Mode("yuyv", 320, 180), grey_ramps(320, 180))
        if options.h264:
            self._offer(uvc.Mode("h264", 640, 360), access_units(options.h264))
        if kind == "nonsense":
            self.modes = [mode._replace(width=0, height=0) for mode in self.modes]
        self.strings = {1: "LabWorks", 2: options.name, 3: options.serial}
        self.descriptors = {
            1: uvc.device(bool(options.serial)), 2: uvc.configuration(self.modes), 6: uvc.qualifier()}
        self.probe = self.commit = uvc.stream_control(self.modes[0], 1, uvc.INTERVALS[0])
        # Processing unit controls: selector -> minimum, maximum, resolution, default, current.
        self.controls = {PU_BRIGHTNESS: [0, 255, 1, 128, 128], PU_CONTRAST: [0, 100, 1, 50, 50]}
        self.socket: socket.socket
        self.wake = threading.Condition()
        self.waiting: list[int] = []  # sequence numbers of bulk transfers the host has submitted
        self.unanswered: list[int] = []  # of control requests that get no answer
        self.delivered = 0  # pictures
        self.run = 0  # how often the host has started the stream

    def _offer(self, mode: uvc.Mode, pictures: list[bytes]) -> None:
        if not pictures:
            sys.exit(f"no {mode.kind} pictures")
        self.modes.append(mode)
        self.pictures[mode.kind] = pictures

    def heal(self) -> None:
        """Ends the fault. Called from a signal handler: an assignment, no lock."""
        self.fault = "none"

    def plug(self, port: int) -> None:
        """Hands one end of a socket pair to vhci-hcd. A port just left is busy until its old device is gone."""
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        deadline = time.monotonic() + 60
        while True:
            try:
                with open(ATTACH, "w") as attach:
                    attach.write(f"{port} {theirs.fileno()} {BUS_NUMBER + 2 + port} {USB_SPEED_HIGH}")
                break
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.EINVAL) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        theirs.close()

    # Frames, on a thread of their own.

    def pump(self) -> None:
        toggle, due = 0, time.monotonic()
        run, position = 0, 0
        while True:
            with self.wake:
                self.wake.wait_for(lambda: self.waiting)
            # What was missed while nobody asked, or while the guest stood still, is not made up for: that would be more
            # at once than the driver has buffers for.
            due = max(due, time.monotonic() - 0.1)
            if run != self.run:  # every stream begins with the first picture: an H.264 camera's key frame
                run, position = self.run, 0
            mode = self.modes[uvc.stream_choice(self.commit)[0] - 1]
            pictures = self.pictures[mode.kind]
            picture = pictures[position % len(pictures)]
            fault = self.fault if self.delivered >= self.fault_from else "none"
            if fault == "freeze":
                while self.fault == "freeze":
                    time.sleep(0.05)
                continue
            if fault == "slow":
                time.sleep(1)
            if fault == "garbage":
                picture = os.urandom(len(picture) // 3)
            if fault == "vanish":
                self._send(picture[:len(picture) // 2], toggle, run, ends=False)
                os._exit(0)
            due += self.pause
            time.sleep(max(0.0, due - time.monotonic()))
            toggle ^= 1
            self._send(picture, toggle, run, ends=True)
            self.delivered, position = self.delivered + 1, position + 1

    def _send(self, picture: bytes, toggle: int, run: int, ends: bool) -> None:
        """One picture, cut into payloads with the two-byte header (2.4.3.3): frame identifier, end of frame.

        The rest of a picture is dropped when the host has stopped and started again in its midst."""
        size = uvc.TRANSFER - 2
        for offset in range(0, len(picture), size):
            last = ends and offset + size >= len(picture)
            header = bytes([2, 0x80 | toggle | (2 if last else 0)])
            with self.wake:
                self.wake.wait_for(lambda: self.waiting or run != self.run)
                if run != self.run:
                    return
                self._reply(self.waiting.pop(0), 0, header + picture[offset:offset + size])

    # Requests, on the main thread.

    def serve(self) -> None:
        while True:
            header = self._receive(48)
            command, sequence, _, to_host, endpoint = struct.unpack_from(">5I", header)
            if command == CMD_UNLINK:
                self._unlink(sequence, struct.unpack_from(">I", header, 20)[0])
                continue
            length = struct.unpack_from(">i", header, 24)[0]
            data = self._receive(length) if not to_host and length > 0 else b""
            if endpoint == uvc.BULK_IN & 15:
                with self.wake:
                    self.waiting.append(sequence)
                    self.wake.notify()
                continue
            if self._is_mute(header[40:48]):
                self.unanswered.append(sequence)
                continue
            answer = self._control(header[40:48], data)
            with self.wake:
                if answer is None:
                    self._reply(sequence, EPIPE)
                elif to_host:
                    self._reply(sequence, 0, answer[:length])
                else:
                    self._reply(sequence, 0, actual=len(data))

    def _unlink(self, sequence: int, victim: int) -> None:
        with self.wake:
            queue = next((queue for queue in (self.waiting, self.unanswered) if victim in queue), None)
            found = queue is not None
            if found:
                queue.remove(victim)
            self.socket.sendall(struct.pack(">IIIIIi24x", RET_UNLINK, sequence, 0, 0, 0, ECONNRESET if found else 0))

    def _is_mute(self, setup: bytes) -> bool:
        """Whether this is the request to stream, or one for a control, and it is not answered. What waits has waited
        when the fault ends."""
        kind, request, value, index, _ = struct.unpack("<BBHHH", setup)
        if self.fault == "deaf" and self.delivered >= self.fault_from:
            return kind & 0x60 == 0x20 and index == uvc.PROCESSING_UNIT << 8
        return self.fault == "mute" and (request, value >> 8, index & 255) == (SET_CUR, VS_COMMIT, 1)

    def _control(self, setup: bytes, data: bytes) -> bytes | None:
        """The answer to a control request; None refuses it."""
        kind, request, value, index, _ = struct.unpack("<BBHHH", setup)
        if kind & 0x60 == 0:
            return self._standard(request, value)
        if kind & 0x60 != 0x20 or self.fault == "stall":
            return None
        selector, unit, interface = value >> 8, index >> 8, index & 255
        if interface == 1 and selector in (VS_PROBE, VS_COMMIT):
            return self._streaming(request, selector, data)
        if interface == 0 and unit == uvc.PROCESSING_UNIT and selector in self.controls:
            if self.fault == "broken" and selector == PU_BRIGHTNESS:
                return None
            return self._processing(request, self.controls[selector], data)
        if interface == 0 and unit == 0 and request in (GET_CUR, GET_INFO):
            return b"\0"
        return None

    def _standard(self, request: int, value: int) -> bytes | None:
        if request == GET_DESCRIPTOR:
            kind, index = value >> 8, value & 255
            if kind == 3:
                return uvc.string(self.strings.get(index, "")) if index else uvc.LANGUAGES
            return self.descriptors.get(kind)
        if request in (CLEAR_FEATURE, SET_FEATURE, SET_ADDRESS, SET_CONFIGURATION, SET_INTERFACE):
            return b""
        return {GET_STATUS: b"\0\0", GET_CONFIGURATION: b"\1", GET_INTERFACE: b"\0"}.get(request)

    def _streaming(self, request: int, selector: int, data: bytes) -> bytes | None:
        if request == SET_CUR:
            number, interval = uvc.stream_choice(data)
            if self.fault == "refuse" or number > len(self.modes):
                return None
            control = uvc.stream_control(self.modes[number - 1], number, interval)
            if selector == VS_PROBE:
                self.probe = control
            else:
                with self.wake:
                    self.commit = control
                    self.run += 1
                    self.wake.notify_all()
            return b""
        if request == GET_CUR:
            return self.probe if selector == VS_PROBE else self.commit
        if request in (GET_MIN, GET_MAX, GET_DEF):
            number = self.probe[2]
            return uvc.stream_control(self.modes[number - 1], number, uvc.INTERVALS[0])
        return {GET_LEN: struct.pack("<H", len(self.probe)), GET_INFO: b"\3"}.get(request)

    @staticmethod
    def _processing(request: int, control: list[int], data: bytes) -> bytes | None:
        if request == SET_CUR:
            control[4] = struct.unpack("<h", data[:2])[0]
            return b""
        place = {GET_MIN: 0, GET_MAX: 1, GET_RES: 2, GET_DEF: 3, GET_CUR: 4}.get(request)
        if place is not None:
            return struct.pack("<h", control[place])
        return {GET_LEN: struct.pack("<H", 2), GET_INFO: b"\3"}.get(request)

    # The wire. Callers of _reply hold the lock, so that replies do not mix.

    def _reply(self, sequence: int, status: int, data: bytes = b"", actual: int | None = None) -> None:
        length = len(data) if actual is None else actual
        self.socket.sendall(struct.pack(">5I5i8x", RET_SUBMIT, sequence, 0, 0, 0, status, length, 0, 0, 0) + data)

    def _receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                os._exit(0)  # the host detached us
            data += more
        return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--serial", default="SN0001")
    parser.add_argument("--name", default="Lab Webcam")
    parser.add_argument("--mjpeg", help="a glob of JPEG files, 640x360")
    parser.add_argument("--h264", help="an H.264 byte stream with access unit delimiters, 640x360")
    parser.add_argument("--no-yuyv", dest="yuyv", action="store_false")
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--fault", default="none", help="KIND or KIND@FRAME")
    options = parser.parse_args()

    camera = Camera(options)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGUSR1, lambda *_: camera.heal())
    camera.plug(options.port)
    threading.Thread(target=camera.pump, daemon=True).start()
    print("plugged", options.serial, [mode.kind for mode in camera.modes], flush=True)
    camera.serve()


if __name__ == "__main__":
    main()
