#!/usr/bin/env bash
# safetensors 0.8.0: save({}, {}) (no tensors, metadata given but empty) returns a file that safetensors cannot read.
# The header is `{},"__metadata__":{}}`: two JSON values, and load() raises SafetensorError "trailing characters".
# Without metadata, and with one key in it, the file is right. The same call with a tensor is right too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet safetensors==0.8.0 numpy==2.4.6
"$folder/env/bin/python" - <<'CODE'
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

empty = save({}, {})
print("no tensors, empty metadata:", empty[8:])
assert empty[8:].rstrip() == b'{},"__metadata__":{}}'
try:
    load(empty)
    raise SystemExit("it is read now")
except SafetensorError as error:
    print("load:", error)
    assert "trailing characters" in str(error)
for file in (save({}), save({}, {"a": "b"}), save({"t": np.zeros(1, "f4")}, {})):
    print("read:", file[8:40], list(load(file)))
CODE
