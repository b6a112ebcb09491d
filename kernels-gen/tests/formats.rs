//! The declarations of the formats against the world: the weights of a block as the public gguf package gives them, and what
//! quantized activations cost against those that llama.cpp multiplies such weights with.
use kgen::ir::{Kernel, interp};
use kgen::library::Library;
use kgen::random::Random;
use std::collections::BTreeSet;
use std::path::Path;

/// For each format the sums over the elements of a block, by gguf 0.19's `quants.dequantize`: of each times its number from 1,
/// and of the squares. Byte i of the block is 29 i^2 + 73 i + 41 modulo 256, its scale 0.5, and that of its minimum 0.25.
const EXPECTED: [(&str, f64, f64); 12] = [
    ("iq4nl", -426.0, 45588.0),
    ("iq4xs", 3326760.5, 126745889.75),
    ("q2k", 117830.5, 17731.25),
    ("q3k", 81115.0, 123835.5),
    ("q40", -28.0, 207.0),
    ("q41", 2489.5, 823.5),
    ("q4k", 4544332.0, 8506182.0),
    ("q50", 81.0, 674.5),
    ("q51", 4954.5, 3378.0),
    ("q5k", 10292924.0, 39056394.0),
    ("q6k", 877504.0, 93033016.0),
    ("q80", 1664.0, 30696.0),
];

fn library() -> Library {
    Library::open(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_or_else(|e| panic!("{e}"))
}

/// What a kernel writes, of the inputs in order and `written` bytes for the last buffer.
fn run(kernel: &Kernel, ints: &[i32], inputs: &[&[u8]], written: usize) -> Vec<u8> {
    let mut buffers: Vec<Vec<u8>> = inputs.iter().map(|input| input.to_vec()).collect();
    buffers.push(vec![0; written]);
    interp::run(kernel, ints, &[], &mut buffers).unwrap_or_else(|e| panic!("{}: {e}", kernel.name));
    buffers.pop().expect("pushed above")
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// A weight's format: its kernels, and of its blocks the bytes, the elements and the places of scales.
struct Format<'l> {
    matvec: &'l Kernel,
    embed: &'l Kernel,
    bytes: usize,
    elements: usize,
    scales: Vec<usize>,
}

impl Format<'_> {
    fn of<'l>(library: &'l Library, name: &str) -> Format<'l> {
        let kernel = |kind: &str| library.kernel(&format!("{kind}_{name}")).unwrap_or_else(|e| panic!("{e}"));
        let (matvec, embed) = (kernel("matvec"), kernel("embed"));
        let block = &embed.buffers[0];
        let halves = block.fields.iter().filter(|field| field.scalar == kgen::ir::Scalar::F16);
        let scales = halves.map(|field| field.offset).collect();
        Format { matvec, embed, bytes: block.elem_bytes, elements: block.elements, scales }
    }

    /// The weights of some blocks.
    fn weights(&self, blocks: &[u8]) -> Vec<f32> {
        let count = blocks.len() / self.bytes;
        let ints = [1, 1, count as i32];
        floats(&run(self.embed, &ints, &[blocks, &0i32.to_le_bytes()], 4 * count * self.elements))
    }
}

#[test]
fn weights_are_those_of_the_gguf_package() {
    let library = library();
    let products = library.kernels.iter().filter_map(|kernel| kernel.name.strip_prefix("matvec_"));
    let products: BTreeSet<&str> = products.filter(|name| !name.starts_with("float_")).collect();
    assert_eq!(products, EXPECTED.iter().map(|(name, ..)| *name).collect(), "every format is compared");
    for (name, numbered, squares) in EXPECTED {
        let format = Format::of(&library, name);
        let mut block: Vec<u8> = (0..format.bytes).map(|i| (29 * i * i + 73 * i + 41) as u8).collect();
        for (at, scale) in format.scales.iter().zip([0.5, 0.25]) {
            block[*at..at + 2].copy_from_slice(&half::f16::from_f32(scale).to_le_bytes());
        }
        let weights: Vec<f64> = format.weights(&block).into_iter().map(f64::from).collect();
        let all = weights.iter().enumerate().map(|(i, w)| (i + 1) as f64 * w).sum::<f64>();
        assert_eq!((all, weights.iter().map(|w| w * w).sum::<f64>()), (numbered, squares), "{name}");
    }
}

/// Activations as llama.cpp has them for weights in blocks of 32 (a half for a scale) or of 256 elements.
fn rounded(x: &[f32], block: usize) -> Vec<f64> {
    let of_block = |x: &[f32]| -> Vec<f64> {
        let amax = x.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let d = amax / 127.0;
        let stored = if block == 32 { half::f16::from_f32(d).to_f64() } else { f64::from(d) };
        x.iter().map(|x| f64::from((x / d).round()) * stored).collect()
    };
    x.chunks(block).flat_map(of_block).collect()
}

#[test]
fn activations_cost_no_more_than_those_of_llama_cpp() {
    const ROW: usize = 1024;
    const ROWS: usize = 48;
    let library = library();
    for (name, ..) in EXPECTED {
        let (format, mut random) = (Format::of(&library, name), Random::new(7));
        let blocks = ROW / format.elements;
        let mut weights: Vec<u8> = (0..ROWS * blocks * format.bytes).map(|_| random.bits() as u8).collect();
        for block in weights.chunks_mut(format.bytes) {
            let scale = half::f16::from_f32(0.001 + random.below(100) as f32 * 1e-5).to_le_bytes();
            format.scales.iter().for_each(|at| block[*at..at + 2].copy_from_slice(&scale));
        }
        let x: Vec<f32> = (0..ROW).map(|_| (0..12).map(|_| random.below(1000) as f32 - 499.5).sum::<f32>()).collect();
        let x_bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
        let stored = &format.matvec.buffers[1];
        let quantize = format!("quantize_{}", stored.elem.to_lowercase());
        let quantize = library.kernel(&quantize).unwrap_or_else(|e| panic!("{e}"));
        let count = ROW / stored.elements;
        let quantized = run(quantize, &[1, count as i32], &[&x_bytes], count * stored.elem_bytes);
        let ints = [1, ROWS as i32, blocks as i32];
        let ours = floats(&run(format.matvec, &ints, &[&weights, &quantized], 4 * ROWS));
        let theirs = rounded(&x, stored.elements);
        let (mut own_error, mut their_error, mut size) = (0.0, 0.0, 0.0);
        for (row, own) in weights.chunks(blocks * format.bytes).zip(ours) {
            let row = format.weights(row);
            let dot = |x: &mut dyn Iterator<Item = f64>| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
            let truth = dot(&mut x.iter().map(|x| f64::from(*x)));
            own_error += (f64::from(own) - truth).powi(2);
            their_error += (dot(&mut theirs.iter().copied()) - truth).powi(2);
            size += truth * truth;
        }
        assert!(own_error <= 1.1 * their_error, "{name}: {:e}, llama.cpp's {:e}", own_error / size, their_error / size);
        assert!(own_error < 1e-3 * size && own_error > 0.0, "{name}: {:e}", own_error / size);
    }
}
