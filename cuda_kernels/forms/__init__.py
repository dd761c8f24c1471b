"""Kernel forms: word layouts of weights, how they decode, and how words come to them and back.

All that kernels, the host and the device need of a form is in its `Form`, one for each file
``fp425.py`` and ``fp533.py``.
"""

import numpy as np

from amssim.scheme import Scheme
from cuda_kernels.forms.form import VALUE_SCALE, Form, form_named
from cuda_kernels.forms.fp425 import FP4_25
from cuda_kernels.forms.fp533 import FP5_33

__all__ = [
    "FORMS",
    "FP4_25",
    "FP5_33",
    "VALUE_SCALE",
    "Form",
    "form_named",
    "form_of",
    "widen_codes",
]

#: From the smallest on.
FORMS = (FP4_25, FP5_33)


def form_of(scheme: Scheme) -> Form | None:
    """Return the smallest form that holds every code of ``scheme``, or None.

    FP4.25 holds e2m2 where 4 neighbours share a bit, and e2m1 with that bit 0; FP5.33 holds e2m3
    where 3 neighbours share a bit, and e2m2 with that bit 0.

    >>> from amssim.scheme import scheme
    >>> [getattr(form_of(scheme(s)), "name", None) for s in ("fp4.25", "fp4-e2m1", "fp6-e2m3")]
    ['fp4.25', 'fp4.25', None]
    """
    element, k = scheme.minifloat, scheme.k
    if element.exponent_bits != 2:
        return None
    for form in FORMS:
        shares = element == form.element and k % form.group == 0
        narrower = element.mantissa_bits < form.element.mantissa_bits
        if shares or narrower:
            return form
    return None


def widen_codes(codes: np.ndarray, scheme: Scheme, form: Form) -> np.ndarray:
    """Codes of ``scheme`` as codes of the form's minifloat: zeros after the mantissa."""
    wide: np.ndarray = codes << (form.element.mantissa_bits - scheme.minifloat.mantissa_bits)
    return wide
