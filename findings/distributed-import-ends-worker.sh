#!/usr/bin/env bash
# distributed 2026.8.0: a task whose function the worker cannot import does not fail. The worker reads messages of the
# scheduler by unpickling them, the error ends its connection, and the whole process leaves, with exit code 0. The task
# goes to the next worker, which leaves too. The future is pending for ever, or ends as KilledWorker after four workers,
# and no word of it names the module (the worker's log does).
# Client.run of the same function on the same worker is answered with the ModuleNotFoundError, so a check by `run`
# passes judgement on the workers there are, and one that joins later takes itself and three others away.
# A function of the standard library that looks up the real one in the worker fails as one expects:
# submit(pickle.loads, pickle.dumps(call)), where `call` is pickled as (function, arguments).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet dask==2026.8.0 distributed==2026.8.0
mkdir "$folder/here"
printf 'def work(x):\n    return x\n' > "$folder/here/mine.py"
cat > "$folder/try.py" <<'CODE'
import pickle
import subprocess
import sys
import tempfile
import time

from distributed import Client, LocalCluster


class Call:
    def __reduce__(self):
        import mine

        return mine.work, (1,)


with (
    tempfile.TemporaryDirectory() as scratch,
    LocalCluster(n_workers=0, dashboard_address=None, silence_logs=50) as cluster,
    Client(cluster) as client,
):
    sys.path.insert(0, "here")
    import mine

    command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
    command += ["--no-nanny", "--nthreads", "1", "--local-directory", scratch]
    worker = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=scratch)
    client.wait_for_workers(1, timeout=30)
    print("run:", *client.run(mine.work, 1, on_error="return").values())
    error = client.submit(pickle.loads, pickle.dumps(Call()), pure=False).exception(timeout=30)
    print("submit of pickle.loads:", repr(error))
    future = client.submit(mine.work, 1, pure=False)
    code = worker.wait(30)
    time.sleep(1)
    print("submit: future", future.status, "- worker's exit code", code, "- workers", len(client.nthreads()))
    assert isinstance(error, ModuleNotFoundError)
    if (future.status, code, len(client.nthreads())) != ("pending", 0, 0):
        raise SystemExit("the worker stays now")
CODE
cd "$folder"
"$folder/env/bin/python" try.py
