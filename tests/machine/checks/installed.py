"""A first installation, its use, and what may happen to it until the machine is rebooted."""
import grp
import json
import os
import pwd
import signal
import stat
import urllib.request
from pathlib import Path

import machine
import probe
from machine import STATE, USER
from wait import wait_for

# What the next boot is to find again.
NOTES = Path("/root/notes.json")


def install_starts_it() -> None:
    assert not Path("/usr/bin/camera-service").exists()
    machine.install()
    machine.wait_active()


def the_unit_told_systemd() -> None:
    assert machine.shown("Type") == "notify"
    assert machine.shown("UnitFileState") == "enabled"
    assert machine.shown("SubState") == "running"
    assert int(machine.shown("WatchdogTimestampMonotonic")) > 0, "the watchdog is not fed"


def it_runs_as_its_own_user() -> None:
    user = pwd.getpwnam(USER)
    status = Path(f"/proc/{machine.pid()}/status").read_text()
    assert f"\nUid:\t{user.pw_uid}\t" in status, status
    groups = {grp.getgrgid(int(gid)).gr_name for gid in status.split("\nGroups:\t")[1].split("\n")[0].split()}
    assert {"video", "render"} <= groups, groups


def folders_have_owner_and_mode() -> None:
    owner = pwd.getpwnam(USER).pw_uid
    for folder in (STATE, STATE / "recordings", STATE / "snapshots"):
        found = folder.stat()
        assert stat.S_ISDIR(found.st_mode) and found.st_uid == owner, f"{folder}: owner {found.st_uid}, not {owner}"
        assert not found.st_mode & stat.S_IWOTH, f"{folder}: everybody may write"
    for file in STATE.rglob("*"):
        assert not (file.is_file() and "secret" in file.name and file.stat().st_mode & 0o077), f"{file} is not private"


def every_port_answers() -> None:
    for port, what in machine.PORTS.items():
        assert machine.listens(port), f"{what} is not on {port}"
    for url in ("http://127.0.0.1:8003/health/live", "http://127.0.0.1:8003/health/ready",
                "http://127.0.0.1:9997/v3/paths/list", "http://127.0.0.1:9998/metrics"):
        with urllib.request.urlopen(url) as reply:
            assert reply.status == 200, f"{url}: {reply.status}"


def the_websocket_answers_ping() -> None:
    client = machine.rpc()
    assert client.call("ping") == "pong"
    client.close()


def doctor_is_green() -> None:
    machine.wait_green()


def the_configuration_of_the_administrator_counts() -> None:
    machine.configure(machine.PATIENCE)
    before = machine.pid()
    machine.restart()
    assert machine.wait_active(not_pid=before)


def a_camera_streams() -> None:
    machine.plug()
    machine.wait_connected("camera0")
    for transport in ("tcp", "udp"):
        seen = machine.streams("camera0", transport)
        assert (seen["codec_name"], seen["width"], seen["height"]) == ("h264", 640, 360), seen
    assert probe.moves("rtsp://127.0.0.1:8554/camera0")


def a_snapshot_is_taken() -> None:
    machine.ctl("snapshot", "camera0")
    (picture,) = (STATE / "snapshots").rglob("*.jpg")
    seen = probe.file(str(picture))
    assert (seen["width"], seen["height"]) == (640, 360), seen


def a_recording_is_made() -> None:
    machine.ctl("record", "start", "camera0")
    film = machine.wait_growing("camera0", 0)
    machine.ctl("record", "stop", "camera0")
    assert machine.frames(film) > 0


def doctor_is_green_with_a_camera() -> None:
    doctor_is_green()


def a_changed_configuration_counts_without_a_restart() -> None:
    before, since = machine.pid(), machine.now()
    machine.configure({"  format: jpeg # or png": "  format: png"})
    wait_for("the file to be read again", lambda: "configuration read again" in machine.journal(since))
    assert "snapshots.format" in machine.journal(since)
    machine.ctl("snapshot", "camera0")
    (picture,) = (STATE / "snapshots").rglob("*.png")
    assert probe.file(str(picture))["codec_name"] == "png"
    machine.configure({"  format: png": "  format: jpeg # or png"})
    assert machine.pid() == before


def replugged_it_is_the_same_camera() -> None:
    machine.unplug()
    wait_for("camera0 to be away", lambda: machine.ctl("status", "camera0")["status"] != "CONNECTED")
    machine.plug()
    machine.wait_connected("camera0")
    machine.streams("camera0")
    assert [one["device"] for one in machine.ctl("list")["cameras"]] == ["camera0"]


def a_restart_closes_recordings() -> None:
    known = len(machine.films("camera0"))
    machine.ctl("record", "start", "camera0")
    film = machine.wait_growing("camera0", known)
    machine.restart()
    machine.wait_active()
    assert machine.frames(film) > 0
    machine.streams("camera0")


def the_watchdog_ends_what_hangs() -> None:
    before, since = machine.wait_active(), machine.now()
    os.kill(before, signal.SIGSTOP)
    wait_for("the watchdog", lambda: "watchdog" in machine.journal(since).lower(), 300)
    machine.wait_active(not_pid=before)
    machine.streams("camera0")


def a_kill_loses_nothing_that_was_written() -> None:
    known = len(machine.films("camera0"))
    machine.ctl("record", "start", "camera0")
    film = machine.wait_growing("camera0", known)
    before = machine.pid()
    os.kill(before, signal.SIGKILL)
    machine.wait_active(not_pid=before)
    machine.streams("camera0")
    assert machine.frames(film) > 0
    listed = {one["filename"] for one in machine.ctl("files", "recordings")["files"]}
    assert film.name in listed, f"{film.name} is not in {listed}"


def what_the_reboot_is_to_keep() -> None:
    client = machine.rpc()
    client.call("set_retention_policy", policy_type="age", max_age_days=77, enabled=True)
    client.close()
    machine.run("camera-service", "key", "add", "--role", "viewer", "--name", "of the test")
    known = len(machine.films("camera0"))
    machine.ctl("record", "start", "camera0")
    film = machine.wait_growing("camera0", known)
    cameras = [{"device": one["device"], "name": one["name"]} for one in machine.ctl("list")["cameras"]]
    NOTES.write_text(json.dumps({"film": str(film), "cameras": cameras}))


CHECKS = [
    install_starts_it, the_unit_told_systemd, it_runs_as_its_own_user, folders_have_owner_and_mode, every_port_answers,
    the_websocket_answers_ping, doctor_is_green, the_configuration_of_the_administrator_counts, a_camera_streams,
    a_snapshot_is_taken, a_recording_is_made, doctor_is_green_with_a_camera,
    a_changed_configuration_counts_without_a_restart, replugged_it_is_the_same_camera, a_restart_closes_recordings,
    the_watchdog_ends_what_hangs, a_kill_loses_nothing_that_was_written, what_the_reboot_is_to_keep,
]
