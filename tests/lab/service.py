"""The service under test: the real binary as a child process, its configuration, its doors, its log."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import rtsp
from cameras import HEIGHT, WIDTH, Webcam
from rpc import Rpc, RpcError
from wait import DEADLINE, wait_for

BINARY = os.environ.get("LAB_BINARY", "camera-service")
OUT = Path(os.environ.get("LAB_OUT", "/tmp/lab-out"))
# On the guest's memory file system: the shared folder is for what the host is to see.
FILES = Path("/run/lab")

# Serial numbers the configuration knows: a webcam whose MJPEG goes out as it is, one that waits for a reader, and one
# whose controls have values of the configuration's, and no others.
UNTOUCHED, ON_DEMAND, PINNED = "UNTOUCHED", "ONDEMAND", "PINNED"

# A user who may do nothing in particular.
NOBODY = 65534

RPC_URL = "ws://127.0.0.1:8002/ws"
READY_URL = "http://127.0.0.1:8003/health/ready"


def merged(base: dict, more: dict) -> dict:
    """`base` with the members of `more`, section by section."""
    out = dict(base)
    for key, value in more.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


class Service:
    """One run of `camera-service`. Ports are the defaults; files live in a fresh folder unless `keep` is given."""

    runs = 0

    def __init__(self, settings: dict | None = None, keep: "Service | None" = None, user: int = 0):
        Service.runs += 1
        self.settings = settings or {}
        self.folder = keep.folder if keep else FILES / f"service-{Service.runs}"
        self.recordings, self.snapshots = self.folder / "recordings", self.folder / "snapshots"
        for folder in (self.recordings, self.snapshots, self.folder / "state"):
            folder.mkdir(parents=True, exist_ok=True)
        self.config = self.folder / "camera-service.yaml"
        self.configure(self.settings)
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, user, user)
        self.log = OUT / f"service-{Service.runs}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [BINARY, "--config", str(self.config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                user=user, group=user, extra_groups=[])
        self._rpc: Rpc | None = None
        wait_for("the service to be ready", self._ready)

    def configure(self, settings: dict) -> None:
        """Writes the configuration file: the usual one with these settings, and with their entries for single devices."""
        devices = self._defaults()["camera"]["devices"] + settings.get("camera", {}).get("devices", [])
        # JSON is YAML.
        text = json.dumps(merged(merged(self._defaults(), settings), {"camera": {"devices": devices}}), indent=1)
        self.config.write_text(text)

    def _defaults(self) -> dict:
        """Small pictures, a software encoder, and patience: the guest is slow, and none of its delays is a fault."""
        return {
            "state_directory": str(self.folder / "state"),
            "server": {"shutdown_timeout": "60s"},
            "security": {
                "jwt": {"secret_key": "the secret of the lab is known to everybody"},
                "rate_limiting": {"requests_per_minute": 1_000_000},
            },
            "mediamtx": {"recordings_path": str(self.recordings), "snapshots_path": str(self.snapshots)},
            "camera": {
                "test_pattern": "never",
                "detection_timeout": "30s",
                "devices": [
                    {"match": {"serial": UNTOUCHED}, "codec": "mjpeg"},
                    {"match": {"serial": ON_DEMAND}, "auto_start": False},
                    {"match": {"serial": PINNED}, "restore_controls": False,
                     "controls": {"contrast": "33", "no_such_control": "on"}},
                ],
            },
            "streams": {"width": WIDTH, "height": HEIGHT, "start_timeout": "60s", "frame_timeout": "10s",
                        "close_after": "2s"},
            "encoder": {"order": ["x264enc"], "trial_timeout": "60s"},
            "logging": {"level": "debug"},
        }

    def _ready(self) -> bool:
        assert self.process.poll() is None, f"the service exited with {self.process.returncode}"
        try:
            with urllib.request.urlopen(READY_URL, timeout=5) as reply:
                return json.load(reply)["ready"]
        except urllib.error.HTTPError:
            return False

    # Control.

    @property
    def rpc(self) -> Rpc:
        """An authenticated socket, made once."""
        if self._rpc is None:
            self._rpc = self.connect()
        return self._rpc

    def connect(self, role: str = "admin") -> Rpc:
        """A new socket, authenticated with a token from the command line tool."""
        token = subprocess.run([BINARY, "token", "--role", role, "--config", str(self.config)], check=True,
                               capture_output=True, text=True, timeout=DEADLINE).stdout.strip()
        rpc = Rpc(RPC_URL)
        assert rpc.call("authenticate", auth_token=token)["role"] == role
        return rpc

    def cameras(self) -> list[dict]:
        """The camera list."""
        return self.rpc.call("get_camera_list")["cameras"]

    def connected(self) -> list[dict]:
        """Those of the list that are there."""
        return [camera for camera in self.cameras() if camera["status"] == "CONNECTED"]

    def status(self, device: str) -> dict:
        """The status of one camera."""
        return self.rpc.call("get_camera_status", device=device)

    def wait_status(self, device: str, wanted: str, deadline: float = DEADLINE) -> dict:
        """Waits until a camera has a status, and returns all that is said of it."""
        def seen() -> dict | None:
            now = self.status(device)
            return now if now["status"] == wanted else None
        return wait_for(f"{device} to be {wanted}", seen, deadline)

    def id_of(self, webcam: Webcam) -> str:
        """The id the service gave to a plugged-in webcam, found by its node; waits until it is listed."""
        def found() -> str | None:
            try:
                return self.status(webcam.nodes[0])["device"]
            except RpcError as error:
                assert error.code == -32010, error
                return None
        return wait_for(f"{webcam.name} to be a camera", found)

    # Streams.

    @staticmethod
    def url(device: str) -> str:
        return f"rtsp://127.0.0.1:8554/{device}"

    def wait_stream(self, device: str, deadline: float = DEADLINE) -> str:
        """Waits until the name answers, and returns its URL."""
        wait_for(f"{device} on RTSP", lambda: rtsp.describe(self.url(device)).status == 200, deadline)
        return self.url(device)

    def reader(self, device: str) -> rtsp.Reader:
        """A reader of a stream, once it answers, that has its first frames."""
        reader = rtsp.Reader(self.wait_stream(device))
        reader.wait_frames(3)
        return reader

    # The process.

    def resources(self) -> Counter[str]:
        """Open files and threads of the service, and children it has, by kind and name."""
        me = Path(f"/proc/{self.process.pid}")
        found: Counter[str] = Counter()
        for link in (me / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found["file " + re.sub(r"\[\d+]", "", os.readlink(link))] += 1
        for task in (me / "task").iterdir():
            # A thread that ends while it is looked at is no process any more.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found["thread " + (task / "comm").read_text().strip()] += 1
        for child in (me / "task" / str(self.process.pid) / "children").read_text().split():
            found["child " + child] += 1
        return found

    def has_open(self, node: str) -> bool:
        """Whether the service has a device node open."""
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                if os.readlink(link) == node:
                    return True
            except FileNotFoundError:
                continue
        return False

    def pipelines(self, device: str) -> list[str]:
        """The lines of the log that show a camera's pipelines."""
        return [line for line in self.logged().splitlines() if device in line and "v4l2src" in line]

    def logged(self) -> str:
        """The log so far."""
        return self.log.read_text(errors="replace")

    def terminate(self, deadline: float = DEADLINE) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the service runs still {deadline:.0f} s after SIGTERM") from None

    def end(self) -> None:
        """Makes sure that nothing of it is left. Not a test: `terminate` is."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def forget_files(self) -> None:
        """Gives the memory back."""
        shutil.rmtree(self.folder, ignore_errors=True)

