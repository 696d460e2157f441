"""What every part of the lab needs to play its scenarios and to say how they went."""

import copy
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from checks import Checks, Skip
from debian import Unavailable


def compiled(name: str, folder: Path) -> Path:
    """A C program of this folder as one static file."""
    program = folder / name
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise Unavailable(f"no C compiler here to make {name} with")
    done = subprocess.run([compiler, "-O2", "-static", "-o", program, Path(__file__).parent / f"{name}.c"], capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"{name} does not compile: {done.stderr.strip()[-300:]}")
    return program


def play_all(lab, scenarios: list) -> list[str]:
    """The verdicts of all scenarios, played at once; prints each as it is known. Where the lab has a `clear` it is called after each."""
    threads = ThreadPoolExecutor(len(scenarios))
    try:
        verdicts = []
        for verdict, lines in threads.map(lambda scenario: play(lab, scenario), scenarios):
            verdicts.append(verdict)
            print("\n".join(lines), flush=True)
        return verdicts
    finally:
        # Scenarios still under way lose their daemon or their guest and end with it.
        threads.shutdown(wait=False, cancel_futures=True)


def play(lab, scenario):
    """One scenario's verdict and lines: it never raises."""
    lab, check, began = copy.copy(lab), Checks(), time.monotonic()
    lab.burners = []
    try:
        scenario(lab, check)
        verdict = "failed" if check.failed else "passed"
    except Skip as why:
        check.lines.append(f"  skipped: {why}")
        verdict = "skipped"
    except Exception as why:  # a scenario that breaks is a failure of that scenario
        place, where = why.__traceback__, None
        while place:
            if place.tb_frame.f_code.co_filename == scenario.__code__.co_filename:
                where = place
            place = place.tb_next
        check.lines.append(f"  FAIL  {type(why).__name__}: {why} ({os.path.basename(scenario.__code__.co_filename)}:{where.tb_lineno})")
        verdict = "failed"
    if hasattr(lab, "clear"):
        lab.clear()
    return verdict, [f"{scenario.__name__}: {scenario.__doc__}  {time.monotonic() - began:.0f} s", *check.lines]
