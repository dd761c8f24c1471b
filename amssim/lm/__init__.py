"""A language model's forward pass, layer by layer, from a checkpoint: enough to score weights.

Names load their modules when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
