"""``python -m amssim`` is ``amssim``."""

import sys

from amssim.cli import main

sys.exit(main())
