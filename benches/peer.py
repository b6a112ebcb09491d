#!/usr/bin/env python3
"""Runs apr and llama.cpp alternately on the same GGUF file, and prints the ratios of their speeds as a Markdown table.

llama.cpp comes as a `llama-bench` program (--llama-bench PATH), or as its Python package, which this script installs nowhere
by itself. To have the package built for this machine's processor:

    python3 -m venv venv
    CMAKE_ARGS="-DGGML_NATIVE=ON" venv/bin/pip install --no-binary llama-cpp-python llama-cpp-python
    venv/bin/python benches/peer.py MODEL.gguf --apr target/release/apr --threads 2

A pair is one run of each, in turns who is first. Each run loads the model, warms up once and is then timed once; loading is
never timed. Prefill is one prompt of --prompt tokens, of which the last gets logits; decode is --answer tokens, each the most
likely one. (llama-bench decodes tokens of its own choice, and does not look for the most likely one.) A ratio above 1 means that
apr is faster.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

TESTS = ("prefill", "decode")


def main():
    args = arguments()
    if args.measure_package:
        print(json.dumps(measure_package(args)))
        return
    peer = llama_bench if args.llama_bench else package
    pairs = []
    for number in range(args.pairs):
        first, second = (apr, peer) if number % 2 == 0 else (peer, apr)
        speeds = {first: first(args), second: second(args)}
        pairs.append((speeds[apr], speeds[peer]))
        print(f"pair {number + 1} of {args.pairs}: apr {shown(speeds[apr])}; peer {shown(speeds[peer])}", file=sys.stderr)
    print(table(args, pairs))


def arguments():
    parser = argparse.ArgumentParser(description="Compare the speed of apr with that of llama.cpp, in pairs of runs.")
    parser.add_argument("model", help="a .gguf file")
    parser.add_argument("--apr", default="apr", help="the program apr")
    parser.add_argument("--llama-bench", help="the program llama-bench; without it, the Python package llama_cpp is used")
    parser.add_argument("--pairs", type=positive, default=5, help="how many runs of each (5)")
    parser.add_argument("--threads", "-t", type=positive, default=os.cpu_count(), help="threads of both (all processors)")
    parser.add_argument("--prompt", "-p", type=positive, default=512, help="tokens of the prompt (512)")
    parser.add_argument("--answer", "-n", type=positive, default=128, help="tokens of the answer (128)")
    parser.add_argument("--depth", "-d", type=int, default=0, help="tokens in the KV cache before each measurement (0)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where both run (cpu)")
    parser.add_argument("--measure-package", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def sizes(args):
    return ["-p", str(args.prompt), "-n", str(args.answer), "-d", str(args.depth), "-r", "1"]


def apr(args):
    """One run of apr: tokens a second of each test."""
    # Whether its answers are right is not asked here.
    command = [args.apr, "bench", args.model, "--device", args.device, "--threads", str(args.threads), "--json"]
    command += ["--verify", "0"]
    report = json.loads(output(command + sizes(args)))
    return {test: report[test]["median"] for test in TESTS}


def llama_bench(args):
    """One run of llama-bench."""
    layers = "0" if args.device == "cpu" else "999"
    command = [args.llama_bench, "-m", args.model, "-t", str(args.threads), "-ngl", layers, "-o", "json"]
    rows = json.loads(output(command + sizes(args)))
    speeds = {"decode" if row["n_gen"] else "prefill": row["avg_ts"] for row in rows}
    return {test: speeds[test] for test in TESTS}


def package(args):
    """One run of the Python package, in a process of its own, so that each run loads the model anew as the others do."""
    return json.loads(output([sys.executable, __file__, "--measure-package"] + sys.argv[1:]))


def output(command):
    """What a program writes to standard output; what it says besides is shown only where it fails."""
    try:
        run = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        sys.exit(f"error: cannot run {command[0]}: {error}")
    if run.returncode != 0:
        sys.exit(f"error: {' '.join(command)} ended with {run.returncode}:\n{run.stderr}")
    return run.stdout


def measure_package(args):
    """Times the package in this process."""
    try:
        import ctypes

        import llama_cpp as llama
        import numpy
    except ImportError as error:
        sys.exit(f"error: {error}\n  help: see the head of {__file__} for how to install it, or use --llama-bench")
    callback = llama.llama_log_callback(lambda level, text, data: None)
    llama.llama_log_set(callback, ctypes.c_void_p(0))
    llama.llama_backend_init()
    params = llama.llama_model_default_params()
    params.n_gpu_layers = 0 if args.device == "cpu" else 999
    model = llama.llama_model_load_from_file(args.model.encode(), params)
    if not model:
        sys.exit(f"error: llama.cpp cannot load {args.model}")
    params = llama.llama_context_default_params()
    params.n_ctx = args.depth + max(args.prompt, args.answer)
    params.n_batch = max(args.prompt, args.depth, 1)
    params.n_ubatch = min(params.n_batch, 512)
    params.n_threads = params.n_threads_batch = args.threads
    context = llama.llama_init_from_model(model, params)
    if not context:
        sys.exit("error: llama.cpp has no memory for the context")
    vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))

    def feed(tokens):
        array = (llama.llama_token * len(tokens))(*tokens)
        if llama.llama_decode(context, llama.llama_batch_get_one(array, len(tokens))) != 0:
            sys.exit("error: llama.cpp failed in llama_decode")
        llama.llama_synchronize(context)

    def best():
        logits = llama.llama_get_logits_ith(context, -1)
        return int(numpy.ctypeslib.as_array(logits, (vocabulary,)).argmax())

    def begin():
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        if args.depth:
            feed([number * 7919 % vocabulary for number in range(args.depth)])

    def prefill():
        feed([number * 7919 % vocabulary for number in range(args.prompt)])

    def decode():
        token = 0
        for _ in range(args.answer):
            feed([token])
            token = best()

    speeds = {}
    for test, tokens, work in zip(TESTS, (args.prompt, args.answer), (prefill, decode)):
        for _ in range(2):  # The first time does not count.
            begin()
            start = time.perf_counter()
            work()
            speeds[test] = tokens / (time.perf_counter() - start)
    return speeds


def shown(speeds):
    return ", ".join(f"{test} {speeds[test]:.2f} tokens/s" for test in TESTS)


def table(args, pairs):
    lines = [
        f"{os.path.basename(args.model)}, {args.device}, {args.threads} threads, {len(pairs)} pairs:",
        "",
        "| test | apr, tokens/s | llama.cpp, tokens/s | ratio, median | lowest | highest |",
        "|---|---|---|---|---|---|",
    ]
    for test, tokens in zip(TESTS, (args.prompt, args.answer)):
        ours, theirs = ([pair[side][test] for pair in pairs] for side in (0, 1))
        ratios = [our / their for our, their in zip(ours, theirs)]
        at = f" at {args.depth}" if args.depth else ""
        median = statistics.median
        lines.append(
            f"| {test} {tokens}{at} | {median(ours):.2f} | {median(theirs):.2f} "
            f"| {median(ratios):.3f} | {min(ratios):.3f} | {max(ratios):.3f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
