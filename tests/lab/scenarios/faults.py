"""Cameras that misbehave: each is noticed, shown and tried again, and the camera beside it does not miss a frame."""
import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Iterator

import rtsp
from cameras import FIXTURE, Webcam, nodes
from fixture import Fixture
from scenarios import Lab, scenario
from service import NOBODY, Service
from v4l2 import held
from wait import wait_for


@contextlib.contextmanager
def witness(service: Service) -> Iterator[None]:
    """A good camera with a reader beside whatever happens meanwhile; every one of its frames must have come."""
    webcam = Webcam("Witness", port=7, serial="WITNESS")
    reader = service.reader(service.id_of(webcam))
    yield
    reader.wait_frames(20)
    reader.close()
    Fixture(FIXTURE).assert_whole(reader)


def shown(service: Service, device: str, *words: str) -> None:
    """Waits for the status ERROR, and for one of the words in what the status says."""
    status = service.wait_status(device, "ERROR")
    assert any(word in str(status).lower() for word in words), (words, status)


def recovers(service: Service, device: str, webcam: Webcam) -> None:
    """The camera is well again: somebody has to have tried."""
    webcam.heal()
    service.wait_status(device, "CONNECTED")
    service.reader(device).close()


@scenario
def a_frozen_camera_is_noticed_and_tried_again(lab: Lab) -> None:
    service = lab.service()
    with witness(service):
        webcam = Webcam("Frozen", port=0, serial="Z1", fault="freeze@40")
        device = service.id_of(webcam)
        shown(service, device, "frame")
        recovers(service, device, webcam)


@scenario
def a_camera_that_sends_garbage_is_noticed_and_tried_again(lab: Lab) -> None:
    service = lab.service()
    with witness(service):
        webcam = Webcam("Garbage", port=1, serial="G1", kind="mjpeg", fault="garbage@20")
        device = service.id_of(webcam)
        shown(service, device, "frame", "decod", "jpeg", "picture")
        recovers(service, device, webcam)


@scenario
def a_camera_that_vanishes_in_mid_frame_is_gone(lab: Lab) -> None:
    service = lab.service()
    with witness(service):
        webcam = Webcam("Vanishing", port=2, serial="V1", fault="vanish@60")
        device = service.id_of(webcam)
        mark = service.rpc.mark()
        reader = service.reader(device)
        wait_for("it to vanish", lambda: not webcam.running)
        reader.wait_end()
        service.rpc.expect("camera_status_update", mark, device=device, status="DISCONNECTED")
        assert rtsp.describe(service.url(device)).status == 404
        webcam.unplug()
        again = Webcam("Vanishing", port=2, serial="V1")
        assert service.id_of(again) == device
        service.reader(device).close()


@scenario
def a_camera_that_refuses_its_formats_is_shown_and_tried_again(lab: Lab) -> None:
    """Its descriptors promise formats; when one is to be set, the request is refused."""
    service = lab.service()
    with witness(service):
        webcam = Webcam("Refusing", port=3, serial="X1", fault="refuse")
        device = service.id_of(webcam)
        service.wait_status(device, "ERROR")
        recovers(service, device, webcam)


@scenario
def a_camera_the_kernel_cannot_use_disturbs_nobody(lab: Lab) -> None:
    """It refuses every control request: uvcvideo gives up on it and makes no usable node."""
    service = lab.service()
    with witness(service):
        there, listed = nodes(), len(service.connected())
        Webcam("Stalling", port=4, serial="S1", fault="stall", node=False)
        wait_for("uvcvideo to give up", lambda: "Failed to initialize the device" in subprocess.run(
            ["dmesg"], capture_output=True, text=True).stdout)
        subprocess.run(["udevadm", "settle", "--timeout=600"], check=True)
        assert nodes() == there, nodes()
        assert len(service.connected()) == listed, service.connected()


@scenario
def a_camera_whose_driver_hangs_holds_nobody_up(lab: Lab) -> None:
    """It does not answer when it is told to stream: the driver waits in the kernel, and gives up after seconds."""
    service = lab.service()
    with witness(service):
        webcam = Webcam("Mute", port=3, serial="U1", fault="mute")
        device = service.id_of(webcam)
        service.wait_status(device, "ERROR")
        recovers(service, device, webcam)


@scenario
def a_camera_that_describes_nonsense_is_shown(lab: Lab) -> None:
    """All its pictures are 0x0. Plugged in again with sane ones, it is a camera."""
    service = lab.service()
    with witness(service):
        webcam = Webcam("Nonsense", port=4, serial="N1", fault="nonsense")
        device = service.id_of(webcam)
        shown(service, device, "no usable mode")
        webcam.unplug()
        again = Webcam("Nonsense", port=4, serial="N1")
        device = service.id_of(again)
        service.wait_status(device, "CONNECTED")
        service.reader(device).close()


@scenario
def a_camera_that_may_not_be_opened_is_shown_and_taken_when_it_may(lab: Lab) -> None:
    """The service is not root, and not in the group of the node."""
    before = lab.terminated()
    webcam = Webcam("Forbidden", port=5, serial="F1")
    service = lab.started(before, user=NOBODY)
    device = service.id_of(webcam)
    shown(service, device, "permission")
    os.chmod(webcam.nodes[0], 0o666)
    service.wait_status(device, "CONNECTED")
    service.reader(device).close()
    lab.stop()


@scenario
def events_that_are_lost_are_made_up_for(lab: Lab) -> None:
    """udev tells more than the socket holds while the service is stopped; what came and went meanwhile is found."""
    before = lab.terminated()
    # Without privileges the socket is small.
    service = lab.started(before, user=NOBODY)
    gone = Webcam("Torrent", port=0, serial="TO1")
    device = service.id_of(gone)
    event = Path("/sys/class/video4linux") / Path(gone.nodes[0]).name / "uevent"
    os.chmod(gone.nodes[0], 0o666)
    event.write_text("change")
    service.wait_status(device, "CONNECTED")
    service.process.send_signal(signal.SIGSTOP)
    for _ in range(300):
        event.write_text("change")
    subprocess.run(["udevadm", "settle", "--timeout=600"], check=True)
    come = Webcam("Torrent", port=1, serial="TO2")
    gone.unplug()
    service.process.send_signal(signal.SIGCONT)
    assert service.id_of(come) != device
    service.wait_status(device, "DISCONNECTED")
    assert "udev told more than could be taken in" in service.logged()
    lab.stop()


@scenario
def a_busy_camera_is_shown_and_taken_when_it_is_free(lab: Lab) -> None:
    """Another program has it when the service comes; it says so, and gets it when the other lets go."""
    webcam = Webcam("Busy", port=5, serial="B1")
    device = lab.service().id_of(webcam)
    before = lab.terminated()
    with held(webcam.nodes[0]):
        service = lab.started(before)
        shown(service, device, "busy", "in use", "another")
    service.wait_status(device, "CONNECTED")
    service.reader(device).close()
