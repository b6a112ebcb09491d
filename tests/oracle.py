#!/usr/bin/env python3
"""Makes the oracle of a synthetic model: the logits of llama.cpp and of a forward pass in float64, for tests/tests/oracle.rs.

    apr synth tiny-phi3 tiny-phi3.gguf --seed 7
    python tests/oracle.py tiny-phi3.gguf tests/data

writes NAME.tokens, NAME.llama.f32 and NAME.truth.f32 into the folder (little-endian f32, [tokens, vocabulary]). The model itself is not
kept: a seed means the same file everywhere, so the tests write it again. Needs numpy, gguf (which reads the file and dequantizes its
weights) and llama-cpp-python. llama.cpp is fed a token at a time, on the CPU.
"""
import ctypes
import sys
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

TOKENS = 300


class Model:
    """A file's metadata, and its weights in float64."""

    def __init__(self, path):
        self.reader = gguf.GGUFReader(path)
        self.architecture = self.value("general.architecture")
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}

    def value(self, key, default=None):
        field = self.reader.get_field(key)
        return default if field is None else field.contents()

    def own(self, key, default=None):
        return self.value(f"{self.architecture}.{key}", default)

    def weight(self, name):
        tensor = self.tensors.get(f"{name}.weight")
        if tensor is None:
            return None
        return gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def rotate(x, frequencies, amplitude):
    """Pairs (i, i + n) of the first 2n elements of each head of x[token, head], for n frequencies."""
    n = len(frequencies)
    angles = np.arange(len(x))[:, None, None] * frequencies
    cos, sin = amplitude * np.cos(angles), amplitude * np.sin(angles)
    a, b = x[..., :n], x[..., n : 2 * n]
    return np.concatenate([a * cos - b * sin, a * sin + b * cos, x[..., 2 * n :]], -1)


def attention(q, k, v, scale, window=None):
    """Causal attention of q[token, head] to k and v, of which each serves several query heads; perhaps to the last positions only."""
    tokens, heads, size = q.shape
    k, v = (np.repeat(x, heads // x.shape[1], 1) for x in (k, v))
    scores = np.einsum("qhd,khd->hqk", q, k) * scale
    behind = np.arange(tokens)[:, None] - np.arange(tokens)[None]
    seen = (behind >= 0) & (behind < (window or tokens))
    scores = np.where(seen, scores, -np.inf)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    return np.einsum("hqk,khd->qhd", shares, v).reshape(tokens, heads * size)


def silu(x):
    return x / (1 + np.exp(-x))


def phi3(model, tokens):
    """Phi-3: Q, K and V in one tensor, gate and up in another, LongRoPE, no window of attention."""
    heads, kv_heads = model.own("attention.head_count"), model.own("attention.head_count_kv")
    size, eps = model.own("attention.key_length"), model.own("attention.layer_norm_rms_epsilon")
    rotated = model.own("rope.dimension_count")
    length = "long" if len(tokens) > model.own("rope.scaling.original_context_length") else "short"
    frequencies = model.own("rope.freq_base") ** (-np.arange(0, rotated, 2) / rotated)
    frequencies = frequencies / model.weight(f"rope_factors_{length}")
    amplitude = model.own("rope.scaling.attn_factor")
    x = model.weight("token_embd")[tokens]
    for layer in range(model.own("block_count")):
        weight = lambda role: model.weight(f"blk.{layer}.{role}")
        qkv = rms_norm(x, weight("attn_norm"), eps) @ weight("attn_qkv").T
        qkv = qkv.reshape(len(tokens), heads + 2 * kv_heads, size)
        q, k, v = np.split(qkv, [heads, heads + kv_heads], 1)
        q, k = rotate(q, frequencies, amplitude), rotate(k, frequencies, amplitude)
        x = x + attention(q, k, v, size**-0.5) @ weight("attn_output").T
        gate, up = np.split(rms_norm(x, weight("ffn_norm"), eps) @ weight("ffn_up").T, 2, 1)
        x = x + (silu(gate) * up) @ weight("ffn_down").T
    return rms_norm(x, model.weight("output_norm"), eps) @ model.weight("output").T


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gemma3(model, tokens):
    """Gemma 3: five of six layers see a window and have a rotation of their own, norms of heads and after blocks."""
    heads, kv_heads = model.own("attention.head_count"), model.own("attention.head_count_kv")
    size, eps = model.own("attention.key_length"), model.own("attention.layer_norm_rms_epsilon")
    frequencies = lambda base: base ** (-np.arange(0, size, 2) / size)
    x = model.weight("token_embd")[tokens] * np.sqrt(model.own("embedding_length"))
    for layer in range(model.own("block_count")):
        weight = lambda role: model.weight(f"blk.{layer}.{role}")
        local = layer % 6 < 5
        h = rms_norm(x, weight("attn_norm"), eps)
        q, k, v = ((h @ weight(f"attn_{role}").T).reshape(len(tokens), -1, size) for role in "qkv")
        turns = frequencies(1e4 if local else model.own("rope.freq_base"))
        q = rotate(rms_norm(q, weight("attn_q_norm"), eps), turns, 1)
        k = rotate(rms_norm(k, weight("attn_k_norm"), eps), turns, 1)
        window = model.own("attention.sliding_window") if local else None
        h = attention(q, k, v, size**-0.5, window) @ weight("attn_output").T
        x = x + rms_norm(h, weight("post_attention_norm"), eps)
        h = rms_norm(x, weight("ffn_norm"), eps)
        h = (gelu(h @ weight("ffn_gate").T) * (h @ weight("ffn_up").T)) @ weight("ffn_down").T
        x = x + rms_norm(h, weight("post_ffw_norm"), eps)
    return rms_norm(x, model.weight("output_norm"), eps) @ model.weight("token_embd").T


def llama(path, tokens):
    """llama.cpp's logits, through its C interface: the file has no tokenizer, which the Python class asks for."""
    llama_cpp.llama_backend_init()
    options = llama_cpp.llama_model_default_params()
    options.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
    options = llama_cpp.llama_context_default_params()
    options.n_ctx, options.n_batch, options.n_threads = 512, 64, 2
    context = llama_cpp.llama_init_from_model(model, options)
    vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    rows = []
    for token in tokens:
        one = (ctypes.c_int32 * 1)(token)
        if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(one, 1)) != 0:
            sys.exit("llama.cpp cannot decode")
        row = llama_cpp.llama_get_logits_ith(context, -1)
        rows.append(np.ctypeslib.as_array(row, (vocabulary,)).copy())
    return np.stack(rows)


def main():
    path, folder = Path(sys.argv[1]), Path(sys.argv[2])
    model = Model(path)
    vocabulary = model.own("vocab_size")
    tokens = [i * 37 % vocabulary for i in range(TOKENS)]
    reference = {"phi3": phi3, "gemma3": gemma3}[model.architecture]
    truth, theirs = reference(model, tokens), llama(path, tokens)
    error = np.median(((theirs - truth) ** 2).sum(1) / (truth**2).sum(1))
    print(f"{path.stem}: llama.cpp's median NMSE is {error:.3e}")
    (folder / f"{path.stem}.tokens").write_text(",".join(map(str, tokens)) + "\n")
    truth.astype("<f4").tofile(folder / f"{path.stem}.truth.f32")
    theirs.astype("<f4").tofile(folder / f"{path.stem}.llama.f32")


if __name__ == "__main__":
    main()
