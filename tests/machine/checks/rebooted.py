"""The same machine after a reboot; then the package is removed, and purged."""
import json
import subprocess
from pathlib import Path

import machine
from checks.installed import NOTES
from machine import CONFIG, USER

# Where a package of ours could leave something.
PLACES = ("/etc", "/usr", "/var", "/run", "/opt", "/lib/systemd", "/home", "/root", "/srv")
# Where dpkg, apt, systemd and the machine test itself keep notes about whatever is installed.
OTHERS = ("/var/log/journal/", "/var/log/apt/", "/var/lib/dpkg/", "/var/lib/apt/", "/var/cache/apt/", "/run/systemd/",
          "/run/log/", "/run/machine/")


def it_is_up_by_itself() -> None:
    machine.wait_active()
    for port, what in machine.PORTS.items():
        assert machine.listens(port), f"{what} is not on {port}"


def the_camera_is_who_it_was() -> None:
    machine.plug()
    machine.wait_connected("camera0")
    cameras = [{"device": one["device"], "name": one["name"]} for one in machine.ctl("list")["cameras"]]
    assert cameras == json.loads(NOTES.read_text())["cameras"], cameras
    assert machine.streams("camera0")["width"] == 640


def the_policy_is_what_was_set() -> None:
    # What is not named stays as it was.
    policy = machine.rpc().call("set_retention_policy", policy_type="age", enabled=True)
    assert policy["max_age_days"] == 77, policy


def the_key_is_there_still() -> None:
    assert "of the test" in machine.run("camera-service", "key", "list")


def the_recording_of_before_plays() -> None:
    film = Path(json.loads(NOTES.read_text())["film"])
    assert machine.frames(film) > 0
    assert film.name in {one["filename"] for one in machine.ctl("files", "recordings")["files"]}


def removal_stops_it_and_keeps_what_is_the_users() -> None:
    machine.apt("remove", "camera-service")
    assert machine.shown("ActiveState") in ("inactive", "failed", "")
    for port, what in machine.PORTS.items():
        assert not machine.listens(port), f"{what} is still on {port}"
    assert not Path("/usr/bin/camera-service").exists()
    assert CONFIG.exists() and machine.films("camera0"), "configuration or recordings are gone"


def installed_again_it_goes_on() -> None:
    machine.install()
    machine.wait_active()
    assert "width: 640" in CONFIG.read_text()
    machine.wait_connected("camera0")


def left(places: tuple[str, ...] = PLACES) -> list[str]:
    """Every file with a name of ours, or that belongs to a user or group who is gone."""
    # What vanishes under the search is no failure of it; a fault of its own is one.
    found = machine.run("find", *places, "-xdev", "-ignore_readdir_race", "(", "-iname", "*camera-service*", "-o",
                        "-iname", "*camera_service*", "-o", "-nouser", "-o", "-nogroup", ")").splitlines()
    return [path for path in found if not path.startswith(OTHERS)]


def purge_leaves_nothing() -> None:
    # A search that finds nothing before the purge would prove nothing after it. /usr takes a minute under emulation.
    before = left(("/etc", "/var"))
    for kept in (CONFIG.parent, machine.STATE, Path("/var/log/camera-service")):
        assert str(kept) in before, f"{kept} is not in {before}"
    machine.apt("purge", "camera-service")
    assert not left(), left()
    known = subprocess.run(["getent", "passwd", USER], capture_output=True, text=True).stdout
    assert not known, known
    failed = machine.run("systemctl", "list-units", "--all", "--no-legend", "camera-service*")
    assert "camera-service" not in failed, failed


CHECKS = [
    it_is_up_by_itself, the_camera_is_who_it_was, the_policy_is_what_was_set, the_key_is_there_still,
    the_recording_of_before_plays, removal_stops_it_and_keeps_what_is_the_users, installed_again_it_goes_on,
    purge_leaves_nothing,
]
