"""A file of a staging folder that is there as long as a process waits for others to work in it.

They look for it under the path of the folder: what they see shows that they share its disk, and
when it is gone, nobody waits any longer.
"""

from __future__ import annotations

import secrets

from amssim.checkpoint.safetensors.folder import Folder

TOKEN = "waiting-"


class Token:
    """A new one in ``folder``, whose owner holds its lock; those of killed processes go."""

    def __init__(self, folder: Folder):
        self._folder, self.name = folder, TOKEN + secrets.token_hex(8)
        for old in folder.names():
            if old.startswith(TOKEN):
                folder.remove(old)
        folder.write(self.name, [])
        folder.sync()

    def close(self) -> None:
        """Remove it; harmless when repeated."""
        self._folder.remove(self.name)
