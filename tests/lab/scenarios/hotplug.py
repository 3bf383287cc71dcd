"""A camera appears and is on the air; it disappears and nothing is left of it; it comes back and is the same."""
import json
import shutil
import subprocess
from pathlib import Path

import probe
import rtsp
from cameras import HEIGHT, WIDTH, Vivid, Webcam, nodes
from scenarios import Lab, scenario
from service import BINARY, ON_DEMAND, Service
from wait import wait_for

# The files of the Debian package.
PACKAGED = Path(__file__).parents[3] / "packaging" / "debian"


@scenario
def a_camera_plugged_in_is_on_the_air(lab: Lab) -> None:
    """vivid, the kernel's own camera: listed, told, read over TCP and over UDP, and its picture moves. Of its many nodes
    one is a camera."""
    service = lab.service()
    assert service.cameras() == [], service.cameras()
    before = service.rpc.mark()
    vivid = Vivid()
    told = service.rpc.expect("camera_status_update", before, status="CONNECTED")
    (camera,) = service.connected()
    assert told["device"] == camera["device"] == "camera0", (told, camera)
    assert camera["node"] == vivid.node, (camera, vivid.others)
    assert camera["resolution"] == f"{WIDTH}x{HEIGHT}", camera
    url = service.wait_stream("camera0")
    assert camera["streams"]["rtsp"].endswith("/camera0"), camera
    for transport in ("tcp", "udp"):
        video = probe.stream(url, transport)
        assert (video["codec_name"], video["width"], video["height"]) == ("h264", WIDTH, HEIGHT), (transport, video)
    assert probe.moves(url)


@scenario
def a_session_description_says_what_a_decoder_needs(lab: Lab) -> None:
    service = lab.service()
    device = service.id_of(Webcam("Described", port=0, serial="D1"))
    service.wait_stream(device)
    sdp = rtsp.describe(service.url(device)).body
    for word in ("H264/90000", "packetization-mode=1", "profile-level-id=42", "sprop-parameter-sets="):
        assert word in sdp, (word, sdp)
    # No such path, as MediaMTX says it; one without a stream is 404.
    assert rtsp.describe(service.url("camera999")).status == 400


@scenario
def the_packages_rule_of_udev_keeps_usb_cameras_awake(_: Lab) -> None:
    """Those that were there before it too, as the package does it when it is installed."""
    rule = Path("/run/udev/rules.d/60-camera-service.rules")
    before = Webcam("Sleeper", port=6, serial="S1")
    wait_for("the kernel to let it sleep", before.may_sleep)
    rule.parent.mkdir(exist_ok=True)
    shutil.copy(PACKAGED / "camera-service.udev", rule)
    postinst = (PACKAGED / "camera-service.postinst").read_text()
    commands = [line.split(" || ")[0].split() for line in postinst.splitlines() if line.strip().startswith("udevadm ")]
    assert len(commands) == 2, commands
    try:
        for command in commands:
            subprocess.run(command, check=True)
        wait_for("the rule for the one that was there", lambda: not before.may_sleep())
        after = Webcam("Waker", port=7, serial="W1")
        wait_for("the rule for the one that comes", lambda: not after.may_sleep())
    finally:
        rule.unlink()
        subprocess.run(["udevadm", "control", "--reload"], check=True)


@scenario
def a_metadata_node_is_no_camera(lab: Lab) -> None:
    """A webcam has two nodes and is one camera, in the list and for `list-cameras`."""
    service = lab.service()
    webcam = Webcam("Twofold", port=1, serial="T1")
    assert len(webcam.nodes) == 2, webcam.nodes
    device = service.id_of(webcam)
    service.reader(device).close()
    assert [camera["device"] for camera in service.connected()] == [device], service.connected()
    listed = subprocess.run([BINARY, "list-cameras", "--json", "--config", str(service.config)], check=True,
                            capture_output=True, text=True, timeout=120).stdout
    assert webcam.nodes[0] in listed and webcam.nodes[1] not in listed, listed
    json.loads(listed)


@scenario
def an_unplugged_camera_leaves_nothing_behind(lab: Lab) -> None:
    """Unplugged while it is read: the reader ends, the name is unknown, files and threads are as before."""
    service = lab.service()
    # Once before counting: libraries, thread pools and caches that stay are made by the first camera.
    webcam = Webcam("Passing", port=2, serial="P1")
    device = service.id_of(webcam)
    service.reader(device).close()
    webcam.unplug()
    service.wait_status(device, "DISCONNECTED")
    wait_for("the name to be unknown", lambda: rtsp.describe(service.url(device)).status == 404)
    # A pool of threads may have one more for good, by chance, after it was busier than before: not twice on end.
    # What leaks, leaks each time.
    for last in (False, True):
        names = service.resources()
        before = {kind: held(service, kind) for kind in ("file ", "thread ", "child ")}

        webcam = Webcam("Passing", port=2, serial="P1")
        assert service.id_of(webcam) == device
        reader = service.reader(device)
        mark = service.rpc.mark()
        webcam.unplug()
        reader.wait_end()
        service.rpc.expect("camera_status_update", mark, device=device, status="DISCONNECTED")
        service.wait_status(device, "DISCONNECTED")
        wait_for("the name to be unknown", lambda: rtsp.describe(service.url(device)).status == 404)
        assert device not in [camera["device"] for camera in service.connected()]
        try:
            # By their number: what a thread of a pool does and is called at the moment is not told.
            wait_for("open files and threads to be as before",
                     lambda: all(held(service, kind) <= count for kind, count in before.items()))
            return
        except AssertionError as error:
            if last:
                raise AssertionError(f"left behind: {service.resources() - names}") from error


def held(service: Service, kind: str) -> int:
    return sum(count for name, count in service.resources().items() if name.startswith(kind))


@scenario
def a_camera_plugged_into_another_port_is_the_same(lab: Lab) -> None:
    service = lab.service()
    webcam = Webcam("Wanderer", port=0, serial="W1")
    device = service.id_of(webcam)
    service.reader(device).close()
    webcam.unplug()
    service.wait_status(device, "DISCONNECTED")
    webcam = Webcam("Wanderer", port=5, serial="W1")
    assert service.id_of(webcam) == device
    service.wait_status(device, "CONNECTED")
    service.reader(device).close()


@scenario
def a_flapping_camera_ends_up_on_the_air(lab: Lab) -> None:
    """A bad plug: in and out several times, faster than anybody can follow."""
    service = lab.service()
    for _ in range(3):
        Webcam("Flapping", port=3, serial="F1").unplug()
    device = service.id_of(Webcam("Flapping", port=3, serial="F1"))
    service.reader(device).close()
    assert [camera["device"] for camera in service.connected()] == [device], service.connected()


@scenario
def a_camera_on_demand_runs_while_it_is_read(lab: Lab) -> None:
    """Its node is closed before the first reader comes and after the last has left."""
    service = lab.service()
    webcam = Webcam("Waiting", port=4, serial=ON_DEMAND)
    device = service.id_of(webcam)
    assert webcam.nodes[0] in nodes()
    wait_for("the probe to be over", lambda: not service.has_open(webcam.nodes[0]))
    reader = service.reader(device)
    assert service.has_open(webcam.nodes[0])
    reader.close()
    wait_for("the camera to be let go", lambda: not service.has_open(webcam.nodes[0]))
    service.reader(device).close()
