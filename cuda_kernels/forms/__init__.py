"""Two word layouts of weights: how they decode, and how words come to them and back."""

from cuda_kernels.forms.form import FORMS, FP4_25, FP5_33, VALUE_SCALE, Form, form_of, widen

__all__ = ["FORMS", "FP4_25", "FP5_33", "VALUE_SCALE", "Form", "form_of", "widen"]
