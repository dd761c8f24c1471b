from .decode import predict_decode as predict_decode
from .inverse import bits_for_speedup as bits_for_speedup
from .inverse import instruction_budget as instruction_budget
from .predict import predict_latency as predict_latency
from .predict import predict_speedup as predict_speedup
from .sweeps import batch_crossover as batch_crossover
from .sweeps import sweep as sweep
