"""The codec on arrays: weights to packed words and back, compiled with Numba.

`bands` of a matrix become float32 rows. `rows` takes them through in chunks: `scales` chooses each
scale, `encoding` turns weights into drafts and votes, one by one as `elements` says, and settles
the groups, `packing` makes `words` of the codes; and the same way back. One set of kernels serves
every scheme, whose numbers are in `constants`; `amssim.tensor` validates what comes here.
"""
