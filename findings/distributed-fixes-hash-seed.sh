#!/usr/bin/env bash
# distributed 2026.8.0: a LocalCluster of processes sets PYTHONHASHSEED=6640 in the environment of the process that
# starts it, beside OMP, MKL and OPENBLAS_NUM_THREADS=1, and leaves all of them there after it is closed. So every
# process that this one starts afterwards computes with one thread, and hashes text as every other one with Dask does:
# the randomisation against crafted keys is off, and a test for results that depend on it passes by mistake.
# They are read by the nannies, which live in the caller; a cluster without workers, to which workers are started
# as processes of their own (python -m distributed.cli.dask_worker), leaves the environment alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet dask==2026.8.0 distributed==2026.8.0 2> /dev/null
cat > "$folder/try.py" <<'CODE'
import os
import subprocess
import sys

from distributed import LocalCluster


def hashes():
    command = [sys.executable, "-c", "print(hash('a'))"]
    return {subprocess.run(command, capture_output=True, text=True).stdout for _ in range(4)}


def new(before):
    names = sorted(n for n in os.environ if n not in before and not n.startswith("__"))
    return {name: os.environ[name] for name in names}


if __name__ == "__main__":
    before, different = dict(os.environ), len(hashes())
    with LocalCluster(n_workers=0, dashboard_address=None, silence_logs=50):
        pass
    print("no workers, new in the environment:", new(before))
    assert new(before) == {}
    with LocalCluster(n_workers=1, dashboard_address=None, silence_logs=50):
        pass
    print("one worker, closed, new in the environment:", new(before))
    print("hashes of 'a' in four processes: before", different, "- after", len(hashes()))
    if new(before).get("PYTHONHASHSEED") != "6640" or (different, len(hashes())) != (4, 1):
        raise SystemExit("the environment stays as it was now")
CODE
cd "$folder"
env -u PYTHONHASHSEED -u OMP_NUM_THREADS -u MKL_NUM_THREADS -u OPENBLAS_NUM_THREADS "$folder/env/bin/python" try.py
