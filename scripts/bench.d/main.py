"""`scripts/bench [NAME...] [--quick] [--json FILE]`: one table on standard output, and one JSON file."""

from __future__ import annotations

import argparse
import datetime
import fcntl
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import docker
from data import data
from figures import Report
from host import SCALES, Bench, Failed, free_port
from rows import GROUPS, sources
from sanitise import sanitise

GROUPS = {**GROUPS, "data": data, "sanitise": sanitise}


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measure cx against named baselines of the same run."
    )
    parser.add_argument("name", nargs="*", help=f"only these of: {', '.join(GROUPS)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and namespaces: under 5 minutes, not 30")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="FILE", help="default: %(default)s")
    parser.add_argument(
        "--size", action="append", choices=list(SCALES), help="goldens of `data`; default: 1gb and 4gb, quick: 1gb"
    )
    parser.add_argument("--place", action="append", choices=["own", "xfs"], help="where `data` runs; default: both")
    given = parser.parse_args(argv)
    if unknown := [name for name in given.name if name not in GROUPS]:
        parser.error(f"there is no {unknown[0]}; choose of {', '.join(GROUPS)}")
    return given


def machine() -> dict[str, str]:
    """What the figures were seen on, in general terms."""
    client = docker.from_env()
    info = client.info()
    client.close()
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "system": f"{info['OperatingSystem']}, Linux {platform.release()}",
        "cores": str(info["NCPU"]),
        "memory": f"{info['MemTotal'] / 2**30:.0f} GiB",
        "engine": f"Docker {info['ServerVersion']}, {info['Driver']}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
    }


def interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    given = arguments(sys.argv[1:])
    names = given.name or list(GROUPS)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, interrupted)
    lock = os.open(__file__, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("bench: another one runs; two would measure each other", file=sys.stderr)
        return 75
    folder = Path(tempfile.mkdtemp(prefix="cx-bench-"))
    report = Report(machine())
    free_gb = shutil.disk_usage("/").free / 1e9
    bench = Bench(folder, sources(names, quick=given.quick, free_gb=free_gb), free_port(), say)
    bench.sizes = given.size or (["1gb"] if given.quick else ["1gb", "4gb"])
    bench.places = given.place or []
    if "clone" in names and "4gb" not in bench.sources:
        report.skipped["clone of 4GB"] = "--quick" if given.quick else f"{free_gb:.0f} GB of disk are free, not 25"
    status = 0
    try:
        if bench.sources or not {*names} <= {"data", "sanitise"}:
            bench.up()
        for name in names:
            say(name)
            try:
                GROUPS[name](bench, report, given.quick)
            except Failed as exc:
                print(f"bench: {name}: {exc}", file=sys.stderr)
                report.skipped[name] = "it failed"
                status = 1
    except Failed as exc:
        print(f"bench: {exc}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        say("interrupted")
        status = 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say("clean up")
        bench.sweep()
        shutil.rmtree(folder, ignore_errors=True)
    if report.figures or report.facts:
        print(report.table())
        given.json.write_text(report.document())
        say(f"written to {given.json}")
    return status


if __name__ == "__main__":
    sys.exit(main())
