from .forms import FORMS as FORMS
from .forms import FP4_25 as FP4_25
from .forms import FP5_33 as FP5_33
from .gemv.block_scales import plan_block_scales as plan_block_scales
from .kernel import Kernel as Kernel
from .kernel import KernelProblem as KernelProblem
from .kernel import kernel_named as kernel_named
from .matrix import Matrix as Matrix
