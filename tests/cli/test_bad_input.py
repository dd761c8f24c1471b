"""Bad input to every verb: one sentence, the exit code of its kind, and no file left behind."""

import pytest
from cli_cases import parsers, snapshot, words, write_files

from amssim.cli import main

CASES = [
    ("quantize none out", 3, "none does not exist"),
    ("quantize broken.safetensors out.safetensors", 3, "broken.safetensors"),
    ("quantize model out --scheme fp9", 2, "no scheme matches 9 bits: choose one of"),
    ("quantize model out --rule x", 2, "rule 'x' must read REGEX=SCHEME or REGEX=keep"),
    ("quantize model out --scale-block 0", 3, "scale_block"),
    ("quantize model text.txt", 4, "text.txt"),
    ("quantize model out --threads 0", 3, "threads must be a positive whole number"),
    ("dequantize none out", 3, "none does not exist"),
    ("dequantize model out", 3, "model holds no tensors that amssim packed"),
    ("inspect", 3, "nothing to inspect: give a PATH, or a scheme with --layout"),
    ("inspect none", 3, "none does not exist"),
    ("inspect text.txt", 3, "text.txt"),
    ("inspect --layout fp9", 2, "no scheme matches 9 bits: choose one of"),
    ("verify none", 3, "none does not exist"),
    ("verify broken.safetensors", 3, "broken.safetensors"),
    ("verify model", 3, "model"),
    ("bench cpu --threads x", 3, "--threads is 'x', expected positive numbers such as 1,2"),
    ("bench cpu --threads 0", 3, "--threads is '0', expected positive numbers such as 1,2"),
    ("bench cpu --shapes 8", 3, "--shapes is '8', expected positive numbers such as 4096x4096"),
    ("bench gpu --shapes 8192", 3, "--shapes has '8192', expected rows x columns"),
    ("bench gpu --shapes 0x64", 3, "--shapes is '0,64', expected positive numbers such as 1,8,64"),
    ("bench gpu --shapes 1x2x3", 3, "--shapes has '1x2x3', expected rows x columns"),
    ("bench gpu --shapes a", 3, "--shapes is 'a'"),
    ("bench gpu --batches 1,", 3, "--batches is '1,', expected positive numbers such as 1,8,64"),
    ("bench gpu --runs 0", 3, "--runs is 0, expected 1 or more"),
    ("bench gpu --output mine.json", 4, "mine.json exists already: name a new file"),
    ("bench gpu --output no/new.json", 4, "there is no directory no"),
    ("demo --output text.txt", 4, "cannot make the folder text.txt"),
    ("calibrate cpu --threads 0 --output new.json", 3, "threads is 0, expected a whole number"),
    ("calibrate cpu --output mine.json", 4, "mine.json exists: give another --output, or --force"),
    ("calibrate cpu --output no/new.json", 4, "cannot write no/new.json: there is no folder no"),
    ("calibrate cpu --output new.json --compare h2o", 3, "h2o"),
    ("seal none", 3, "none does not exist"),
    ("seal text.txt", 3, "text.txt: expected a .safetensors file or a directory of them"),
    ("predict --bits 99", 3, "99"),
    ("predict --bits fp9", 3, "no scheme matches 9 bits: choose one of"),
    ("predict --gpu h2o", 3, "h2o"),
    ("predict --gpu text.txt", 3, "text.txt"),
    ("predict --shape 4096", 3, "--shape is '4096', expected rows x columns such as 28672x4096"),
    ("predict --batch 0", 3, "batch"),
    ("predict --kernel none", 3, "none"),
    ("predict --l2 lukewarm", 3, "lukewarm"),
    ("predict --model none", 3, "none"),
    ("predict --model qwen3-8b --kv-bits 3", 3, "kv_bits"),
    ("predict --target 0", 3, "0"),
    ("predict --model qwen3-8b --budget", 3, "--model and --budget ask different questions"),
    ("predict --gpu all --target 2", 3, "--gpu all compares one product on every GPU"),
    ("predict --plot text.txt", 4, "text.txt"),
    ("error none", 3, "none"),
    ("error --density cauchy", 3, "cauchy"),
    ("error --weights 0", 3, "--weights is 0, expected 1 to 1e+12"),
    ("error w.npy --output mine.json", 4, "mine.json exists already: name a new file"),
    ("error w.npy --tokens tokens.npy --activations w.npy", 3, "leave one out"),
    ("error --tokens tokens.npy", 3, "--tokens needs a language model to run on them"),
    ("error --weights 4096 --scheme fp9", 2, "no scheme matches 9 bits: choose one of"),
    ("eval none --tokens tokens.npy", 3, "none"),
    ("eval llama --tokens none", 3, "none"),
    ("eval llama --tokens tokens.npy --windows 0", 3, "--windows is 0, expected at least 1"),
    ("eval llama --tokens tokens.npy --scheme fp9", 2, "no scheme matches 9 bits: choose one of"),
    ("eval llama --tokens tokens.npy --output no/new.json", 4, "there is no directory no"),
    ("report none --output page.html", 3, "none"),
    ("report llama --weights 0 --output page.html", 3, "--weights must be at least 1, found 0"),
    ("finish out", 4, "nothing is unfinished for out: begin with amssim quantize SRC out"),
    ("quantize model out --part 3/2", 2, "part must read I/N, such as 1/8 to 8/8, found '3/2'"),
    ("quantize model out --workers 0", 2, "workers must be a positive whole number"),
    ("report llama --output mine.json", 4, "mine.json exists already: name a new file"),
]


@pytest.fixture(scope="module")
def shared_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder, snapshot(folder)


@pytest.mark.parametrize(("line", "code", "said"), CASES, ids=[case[0] for case in CASES])
def test_bad_input_is_one_sentence_and_leaves_no_file(
    shared_files, line, code, said, monkeypatch, capsys
):
    folder, before = shared_files
    monkeypatch.chdir(folder)
    assert main(line.split()) == code
    out, err = capsys.readouterr()
    assert out == "" and said in err
    assert err.startswith("amssim: error: ") and err.count("\n") == 1 and err.endswith("\n")
    assert "Traceback" not in err and "Error:" not in err
    assert snapshot(folder) == before


def test_no_verb_is_left_out():
    tried = {line.split()[0] for line, _, _ in CASES}
    # schemes takes no input, and generate has tests where PyTorch is installed
    assert tried == {words(parser)[0] for parser in parsers()} - {"schemes", "generate"}
