#!/usr/bin/env bash
# lazy_loader 0.6, attach_stub: the stub that a type checker reads and the names that exist at run time differ.
#   - `from .work import long_name as short` exports `long_name`, not `short`: the new name is dropped.
#   - an import under `if sys.platform == ...` is exported everywhere: conditions are not looked at.
# mypy 2.4.1 on the same stub accepts `short` alone, and refuses both names that run.
# Seen: run time has ['hidden', 'long_name']; mypy reports long_name and hidden as missing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet lazy_loader==0.6 mypy==2.4.1
mkdir "$folder/tool"
cd "$folder"
printf 'def long_name() -> int:\n    return 1\n\n\ndef hidden() -> int:\n    return 2\n' > tool/work.py
printf 'import lazy_loader\n\n__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)\n' > tool/__init__.py
cat > tool/__init__.pyi <<'STUB'
import sys

from .work import long_name as short

if sys.platform == "no-such-platform":
    from .work import hidden as hidden

__all__ = ["short"]
STUB
printf 'import tool\n\ntool.short()\ntool.long_name()\ntool.hidden()\n' > use.py
names=$(env/bin/python -c 'import tool; print(tool.__all__, hasattr(tool, "short"))')
types=$(env/bin/mypy use.py | grep -o 'no attribute "[a-z_]*"' | tr '\n' ' ' || true)
echo "at run time: $names"
echo "mypy: $types"
[ "$names" = "['hidden', 'long_name'] False" ]
[ "$types" = 'no attribute "long_name" no attribute "hidden" ' ]
