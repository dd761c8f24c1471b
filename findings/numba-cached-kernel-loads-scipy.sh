#!/usr/bin/env bash
# numba 0.68.1, scipy 1.17.1: the first call of a function that lies compiled in the cache on disk imports scipy.linalg,
# also where the function only adds two numbers and nothing is compiled: loading machine code refreshes the whole
# registry of what Numba can compile. The start of a short program pays for it: here the modules that the call brings
# in are counted. Without scipy installed the same call imports fewer.
# The way out is to load the cached code with only the runtime library started.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet numba==0.68.1 numpy==2.4.6 scipy==1.17.1
cat > "$folder/add.py" <<'CODE'
import sys

from numba import njit


@njit(cache=True)
def add(a, b):
    return a + b


before = set(sys.modules)
add(1, 2)
print(sum(add.stats.cache_hits.values()), len(set(sys.modules) - before), "scipy.linalg" in set(sys.modules) - before)
CODE
cd "$folder"
"$folder/env/bin/python" add.py > first
read -r hits modules linalg < <("$folder/env/bin/python" add.py)
echo "second process: cache hits $hits, modules imported by the call $modules, scipy.linalg among them: $linalg"
[ "$hits" = 1 ] && [ "$modules" -gt 100 ] && [ "$linalg" = True ]
