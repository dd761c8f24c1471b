"""The sharing study: what each way of sharing a mantissa bit costs on given weights."""
