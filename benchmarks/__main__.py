"""`make bench`: every benchmark, each beside a peer in the same run. Ratios are what to compare;
machines differ, and seconds with them."""

import argparse
import importlib
import json
import os
import platform
import sys

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
MEASUREMENTS = ("mean_curves", "encode_memory", "screening", "blindness")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, help=", ".join((*NAMES, *MEASUREMENTS)))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    machine = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    results = {"machine": machine}
    for name in options.names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        module = importlib.import_module(f"benchmarks.{name}")
        results[name] = module.run()
        if not options.json:
            print(f"\n{module.__doc__.splitlines()[0]}")
            for row in results[name]:
                print("  " + "  ".join(f"{key} {value}" for key, value in row.items()))
    if options.json:
        print(json.dumps(results, indent=2))


main()
