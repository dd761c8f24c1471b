"""The tables of README.md and docs/KERNELS.md, made of records small enough to work out by hand."""

import pytest

MACHINE = {"gpu": "A GPU", "driver_cuda": "13.0", "versions": {"numba": "1", "torch": "2"}}
ABOUT = "`amssim bench gpu`, A GPU, CUDA 13.0, numba 1, torch 2; device-to-device copy 4.00 TB/s; "
ABOUT += "host 5.5 us per launch, 3.2 of them in the driver."
BATCHES = (1, 2, 4, 8, 16, 32, 64)


def product(layer, shape, scheme, batch, us, cublas_us):
    result = {"layer": layer, "shape": list(shape), "scheme": scheme, "batch": batch}
    result |= {"us": us, "cublas_us": cublas_us, "dequantize_us": 50.0, "bytes": 12_000_000}
    return result | {"error": 1e-4}


def gpu_record(results, **more):
    record = {"command": "amssim bench gpu", "machine": MACHINE, "copy_tbps": 4.0}
    return record | {"host_us": 5.5, "driver_us": 3.2, "results": results, "peers": []} | more


def rows(table: str) -> list[list[str]]:
    """Cells of a Markdown table, its headings first."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line
    ]


@pytest.fixture
def tables():
    import bench_gpu_tables

    return bench_gpu_tables


@pytest.fixture
def large():
    """One layer of 2^26 weights at every batch in two formats."""
    return gpu_record(
        [
            product("o", (8192, 8192), scheme, batch, us * (1 + batch / 64), 30.0)
            for scheme, us in (("fp5.33-e2m3", 10.0), ("fp4.25-e2m2", 8.0))
            for batch in BATCHES
        ]
    )


def test_a_source_says_what_was_run_and_on_what(tables):
    assert tables.source(gpu_record([])) == ABOUT
    older = gpu_record([], note="each time is the lowest of 2 runs")
    del older["driver_us"]
    ends = "host 5.5 us per launch; each time is the lowest of 2 runs."
    assert tables.source(older).endswith(ends)


def test_speedups_are_ratios_to_cublas(tables, large):
    text = tables.speedups(large)
    heads, first, second = rows(text)
    assert heads == ["layer", "format", *(f"batch {b}" for b in BATCHES)]
    assert first[:2] == ["o 8192x8192", "fp5.33-e2m3"] and second[1] == "fp4.25-e2m2"
    assert first[2:] == [f"{30 / (10 * (1 + b / 64)):.2f}" for b in BATCHES]
    assert second[-1] == f"{30 / 16:.2f}" and text.endswith(f"\n\n{ABOUT}")


def test_batches_are_ratios_to_one_vector_in_large_layers(tables, large):
    large["results"].append(product("small", (64, 64), "fp5.33-e2m3", 1, 1.0, 1.0))
    heads, first, second = rows(tables.batches(large))
    assert heads[2] == "batch 1, us" and first[2] == f"{10 * 65 / 64:.1f}"
    assert first[3:] == [f"{(64 + b) / 65:.2f}" for b in BATCHES[1:]] == second[3:]


def test_bandwidth_counts_the_bytes_that_are_moved(tables):
    record = gpu_record(
        [
            product("o", (4096, 4096), "fp5.33-e2m3", 1, 4.0, 10.0),
            product("o", (4096, 4096), "fp5.33-e2m3", 8, 5.0, 10.0),
        ]
    )
    heads, row = rows(tables.bandwidth(record))
    assert len(heads) == len(row)
    dense = (2 * 4096 * 4096 + 12_000_000) / 50e-6 / 4e12
    assert row == [
        "4096x4096", "fp5.33-e2m3", "12", "4.0", "3.00", "75%", "10.0", "50.0", f"{dense:.0%}"
    ]  # fmt: skip


def peer(name, us, **more):
    result = {"layer": "o", "shape": [64, 64], "batch": 1, "us": us, "error": 0.1}
    return {"peer": name, "version": "7", "results": [result | more], "failed": []}


def test_peers_stand_beside_both_of_ours(tables):
    ours = [
        product("o", (64, 64), "fp5.33-e2m3", 1, 4.0, 9.0),
        product("o", (64, 64), "fp4.25-e2m2", 1, 2.0, 9.0),
    ]
    absent = {"peer": "absent", "version": None, "results": [], "failed": []}
    timed = [peer("fast", 3.0), absent, peer("old", 8.0, earlier=True)]
    text = tables.peers(gpu_record(ours, peers=timed))
    heads, row = rows(text)
    assert heads == ["layer", "batch", "FP5.33, us", "FP4.25, us", "fast, us", "old, us"]
    assert row == ["o 64x64", "1", "4.0", "2.0", "3.0 (0.75 / 1.50)", "8.0* (2.00 / 4.00)"]
    assert "fast 7, old 7; * of old: an earlier run, on another GPU of the kind; `amssim" in text
    assert "absent" not in text


def test_a_product_that_a_peer_lacks_is_a_dash(tables):
    ours = [
        product("o", (64, 64), scheme, batch, 4.0, 9.0)
        for scheme in ("fp5.33-e2m3", "fp4.25-e2m2")
        for batch in (1, 8)
    ]
    two = peer("two", 3.0)
    two["results"].append(two["results"][0] | {"batch": 8})
    text = tables.peers(gpu_record(ours, peers=[peer("one", 3.0), two]))
    assert [row[1] for row in rows(text)[1:]] == ["1", "8"]
    assert rows(text)[2][-2:] == ["-", "3.0 (0.75 / 0.75)"] and "earlier" not in text


def test_fp6_llm_is_held_against_the_slower_and_the_faster_of_ours(tables):
    ours = [
        product("o", (64, 64), "fp4.25-e2m2", 1, 3.0, 12.0),
        product("o", (64, 64), "fp5.33-e2m3", 1, 4.0, 12.0),
    ]
    at = {"shape": [64, 64], "batch": 1}
    published = {
        "speedups": [at | {"bits": 6, "speedup": 2.0}, at | {"bits": 5, "speedup": 2.5}],
        "kernels": {"fp6_llm": "a paper"},
        "method": "read off a figure",
    }
    text = tables.fp6_llm(published, gpu_record(ours))
    assert rows(text)[1] == ["64x64", "1", "2.00 (1.50 / 2.00)", "2.50 (1.20 / 1.60)"]
    assert text.endswith("FP6-LLM: a paper, read off a figure.")


def test_a_step_of_the_ladder_is_a_row(tables):
    us = [{"scheme": "fp4.25", "shape": [64, 32], "us": 5.0, "tbps": 3.456}]
    step = {"idea": "an idea", "instructions_per_weight": {"a": 1.5, "b": 2.0}}
    step |= {"registers": {"a": 40, "b": 60}, "us": us}
    text = tables.ladder({"ladder": [step, step | {"idea": "another"}], "note": "All on one GPU"})
    heads, first, second = rows(text)
    assert heads[-1] == "fp4.25 64x32, TB/s"
    assert first == ["an idea", "1.50 / 2.00", "40 / 60", "5.0 us, 3.46"]
    assert second[0] == "another" and text.endswith("\n\nAll on one GPU.")


def test_a_change_that_was_left_out_says_so(tables):
    change = {"shape": [64, 32], "scheme": "fp4.25", "batch": 8, "before": "a", "after": "b"}
    change |= {"before_us": 5.0, "after_us": 4.0, "kept": True}
    record = {"last burst": [change, change | {"kept": False}], "machine": MACHINE, "about": "x"}
    text = tables.steps(record, "last burst")
    first, second = rows(text)[1:]
    assert first == ["64x32", "fp4.25", "8", "a", "5.0", "b", "4.0"]
    assert second[5] == "b (left out)" and text.endswith("A GPU: x.")


@pytest.fixture
def readme():
    import readme_tables

    return readme_tables


def test_the_readmes_cpu_table_has_a_column_per_run(readme):
    def result(item, threads, shape, rate, **more):
        about = {"item": item, "scheme": None, "threads": threads, "shape": list(shape)}
        return about | {"gweights_per_s": rate} | more

    record = {
        "machine": {
            "processor": "A fast one",
            "cpus": 2,
            "python": "3.11",
            "versions": {"numpy": "2"},
        },
        "import_s": 0.0194,
        "results": [
            result("blas", 1, (64, 32), 5.0),
            result("gemv", 1, (64, 32), 16.0, ratio=3.2, baseline="blas", scheme="fp4.25"),
            result("blas", 2, (64, 32), 9.0),
        ],
    }
    text = readme.cpu(record)
    heads, blas, gemv = rows(text)
    assert heads == ["item", "scheme", "baseline", "64x32, 1 thread", "64x32, 2 threads"]
    assert blas == ["blas", "", "", "5.00", "9.00"]
    assert gemv == ["gemv", "fp4.25", "blas", "16.00 (3.20x)", ""]
    assert "A fast one, 2 CPUs, Python 3.11, numpy 2. `import amssim` takes 0.019 s." in text


def test_the_readmes_gpu_table_shows_llama_at_three_batches(readme):
    record = gpu_record(
        [
            product(layer, (64, 32), "fp4.25-e2m2", batch, 5.0, 5.0 + batch)
            for layer in ("Llama-3 8B o", "Qwen3 8B o")
            for batch in BATCHES
        ]
    )
    heads, row = rows(readme.gpu(record))
    assert heads == ["layer", *(f"fp4.25-e2m2, batch {b}" for b in (1, 8, 64))]
    assert row == ["Llama-3 8B o, 64x32", "1.20x", "2.60x", "13.80x"]
