#!/usr/bin/python3
"""Runs the scenarios inside the guest: guest.py [NAME…], each a whole name or a part of one.

Prints a line for each and `N passed, N failed` at the end. Environment: LAB_BINARY, LAB_MEDIA, LAB_OUT (see `run`).
"""
import subprocess
import sys
import time
import traceback

import cameras
from scenarios import ALL, Lab
from scenarios import hotplug, identity, formats, controls, control_changes, configuration, faults, files  # noqa: F401
from service import OUT, Service

TAIL = 60


def tail(name: str, text: str) -> None:
    """Prints the last lines of a text."""
    print(f"--- {name} (last {TAIL} lines; whole in {OUT.name}/)")
    print("\n".join(text.splitlines()[-TAIL:]), flush=True)


def run(lab: Lab, scenario) -> bool:
    """Runs one scenario and puts everything away after it."""
    started, failure = time.monotonic(), None
    first_log = Service.runs
    try:
        scenario(lab)
    except Exception:
        failure = traceback.format_exc()
    try:
        cameras.unplug_all()
    except Exception:
        failure = failure or traceback.format_exc()
    print(f"{'FAILED' if failure else 'ok'} {scenario.__name__} ({time.monotonic() - started:.0f})", flush=True)
    if failure:
        print(failure, flush=True)
        for number in range(max(1, first_log), Service.runs + 1):
            log = OUT / f"service-{number}.log"
            tail(log.name, log.read_text(errors="replace"))
        tail("kernel.log", subprocess.run(["dmesg"], capture_output=True, text=True).stdout)
        lab.stop()
    return not failure


def main() -> int:
    # The shell quotes an empty list as one empty word.
    wanted = [word for word in sys.argv[1:] if word]
    chosen = [one for one in ALL if not wanted or any(word in one.__name__ for word in wanted)]
    if not chosen:
        print("no such scenario; there are:", *(one.__name__ for one in ALL), sep="\n  ")
        return 2
    for module in ("vhci-hcd", "uvcvideo"):
        subprocess.run(["modprobe", module], check=True)
    lab = Lab()
    results = [run(lab, scenario) for scenario in chosen]
    lab.stop()
    passed = sum(results)
    print(f"{passed} passed, {len(results) - passed} failed", flush=True)
    return 0 if all(results) else 1


if __name__ == "__main__":
    code = main()
    (OUT / "kernel.log").write_text(subprocess.run(["dmesg"], capture_output=True, text=True).stdout)
    sys.exit(code)
