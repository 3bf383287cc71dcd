"""Snapshots and recordings: what is written is a picture, and plays, whatever happens to the camera, the disk or the
service."""
import contextlib
import shutil
import subprocess
import time
from pathlib import Path
from typing import Iterator

import probe
from cameras import HEIGHT, WIDTH, Webcam
from rpc import RpcError
from scenarios import Lab, scenario
from service import FILES
from wait import wait_for


@contextlib.contextmanager
def mounted(what: list[str], folder: Path) -> Iterator[Path]:
    """A file system, mounted on a folder until the end."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *what, str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def recordings(folder: Path) -> list[Path]:
    """The recordings in a folder, oldest first."""
    return sorted((file for file in folder.rglob("*.mp4")), key=lambda file: file.stat().st_mtime)


def assert_plays(file: Path, frames: int) -> None:
    """Asserts that every frame of a recording decodes, and that there are at least so many."""
    video = probe.file(str(file))
    assert (video["codec_name"], video["width"], video["height"]) == ("h264", WIDTH, HEIGHT), video
    assert int(video["nb_read_frames"]) >= frames, (file, video["nb_read_frames"], frames)


@scenario
def a_snapshot_is_a_picture_of_the_right_size(lab: Lab) -> None:
    service = lab.service()
    device = service.id_of(Webcam("Portrait", port=0, serial="PS1"))
    service.wait_stream(device)
    taken = service.rpc.call("take_snapshot", device=device)
    assert (taken["status"], taken["width"], taken["height"]) == ("SUCCESS", WIDTH, HEIGHT), taken
    file = Path(taken["file_path"])
    data = file.read_bytes()
    assert len(data) == taken["file_size"] and data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9", taken
    video = probe.file(str(file))
    assert (video["codec_name"], video["width"], video["height"]) == ("mjpeg", WIDTH, HEIGHT), video


@scenario
def a_recording_across_an_unplug_plays(lab: Lab) -> None:
    service = lab.service()
    webcam = Webcam("Recorded", port=1, serial="RC1")
    device = service.id_of(webcam)
    reader = service.reader(device)
    mark = service.rpc.mark()
    started = service.rpc.call("start_recording", device=device)
    assert started["status"] == "RECORDING", started
    service.rpc.expect("recording_status_update", mark, device=device, status="STARTED")
    reader.wait_frames(30)
    webcam.unplug()
    reader.wait_end()
    service.wait_status(device, "DISCONNECTED")
    webcam = Webcam("Recorded", port=1, serial="RC1")
    assert service.id_of(webcam) == device
    reader = service.reader(device)
    reader.wait_frames(30)
    stopped = service.rpc.call("stop_recording", device=device)
    assert stopped["status"] == "STOPPED", stopped
    reader.close()
    files = wait_for("the recordings", lambda: recordings(service.recordings))
    for file in files:
        assert_plays(file, 20)


@scenario
def a_recording_cut_short_by_sigterm_plays(lab: Lab) -> None:
    """And the service exits with 0 in time, its clients told."""
    service = lab.service()
    device = service.id_of(Webcam("Interrupted", port=2, serial="I1"))
    reader = service.reader(device)
    started = service.rpc.call("start_recording", device=device)
    reader.wait_frames(30)
    lab.terminated()
    reader.wait_end()
    assert service.rpc.wait_closed() == 1001
    (file,) = service.recordings.rglob(f"{Path(started['filename']).stem}*")
    assert_plays(file, 20)


@scenario
def a_full_disk_ends_a_recording_and_it_goes_on_when_there_is_room(lab: Lab) -> None:
    """The file plays, the stream goes on, and nobody has to ask for what is recorded by itself."""
    with mounted(["-t", "tmpfs", "-o", "size=64m", "tmpfs"], FILES / "small") as disk, contextlib.closing(lab):
        service = lab.configured(
            {"mediamtx": {"recordings_path": str(disk)}, "recording": {"auto_record": True}})
        mark = service.rpc.mark()
        device = service.id_of(Webcam("Filled", port=3, serial="FD1"))
        started = service.rpc.expect("recording_status_update", mark, device=device, status="STARTED")
        reader = service.reader(device)
        reader.wait_frames(30)
        others = disk / "of-somebody-else"
        others.write_bytes(bytes(62 << 20))
        failed = service.rpc.expect("recording_status_update", mark, device=device, status="ERROR")
        assert "storage.block_percent" in failed["error"], failed
        assert_plays(disk / started["filename"], 20)
        reader.wait_frames(60)
        try:
            service.rpc.call("start_recording", device=device)
            raise AssertionError("a recording was begun on a full disk")
        except RpcError as error:
            assert error.code == -32050, error
        mark = service.rpc.mark()
        others.unlink()
        service.rpc.expect("recording_status_update", mark, device=device, status="STARTED")
        reader.close()


@scenario
def a_power_cut_costs_the_end_of_a_recording(lab: Lab) -> None:
    """What had reached the disk, found again on a copy of it: repaired when the service starts, and it plays."""
    image, copy = FILES / "disk.img", FILES / "copy.img"
    with image.open("wb") as disk:
        disk.truncate(96 << 20)
    subprocess.run(["modprobe", "-a", "loop", "ext4"], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    settings = {"recording": {"auto_record": True}}
    with mounted(["-o", "loop", str(image)], FILES / "disk") as disk, contextlib.closing(lab):
        service = lab.configured(settings | {"mediamtx": {"recordings_path": str(disk)}})
        device = service.id_of(Webcam("Cut", port=4, serial="PC1"))
        reader = service.reader(device)
        reader.wait_frames(150)
        # What the file system has not written yet is not in the image: as if the power went now.
        shutil.copyfile(image, copy)
        reader.close()
    with mounted(["-o", "loop", str(copy)], FILES / "copy") as disk, contextlib.closing(lab):
        (mark,), (file,) = disk.glob(".unfinished-*"), disk.glob("camera*.mp4")
        service = lab.configured({"recording": {"auto_record": False}, "mediamtx": {"recordings_path": str(disk)}})
        wait_for("the recording to be repaired", lambda: not mark.exists())
        # A part is a second, and the guest is slow to fill one.
        assert_plays(file, 80)


def step(seconds: float) -> None:
    """Sets the clock of the machine forward, or back."""
    time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)


@scenario
def a_recording_goes_on_when_the_clock_is_stepped(lab: Lab) -> None:
    """In files that follow each other, none over another, each as long as it is."""
    with contextlib.closing(lab):
        service = lab.configured({"recording": {"segment_duration": "3s"}, "encoder": {"gop": "1s"}})
        device = service.id_of(Webcam("Stepped", port=5, serial="CS1"))
        reader = service.reader(device)
        reader.wait_frames(30)
        mark, begun = service.rpc.mark(), time.monotonic()
        started = service.rpc.call("start_recording", device=device, pre_roll=0)
        # Over the same seconds again; then half an hour ahead and back.
        steps = [-4, -4, 1800, -1800]
        try:
            for seconds in steps:
                reader.wait_frames(60)
                step(seconds)
            reader.wait_frames(60)
            stopped = service.rpc.call("stop_recording", device=device)
        finally:
            step(-sum(steps))
        elapsed = time.monotonic() - begun
        reader.close()
        assert stopped["session_id"] == started["session_id"], stopped
        assert stopped["missed_frames"] == 0, stopped
        files = recordings(service.recordings)
        assert len(files) == stopped["files"], (files, stopped)
        seconds = 0.0
        for file in files:
            video = probe.file(str(file))
            length = float(video["format"]["duration"])
            assert 0 < length < 30, (file, video)
            seconds += length
        # It begins at the key frame before the request.
        seconds -= started["pre_roll"]
        assert elapsed - 6 < seconds < elapsed + 2, (seconds, elapsed)
