"""What an administrator does on the machine: packages, the unit, its journal, its configuration; and the camera."""
import datetime
import json
import re
import socket
import subprocess
from pathlib import Path

import probe
import rtsp
from cameras import VIVID, nodes
from rpc import Rpc
from wait import DEADLINE, wait_for

DEBS = Path("/run/machine/share/debs")
OUT = Path("/run/machine/out")
UNIT = "camera-service.service"
USER = "camera-service"
CONFIG = Path("/etc/camera-service/camera-service.yaml")
STATE = Path("/var/lib/camera-service")
RECORDINGS = STATE / "recordings"
# Every TCP port of the default configuration, and what it is.
PORTS = {8002: "WebSocket", 8003: "health", 8554: "RTSP", 9996: "playback", 9997: "API", 9998: "metrics"}
# An emulated machine is slow and makes small pictures; nothing else of the configuration is touched.
PATIENCE = {"width: 1280": "width: 640", "height: 720": "height: 360", "start_timeout: 10s": "start_timeout: 60s",
            "frame_timeout: 5s": "frame_timeout: 30s", "trial_timeout: 5s": "trial_timeout: 60s",
            "detection_timeout: 5s": "detection_timeout: 30s", "test_pattern: auto": "test_pattern: never"}


def run(*words: str, check: bool = True, **more) -> str:
    """The output of a command; AssertionError with its complaint when it fails."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
    assert not check or done.returncode == 0, f"{' '.join(words)}: exit {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def now() -> str:
    """The present, as journalctl reads it."""
    return datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S.%f")


def journal(since: str, unit: str = UNIT) -> str:
    """What the unit, and systemd about it, said since a time."""
    return run("journalctl", "-q", "--no-pager", "-o", "cat", "-u", unit, "--since", since)


def apt(*words: str) -> str:
    """apt-get as an administrator runs it, without a network and without questions."""
    return run("apt-get", "-y", *words,
               env={"DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


def install(name: str = "camera-service.deb") -> str:
    """Installs, or upgrades to, one of the packages."""
    return apt("install", str(DEBS / name))


# The unit.

def shown(name: str) -> str:
    """A property of the unit."""
    return run("systemctl", "show", "--value", "-p", name, UNIT).strip()


def pid() -> int:
    """The main process."""
    return int(shown("MainPID"))


def wait_active(not_pid: int = 0) -> int:
    """Waits until the unit is up and has said so, as another process than `not_pid`; its process."""
    def active() -> int:
        return pid() if shown("ActiveState") == "active" and pid() not in (0, not_pid) else 0
    return wait_for("the unit to be active", active, 2 * DEADLINE)


def listens(port: int) -> bool:
    """Whether something accepts connections on a TCP port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE).close()
        return True
    except ConnectionRefusedError:
        return False


def configure(changes: dict[str, str]) -> None:
    """Edits the configuration: each of the texts is in it and becomes another."""
    text = CONFIG.read_text()
    for before, after in changes.items():
        assert before in text, f"{before!r} is not in {CONFIG}"
        text = text.replace(before, after)
    CONFIG.write_text(text)


def restart() -> None:
    """Restarts the unit, which waits until it is ready."""
    run("systemctl", "restart", UNIT)


# The service, as its clients see it.

def ctl(*words: str) -> dict:
    """What `camera-service ctl` answers."""
    return json.loads(run("camera-service", "ctl", "--json", *words))


def doctor() -> tuple[int, dict]:
    """The exit code and the report of `camera-service doctor --json`."""
    done = subprocess.run(["camera-service", "doctor", "--json"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


def wait_green() -> None:
    """Waits until the doctor finds no fault. On a starved machine it may find that something took too long."""
    last = {}

    def is_green() -> bool:
        code, report = doctor()
        last.update(report)
        return code == 0

    try:
        wait_for("the doctor to find no fault", is_green)
    except AssertionError as error:
        raise AssertionError(json.dumps(last, indent=1)) from error


def rpc() -> Rpc:
    """A new control socket with the rights of an administrator."""
    client = Rpc("ws://127.0.0.1:8002/ws")
    client.call("authenticate", auth_token=run("camera-service", "token", "--role", "admin").strip())
    return client


def wait_connected(device: str) -> None:
    """Waits until the camera is there."""
    def connected() -> bool:
        return any(one["device"] == device and one["status"] == "CONNECTED" for one in ctl("list")["cameras"])
    wait_for(f"{device} to be connected", connected)


def streams(device: str, transport: str = "tcp") -> dict:
    """ffprobe's word on the stream, once it answers."""
    url = f"rtsp://127.0.0.1:8554/{device}"
    wait_for(f"{device} on RTSP", lambda: rtsp.describe(url).status == 200)
    return probe.stream(url, transport)


def films(device: str) -> list[Path]:
    """The recordings of a camera on the disk."""
    return sorted(RECORDINGS.rglob(f"{device}_*.mp4"))


def wait_growing(device: str, known: int) -> Path:
    """Waits until another recording than the `known` many has a few seconds in it."""
    def grown() -> Path | None:
        there = films(device)
        return there[-1] if len(there) > known and there[-1].stat().st_size > 100_000 else None
    return wait_for("a recording to grow", grown)


def frames(film: Path) -> int:
    """How many frames of a file can be decoded."""
    return int(probe.file(str(film))["nb_read_frames"])


# The camera.

def plug() -> None:
    """Plugs in the kernel's virtual camera."""
    if VIVID.exists():
        (VIVID / "bind").write_text("vivid.0")
    else:
        run("modprobe", "vivid", "n_devs=1", "node_types=0x1")
    wait_for("the camera's node", nodes)


def unplug() -> None:
    """Pulls it."""
    (VIVID / "unbind").write_text("vivid.0")
    wait_for("the camera's node to be gone", lambda: not nodes())


def one_line(text: str, pattern: str) -> str:
    """The only line of a text that has a pattern."""
    found = [line for line in text.splitlines() if re.search(pattern, line)]
    assert len(found) == 1, f"{len(found)} lines with {pattern!r} in:\n{text}"
    return found[0]
