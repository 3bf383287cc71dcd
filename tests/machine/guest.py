#!/usr/bin/python3
"""Runs the checks of a stage inside the machine, or of several: the kernel's command line names them
(machine.stage=NAME+NAME…).

Prints a line for each check, and `stage NAME: ended` at the end of a stage. A check that fails does not keep the
following ones from being tried.
"""
import re
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lab"))

import machine  # noqa: E402
from checks import broken, installed, rebooted, upgraded  # noqa: E402

STAGES = {module.__name__.rpartition(".")[2]: module.CHECKS for module in (installed, rebooted, upgraded, broken)}


def run(stage: str) -> None:
    """Runs every check of a stage, in order."""
    for check in STAGES[stage]:
        started, failure = time.monotonic(), None
        since = machine.now()
        try:
            check()
        except Exception:
            failure = traceback.format_exc()
        print(f"{'FAILED' if failure else 'ok'} {stage}: {check.__name__} ({time.monotonic() - started:.0f})", flush=True)
        if failure:
            print(failure)
            print(f"--- the journal meanwhile\n{machine.journal(since)[-6000:]}", flush=True)
    (machine.OUT / f"journal-{stage}.log").write_text(machine.run("journalctl", "-b", "--no-pager", "-o", "short-monotonic"))


if __name__ == "__main__":
    for name in re.search(r"machine\.stage=(\S+)", Path("/proc/cmdline").read_text())[1].split("+"):
        try:
            run(name)
        except BaseException:
            traceback.print_exc(file=sys.stdout)
        print(f"stage {name}: ended", flush=True)
