from .ahead import prepare as prepare
from .config import AmsConfig as AmsConfig
from .generation import Generation as Generation
from .generation import Sampling as Sampling
from .generation import generate as generate
from .linear import AmsLinear as AmsLinear
from .quantizer import AmsHfQuantizer as AmsHfQuantizer
from .replace import quantize_ as quantize_
