"""The cameras of the lab, and what the kernel and udev say of them."""
import glob
import os
import signal
import subprocess
from pathlib import Path

from wait import wait_for

HERE = Path(__file__).parent
MEDIA = Path(os.environ.get("LAB_MEDIA", "/nowhere"))
FIXTURE = MEDIA / "camera.h264"
PICTURES = str(MEDIA / "picture*.jpg")
# What a picture of the H.264 and MJPEG fixtures measures.
WIDTH, HEIGHT = 640, 360

VIVID = Path("/sys/bus/platform/drivers/vivid")


def nodes() -> set[str]:
    """The video nodes there are."""
    return set(glob.glob("/dev/video*"))


def udev(node: str) -> dict[str, str]:
    """What the udev database says about a node."""
    out = subprocess.run(["udevadm", "info", "--query=property", f"--name={node}"], capture_output=True, text=True)
    return dict(line.split("=", 1) for line in out.stdout.splitlines() if "=" in line)


class Webcam:
    """A USB webcam (usbcam.py) in a USB port. It is plugged in once made."""

    plugged: list["Webcam"] = []

    def __init__(self, name: str, port: int, serial: str = "", kind: str = "h264", fps: float = 10,
                 fault: str = "none", node: bool = True):
        """`kind`: h264, mjpeg or yuyv, the only format it has. `node`: wait until its nodes are there."""
        self.name, self.port, self.serial = name, port, serial
        before = nodes()
        words = ["/usr/bin/python3", "-S", str(HERE / "usbcam.py"), "--port", str(port), "--serial", serial,
                 "--name", name, "--fps", str(fps), "--fault", fault]
        words += {"h264": ["--no-yuyv", "--h264", str(FIXTURE)], "mjpeg": ["--no-yuyv", "--mjpeg", PICTURES],
                  "yuyv": []}[kind]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        Webcam.plugged.append(self)
        self.nodes: list[str] = []
        if node:
            new = wait_for(f"the nodes of {name}", lambda: len(nodes() - before) >= 2 and nodes() - before)
            self.nodes = sorted(new, key=lambda path: int(path[len("/dev/video"):]))
            wait_for(f"udev's word on {name}", lambda: all("ID_PATH" in udev(node) for node in self.nodes))

    @property
    def running(self) -> bool:
        """Whether it is plugged in still."""
        return self._process.poll() is None

    def may_sleep(self) -> bool:
        """Whether the kernel suspends it while no program has it open (power/control of its USB device)."""
        interface = Path("/sys/class/video4linux", Path(self.nodes[0]).name, "device").resolve()
        return (interface.parent / "power" / "control").read_text().strip() == "auto"

    def heal(self) -> None:
        """Ends its fault."""
        self._process.send_signal(signal.SIGUSR1)

    def unplug(self) -> None:
        """Pulls it, and waits until the kernel has noticed."""
        Webcam.plugged.remove(self)
        self._process.terminate()
        self._process.wait(60)
        wait_for(f"{self.name} to be gone", lambda: not any(os.path.exists(node) for node in self.nodes))


class Vivid:
    """The kernel's virtual video driver, without USB. Present between `plug` and `unplug`.

    It has every kind of node there is: capture, output, metadata both ways, VBI both ways, radio, transmitter, software
    radio and touch; the first four are called video."""

    KINDS = 0xE1D3D & ~0x10000  # all but a frame buffer, which is none of ours
    node: str
    others: set[str]

    def __init__(self) -> None:
        self.plug()

    def plug(self) -> None:
        before = nodes()
        if VIVID.exists():
            (VIVID / "bind").write_text("vivid.0")
        else:
            subprocess.run(["modprobe", "vivid", "n_devs=1", f"node_types={self.KINDS:#x}"], check=True)
        new = wait_for("vivid's nodes", lambda: len(nodes() - before) == 4 and nodes() - before)
        wait_for("udev's word on vivid", lambda: all("ID_V4L_CAPABILITIES" in udev(node) for node in new))
        (self.node,) = (node for node in new if ":capture:" in udev(node)["ID_V4L_CAPABILITIES"])
        self.others = new - {self.node}

    def unplug(self) -> None:
        (VIVID / "unbind").write_text("vivid.0")
        wait_for("vivid to be gone", lambda: not os.path.exists(self.node))

    @staticmethod
    def put_away() -> None:
        """Unplugs it if it is plugged in."""
        if (VIVID / "vivid.0").exists():
            (VIVID / "unbind").write_text("vivid.0")


def unplug_all() -> None:
    """Leaves no camera behind."""
    for webcam in list(Webcam.plugged):
        webcam.unplug()
    Vivid.put_away()
    wait_for("all video nodes to be gone", lambda: not nodes())
