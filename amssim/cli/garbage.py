"""How often the process of a command line looks for garbage."""

from __future__ import annotations

import atexit
import gc

_NEW_OBJECTS = 100_000


def collect_rarely() -> None:
    """Spare looking through all that is loaded, again and again and once more at the end.

    Loading makes some 10^5 objects that stay, and the interpreter looks through them for garbage
    while they grow in number and before it ends: a third of the time of a verb with little to do.
    """
    gc.set_threshold(_NEW_OBJECTS)
    atexit.register(gc.freeze)  # what the process ends with is looked at no more
