"""What quantisation costs: the sharing study, theory, and formats compared on a language model.

>>> from amssim.quality import density, from_density, sharing_study, SharingOptions
>>> normal = density("normal")
>>> (record,) = sharing_study(from_density(normal, 1 << 16), [SharingOptions("fp4.25")])
>>> round(record["sqnr_db"], 1)
21.6

Names load their modules when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
