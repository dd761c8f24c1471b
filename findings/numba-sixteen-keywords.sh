#!/usr/bin/env bash
# numba 0.68.1 on Python 3.11: a jitted call with 16 keyword arguments compiles, and so does one with 15 of which one
# holds a conditional expression. 16 with one conditional do not: UnsupportedBytecodeError. From 16 on CPython collects the
# keywords in a map, and the branch inside ends the pattern by which Numba takes that map apart. It says so in its message,
# but a named tuple that grows to a 16th field meets it in code that has compiled for years.
# The way out is an assignment before the call.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet numba==0.68.1 numpy==2.4.6
cat > "$folder/count.py" <<'CODE'
from numba import njit
from numba.core.errors import UnsupportedBytecodeError


def call(keywords, first, before="pass"):
    """A jitted function that calls another with so many keywords, the first of them ``first``."""
    names = [f"k{i}" for i in range(keywords)]
    given = ", ".join(f"{name}={first if name == 'k0' else 'x'}" for name in names)
    scope = {"njit": njit}
    exec(f"@njit\ndef callee({', '.join(names)}):\n    return {' + '.join(names)}", scope)
    exec(f"@njit\ndef caller(x, y):\n    {before}\n    return callee({given})", scope)
    return scope["caller"]


conditional = "x if x > y else y"
print("16 plain:", call(16, "x")(2, 3))
print("15, one conditional:", call(15, conditional)(2, 3))
print("16, assigned before:", call(16, "larger", f"larger = {conditional}")(2, 3))
try:
    call(16, conditional)(2, 3)
    raise SystemExit("16 with one conditional compile now")
except UnsupportedBytecodeError as error:
    print("16, one conditional:", str(error).strip().splitlines()[0])
CODE
"$folder/env/bin/python" "$folder/count.py"
