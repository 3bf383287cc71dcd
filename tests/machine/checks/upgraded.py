"""From the previous package to this one, while a camera is recorded."""
import machine
from machine import CONFIG, STATE


def the_previous_package_runs() -> None:
    machine.install("previous.deb")
    machine.wait_active()
    machine.configure(machine.PATIENCE)
    machine.restart()
    machine.plug()
    machine.wait_connected("camera0")


def an_upgrade_loses_no_recording() -> None:
    machine.streams("camera0")
    machine.ctl("record", "start", "camera0")
    film = machine.wait_growing("camera0", 0)
    secret = {file: file.read_bytes() for file in STATE.glob("*secret*")}
    before, text = machine.pid(), CONFIG.read_text()
    said = machine.install()
    assert "0.0.1~previous" in said, said
    machine.wait_active(not_pid=before)
    assert machine.run("dpkg-query", "-W", "-f", "${Version}", "camera-service") != "0.0.1~previous"
    assert CONFIG.read_text() == text, "the configuration was changed"
    assert secret and all(file.read_bytes() == was for file, was in secret.items()), "the secret was changed"
    assert machine.frames(film) > 0


def it_streams_as_before() -> None:
    machine.wait_connected("camera0")
    assert machine.streams("camera0")["width"] == 640


CHECKS = [the_previous_package_runs, an_upgrade_loses_no_recording, it_streams_as_before]
