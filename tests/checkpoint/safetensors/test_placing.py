"""Where tensors of a new file lie."""

from hypothesis import given
from hypothesis import strategies as st

from amssim.checkpoint.safetensors.header import DTYPE_BITS, TensorInfo, TensorSpec
from amssim.checkpoint.safetensors.writer import header_bytes, place

WHOLE_BYTES = sorted(dtype for dtype, bits in DTYPE_BITS.items() if bits % 8 == 0)

specs = st.builds(
    TensorSpec,
    st.text(max_size=6),
    st.sampled_from(WHOLE_BYTES),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
)
spec_sets = st.lists(specs, unique_by=lambda spec: spec.name, max_size=8)


@given(spec_sets, st.randoms())
def test_tensors_lie_side_by_side_widest_first_and_aligned(chosen, random):
    placed = place(chosen)
    assert [info.start for info in placed] == [0, *[info.stop for info in placed]][: len(placed)]
    widths = [DTYPE_BITS[info.dtype] // 8 for info in placed]
    assert widths == sorted(widths, reverse=True)
    assert all(info.start % width == 0 for info, width in zip(placed, widths, strict=True))
    assert {(i.name, i.dtype, i.shape, i.nbytes) for i in placed} == {
        (*spec, spec.nbytes) for spec in chosen
    }
    random.shuffle(chosen)
    assert place(chosen) == placed


@given(spec_sets)
def test_a_header_is_padded_to_whole_words_and_starts_the_data_aligned(chosen):
    raw = header_bytes(place(chosen), {"a": "b"})
    assert len(raw) % 8 == 0 and int.from_bytes(raw[:8], "little") == len(raw) - 8


def test_a_copied_tensor_keeps_the_size_that_its_dtype_does_not_tell():
    odd = TensorInfo("q", "Q9", (3,), 100, 107)
    placed = place([TensorSpec("q", "Q9", (3,)), TensorSpec("a", "U8", (2,))], [odd])
    assert [(i.name, i.start, i.stop) for i in placed] == [("a", 0, 2), ("q", 2, 9)]


def test_equal_widths_are_in_name_order_whatever_their_dtype():
    dtypes = {"c": "F32", "a": "U32", "b": "I32"}
    placed = place([TensorSpec(name, dtype, (1,)) for name, dtype in dtypes.items()])
    assert [info.name for info in placed] == ["a", "b", "c"]
