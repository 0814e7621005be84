"""`make bench`: every benchmark, each beside a peer in the same run. Ratios are what to compare;
machines differ, and seconds with them.

What was measured goes into one file as it comes, with what it ran on and how many cores others kept
busy meanwhile. A benchmark that fails is told of there, too, and the rest goes on.
"""

import argparse
import importlib
import json
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from codecs_registry.machine import OthersLoad, machine_name
from evaluation.provenance import provenance

NAMES = (
    "rate_search",
    "delivery",
    "serving_load",
    "start",
    "scaling",
    "krippendorff_alpha",
    "coverage",
    "active_sampling",
    "perceptual_distance",
    "metric_training",
    "exports",
)
MEASUREMENTS = (
    "mean_curves",
    "encode_memory",
    "screening",
    "blindness",
    "study_pages",
    "judgments_at_scale",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.partition("\n\n")[0]
    )
    parser.add_argument("names", nargs="*", help=", ".join((*NAMES, *MEASUREMENTS)))
    parser.add_argument("--all", action="store_true", help="those without a peer, too")
    parser.add_argument("--json", action="store_true", help="print what the file has, alone")
    parser.add_argument("--out", type=Path, metavar="FILE", help="of all that was measured")
    options = parser.parse_args()
    names = options.names or (*NAMES, *(MEASUREMENTS if options.all else ()))
    results = {
        "machine": machine_name(),
        "made_by": provenance(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "benchmarks": {},
    }
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        results["benchmarks"][name] = found = measured(name)
        if options.out:
            options.out.write_text(json.dumps(results, indent=2) + "\n")
        if not options.json:
            print(f"\n{found['what']}")
            for row in found["rows"]:
                print("  " + "  ".join(f"{key} {value}" for key, value in row.items()))
    if options.json:
        print(json.dumps(results, indent=2))
    if failed := [name for name, each in results["benchmarks"].items() if each["failed"]]:
        sys.exit(f"failed: {', '.join(failed)}")


def measured(name: str) -> dict:
    """A benchmark's rows, with how long it took and what others did meanwhile."""
    started, others = time.perf_counter(), OthersLoad()
    rows, failed, what = [], "", name
    try:
        module = importlib.import_module(f"benchmarks.{name}")
        what = module.__doc__.splitlines()[0]
        rows = module.run()
    except Exception as error:  # of any library; the others are measured all the same
        traceback.print_exc()
        failed = f"{type(error).__name__}: {error}"
    return {
        "what": what,
        "rows": rows,
        "failed": failed,
        "seconds": round(time.perf_counter() - started, 1),
        "cores_kept_busy_by_others": round(others.cores(), 2),
    }


main()
