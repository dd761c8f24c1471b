#!/usr/bin/env bash
# torch 2.13.0: pickle.dumps writes tensors of uint16, uint32 and float8, and pickle.loads cannot read them back:
# AttributeError: type object 'torch.storage.UntypedStorage' has no attribute 'dtype'. Nothing is said when they are
# written, so a module with such a buffer is lost by pickle, not refused. torch.save and torch.load take the same
# tensors, and so does copy.deepcopy; int16, uint8 and bfloat16 pass through pickle too.
# The way out is torch.save, or a view as int16 in __getstate__.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/both_ways.py" <<'CODE'
import copy
import io
import pickle

import torch


def through_pickle(tensor):
    return pickle.loads(pickle.dumps(tensor))


def through_save(tensor):
    file = io.BytesIO()
    torch.save(tensor, file)
    file.seek(0)
    return torch.load(file)


for dtype in (torch.int16, torch.uint8, torch.bfloat16):
    assert through_pickle(torch.ones(3).to(dtype)).dtype == dtype
    print(f"{dtype}: pickle reads what it wrote")
for dtype in (torch.uint16, torch.uint32, torch.float8_e4m3fn):
    tensor = torch.ones(3).to(dtype)
    assert through_save(tensor).dtype == copy.deepcopy(tensor).dtype == dtype
    try:
        through_pickle(tensor)
        raise SystemExit(f"pickle reads {dtype} now")
    except AttributeError as error:
        print(f"{dtype}: written by pickle, then {error}")
CODE
"$folder/env/bin/python" "$folder/both_ways.py"
