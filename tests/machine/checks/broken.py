"""Installations that are broken on purpose: the journal says why, in one line, and so does the doctor."""
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import machine
from machine import CONFIG, UNIT
from wait import wait_for


def install_it() -> None:
    machine.install()
    machine.wait_active()
    machine.wait_green()


@contextlib.contextmanager
def kept(file: Path) -> Iterator[None]:
    """Puts a file back afterwards, and the unit up again."""
    before = file.read_text()
    try:
        yield
    finally:
        file.write_text(before)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "reset-failed", UNIT, check=False)
        machine.restart()
        machine.wait_active()


def fails_to_start() -> str:
    """Restarts the unit, which does not come up; since when the journal tells of that. A service that still runs says
    itself what it thinks of a configuration that changes, so it is stopped before."""
    since = machine.now()
    subprocess.run(["systemctl", "restart", UNIT], capture_output=True)
    return since


def reason(since: str, pattern: str) -> str:
    """Waits until the first start since a time has failed, and returns the line that names the reason: there is just one."""
    # The journal has them in the order in which it took them: it may say that a start failed before it says why.
    wait_for("a start that failed, and why",
             lambda: all(words in machine.journal(since) for words in ("Failed with result", pattern)))
    said = machine.journal(since).split("Scheduled restart job")[0].splitlines()
    lines = [line for line in said if pattern in line]
    assert len(lines) == 1, f"{len(lines)} lines with {pattern!r} in: {said}"
    return lines[0]


def doctor_says(*words: str) -> None:
    """Asserts that the doctor finds a fault whose line has all of the words."""
    done = subprocess.run(["camera-service", "doctor"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 1, f"exit {done.returncode}: {done.stdout}"
    faults = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert any(all(word in line for word in words) for line in faults), f"no fault with {words} in:\n{done.stdout}"


def a_wrong_key_is_named() -> None:
    with kept(CONFIG):
        machine.run("systemctl", "stop", UNIT)
        machine.configure({"  websocket_path: /ws": "  websocket_pth: /ws"})
        since = fails_to_start()
        said = reason(since, "websocket_pth")
        assert "websocket_path" in said, said
        # Nobody but a human can mend it: it is not tried again.
        wait_for("the unit to have failed", lambda: machine.shown("ActiveState") == "failed")
        doctor_says("websocket_pth")


def a_missing_folder_is_named() -> None:
    with kept(CONFIG):
        machine.run("systemctl", "stop", UNIT)
        machine.configure({"recordings_path: /var/lib/camera-service/recordings": "recordings_path: /mnt/away/recordings"})
        since = fails_to_start()
        said = reason(since, "/mnt/away/recordings")
        assert machine.shown("ActiveState") != "active", said
        doctor_says("/mnt/away/recordings")


def a_taken_port_is_named_and_waited_for() -> None:
    machine.run("systemctl", "stop", UNIT)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("0.0.0.0", 8002))
        other.listen()
        since = fails_to_start()
        said = reason(since, "8002")
        assert "in use" in said.lower(), said
        doctor_says("8002", "python3")
    # Whoever held it is gone: nobody has to come and start the service.
    machine.wait_active()
    assert machine.listens(8002)


def a_wrong_exec_start_is_named() -> None:
    unit = Path("/usr/lib/systemd/system") / UNIT
    if not unit.exists():
        unit = Path("/lib/systemd/system") / UNIT
    with kept(unit):
        unit.write_text(unit.read_text().replace("/usr/bin/camera-service", "/usr/local/bin/camera-service"))
        machine.run("systemctl", "daemon-reload")
        since = fails_to_start()
        # systemd says it itself, in words and in lines that its version chooses.
        wait_for("systemd to name the program", lambda: "/usr/local/bin/camera-service" in machine.journal(since))
        doctor_says("/usr/local/bin/camera-service")


def a_folder_of_somebody_else_is_named() -> None:
    folder = machine.STATE / "snapshots"
    os.chown(folder, 0, 0)
    folder.chmod(0o755)
    try:
        doctor_says(str(folder))
    finally:
        shutil.chown(folder, machine.USER, machine.USER)


CHECKS = [install_it, a_wrong_key_is_named, a_missing_folder_is_named, a_taken_port_is_named_and_waited_for,
          a_wrong_exec_start_is_named, a_folder_of_somebody_else_is_named]
