#!/usr/bin/env bash
# numba-cuda 0.30.4: cuda.compile_ptx with an explicit compute capability needs no GPU, until the kernel calls a device
# function. With inline="always" the call still compiles anywhere; a plain @cuda.jit(device=True) asks the current GPU
# for its capability, although one was given, and on a machine without a driver that is an error. So what is compiled
# ahead for other GPUs builds on one machine and not on the next.
# CUDA_VISIBLE_DEVICES is emptied here, so that a machine with a GPU shows the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet numba-cuda==0.30.4 numba==0.68.1 numpy==2.4.6 'cuda-toolkit[cudart,nvvm,nvrtc,cccl]==13.0.*' 'nvidia-nvjitlink==13.0.*'
cat > "$folder/ahead.py" <<'CODE'
from numba import cuda, types

signature = types.void(types.float32[:])


@cuda.jit(device=True, inline="always")
def inlined(x):
    return x + 1


@cuda.jit(device=True)
def called(x):
    return x + 1


def kernel_with_inlined(a):
    a[0] = inlined(a[0])


def kernel_with_called(a):
    a[0] = called(a[0])


text, _ = cuda.compile_ptx(kernel_with_inlined, signature, cc=(9, 0))
print("inlined:", next(line for line in text.splitlines() if line.startswith(".target")))
try:
    cuda.compile_ptx(kernel_with_called, signature, cc=(9, 0))
    raise SystemExit("a device function compiles without a GPU now")
except Exception as error:
    print("called: ", type(error).__name__, str(error).strip().splitlines()[0][:100])
CODE
CUDA_VISIBLE_DEVICES= "$folder/env/bin/python" "$folder/ahead.py"
