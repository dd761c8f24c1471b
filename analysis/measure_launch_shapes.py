"""Time every launch that products could have on this GPU: the record that `tune_launch` reads.

python analysis/measure_launch_shapes.py --output analysis/results/launch_shapes_h200.json

Takes as long as it is given: nine minutes of an H200 with 16 CPUs, of which four compile. What is
measured is written after every layer. Needs PyTorch and the `cuda` extra.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

from amssim.bench import measure_shapes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--seconds", type=float, default=520.0, help="(%(default)s)")
    args = parser.parse_args()

    def save(record):
        # one result per line
        results = ",\n  ".join(json.dumps(result) for result in record["results"])
        head = json.dumps({k: v for k, v in record.items() if k != "results"}, indent=1)
        args.output.write_text(f'{head[:-2]},\n "results": [\n  {results}\n ]\n}}\n')

    def say(line):
        print(line, file=sys.stderr, flush=True)

    command = shlex.join(["python", *sys.argv])
    save(measure_shapes(seconds=args.seconds, command=command, save=save, say=say))


if __name__ == "__main__":
    main()
