"""What the package keeps between products, to be forgotten between tests."""

from cuda_kernels import batches, driver, kernel, layouts, product
from cuda_kernels.dense import panel
from cuda_kernels.normalize import launch as normalize
from cuda_kernels.pack import launch as pack

CACHED = (
    *(driver.gpu_of, driver.context_of, driver.gpu_count, kernel._loaded),
    *(layouts._by_name, layouts._made, normalize._made),
    *(panel._made, panel._by_elements),
    *(pack._repack, pack._restore, pack._order_scales),
)


def forget():
    """Load and make everything anew."""
    for function in CACHED:
        function.cache_clear()
    product._READY.clear()
    batches._KNOWN.clear()
