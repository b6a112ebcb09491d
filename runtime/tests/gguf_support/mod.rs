//! A small valid model to break, the check that it is refused, and an allocator that counts.

// Each test file is a program of its own and uses its part of this one.
#![allow(dead_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use apr::gguf::{Fault, Gguf, Header, MetaValue, ModelError, TensorType};
use apr::model::Model;

/// A qwen2 model of two layers.
#[derive(Clone, Copy)]
pub struct Tiny {
    pub hidden: u64,
    pub heads: u32,
    pub matrix: TensorType,
    pub vector: TensorType,
}

impl Default for Tiny {
    fn default() -> Self {
        Self { hidden: 256, heads: 4, matrix: TensorType::Q4_K, vector: TensorType::F32 }
    }
}

type Tensors = Vec<(String, Vec<u64>, TensorType)>;

impl Tiny {
    fn metadata(&self) -> Vec<(&'static str, MetaValue)> {
        vec![
            ("general.architecture", "qwen2".into()),
            ("general.name", "a small model".into()),
            ("qwen2.block_count", 2u32.into()),
            ("qwen2.context_length", 128u32.into()),
            ("qwen2.embedding_length", (self.hidden as u32).into()),
            ("qwen2.feed_forward_length", 256u32.into()),
            ("qwen2.attention.head_count", self.heads.into()),
            ("qwen2.attention.head_count_kv", 1u32.into()),
            ("qwen2.attention.layer_norm_rms_epsilon", 1e-6f32.into()),
            ("qwen2.rope.freq_base", 1e6f32.into()),
        ]
    }

    fn tensors(&self) -> Tensors {
        let (h, kv, ffn, vocab) = (self.hidden, 64, 256, 32);
        let matrix = |name: &str, k, n| (name.to_owned(), vec![k, n], self.matrix);
        let vector = |name: &str, n| (name.to_owned(), vec![n], self.vector);
        let mut out = vec![matrix("token_embd.weight", h, vocab)];
        for layer in 0..2 {
            let name = |role: &str| format!("blk.{layer}.{role}");
            for role in ["attn_norm.weight", "attn_q.bias", "ffn_norm.weight"] {
                out.push(vector(&name(role), h));
            }
            for role in ["attn_k", "attn_v"] {
                out.push(matrix(&name(&format!("{role}.weight")), h, kv));
                out.push(vector(&name(&format!("{role}.bias")), kv));
            }
            for (role, k, n) in [("attn_q", h, h), ("attn_output", h, h), ("ffn_gate", h, ffn), ("ffn_up", h, ffn)] {
                out.push(matrix(&name(&format!("{role}.weight")), k, n));
            }
            out.push(matrix(&name("ffn_down.weight"), ffn, h));
        }
        out.push(vector("output_norm.weight", h));
        out.push(matrix("output.weight", h, vocab));
        out
    }

    fn header(metadata: Vec<(&str, MetaValue)>, tensors: Tensors) -> Header {
        let mut header = Header::new();
        for (key, value) in metadata {
            header.set(key, value);
        }
        for (name, dims, ty) in tensors {
            header.tensor(&name, &dims, ty);
        }
        header
    }

    /// The file of a header, with zeros for data.
    pub fn bytes(&self, header: &Header) -> Vec<u8> {
        let zeros: Vec<Vec<u8>> = header.tensors().iter().map(|t| vec![0; t.bytes().unwrap() as usize]).collect();
        header.to_bytes(zeros.iter().map(Vec::as_slice)).unwrap()
    }

    /// The file of this model.
    pub fn file(&self) -> Vec<u8> {
        self.bytes(&Self::header(self.metadata(), self.tensors()))
    }

    /// The file with a key's value replaced, added, or left out.
    pub fn with(&self, key: &str, value: Option<MetaValue>) -> Vec<u8> {
        let mut metadata: Vec<(&str, MetaValue)> = self.metadata();
        metadata.retain(|(own, _)| *own != key);
        metadata.extend(value.map(|value| (key, value)));
        self.bytes(&Self::header(metadata, self.tensors()))
    }

    /// The file without a tensor.
    pub fn without(&self, name: &str) -> Vec<u8> {
        let mut tensors = self.tensors();
        tensors.retain(|(own, ..)| own != name);
        self.bytes(&Self::header(self.metadata(), tensors))
    }

    /// Where a tensor's data begin in the file.
    pub fn data_start(&self, name: &str) -> usize {
        let file = self.file();
        // The bytes from the start of a tensor on, found from the end of the file.
        let gguf = Gguf::from_bytes(file.clone()).unwrap();
        let padded = |bytes: usize| bytes.next_multiple_of(32);
        let after: usize = gguf.tensors().skip_while(|t| t.name != name).map(|t| padded(t.data.len())).sum();
        file.len() - after
    }
}

/// The header of the default model.
pub fn sample() -> Header {
    let tiny = Tiny::default();
    Tiny::header(tiny.metadata(), tiny.tensors())
}

/// The file of the default model.
pub fn sample_bytes() -> Vec<u8> {
    Tiny::default().file()
}

/// Opens the bytes as `apr` does and checks that the error names what is at fault.
#[track_caller]
pub fn refused(bytes: Vec<u8>, fault: Fault, named: &str) {
    match load(&bytes) {
        Ok(()) => panic!("the file was taken"),
        Err(err) => {
            assert_eq!(err.fault(), fault, "{err}");
            assert!(err.message().contains(named), "`{named}` is not in: {err}");
            assert!(!err.to_string().chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}

/// Everything that is done with a file before it runs, within an allocation that the file's size justifies.
pub fn load(bytes: &[u8]) -> Result<(), ModelError> {
    let copy = bytes.to_vec();
    let (result, peak) = measured(|| {
        let gguf = Gguf::from_bytes(copy)?;
        let metadata = gguf.metadata();
        for (key, _) in metadata.iter() {
            // Any key may be asked for in any type; only the absence of a panic matters here.
            let _ = (metadata.opt_strings(key), metadata.opt_f32s(key), metadata.opt_i32s(key));
            let _ = (metadata.opt_str(key), metadata.opt_u64(key), metadata.opt_f32(key), metadata.opt_bool(key));
        }
        Model::load(&gguf)?.check_values(1)
    });
    assert!(peak <= 5 * bytes.len() + (16 << 10), "{peak} bytes allocated for a file of {}", bytes.len());
    result
}

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Counts the bytes each thread holds.
struct Counting;

fn count(change: isize) {
    // A thread that is ending has no counters any more, and is not measured.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + change);
        PEAK.with(|peak| peak.set(peak.get().max(now.get())));
    });
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's own conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's own conditions.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `f` and returns the most bytes that this thread held meanwhile, beyond those it held before.
pub fn measured<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    PEAK.set(before);
    let result = f();
    (result, (PEAK.get() - before) as usize)
}
