//! Candidates on this processor: emitted as Rust, compiled by `rustc` into a library, and called by one thread.
use super::cases::{BEFORE, Inputs, packed};
use super::device::{Candidate, Device};
use crate::cpu::{self, Isa};
use crate::ir::Kernel;
use crate::loop_ir::Func;
use libloading::Library;
use std::cell::RefCell;
use std::fmt::Write;
use std::process::Command;
use std::rc::Rc;
use std::time::Instant;
use std::{env, fs};

/// Bytes that inputs take together, so that no cache has those of one call when they are read again.
const FAR_APART: usize = 256 << 20;
/// Inputs of fewer bytes are there once.
const SMALL: usize = 64 << 10;
/// The most copies of inputs.
const MOST_COPIES: usize = 512;
/// A measurement takes at least as many seconds, and all together no more than that, but for the least number of them.
const LEAST_SECONDS: f64 = 1e-3;
const MOST_SECONDS: f64 = 0.3;
const SAMPLES: usize = 11;
const LEAST_SAMPLES: usize = 3;

/// An instruction set of this processor, with the compiler.
pub struct Cpu {
    isa: Isa,
    name: String,
    rustc: String,
    version: String,
    read_rate: f64,
}

type Call = unsafe extern "C" fn(*const *mut u8, usize, *const i32, usize, *const f32, usize, i32, i32);

/// A compiled function.
pub struct Code {
    call: Call,
    func: Func,
    /// Has the function.
    _library: Rc<Library>,
}

/// Inputs, and room for what is written.
pub struct Placed {
    ints: Vec<i32>,
    floats: Vec<f32>,
    written: Vec<bool>,
    buffers: RefCell<Vec<Guarded>>,
    /// The buffers that are there several times, and these.
    large: Vec<usize>,
    copies: RefCell<Vec<Vec<Guarded>>>,
}

/// Bytes between others that nothing may write.
struct Guarded {
    bytes: Vec<u8>,
    at: usize,
    len: usize,
}

/// Bytes of a guard, and what the buffer's address is a multiple of.
const GUARD: usize = 64;
const BETWEEN: u8 = 0x5c;

impl Guarded {
    fn new(data: &[u8]) -> Guarded {
        let mut bytes = vec![BETWEEN; data.len() + 3 * GUARD];
        let at = GUARD + bytes.as_ptr().align_offset(GUARD).min(GUARD);
        bytes[at..at + data.len()].copy_from_slice(data);
        Guarded { bytes, at, len: data.len() }
    }

    fn data(&mut self) -> &mut [u8] {
        &mut self.bytes[self.at..self.at + self.len]
    }

    fn intact(&self) -> bool {
        let end = self.at + self.len;
        self.bytes[..self.at].iter().chain(&self.bytes[end..]).all(|byte| *byte == BETWEEN)
    }
}

impl Cpu {
    /// This processor with an instruction set that it has; the read rate of a thread is measured.
    pub fn open(isa: Isa) -> Result<Cpu, String> {
        if !isa.available() {
            return Err(format!("this processor has no {isa}: it lacks {}", isa.missing().join(", ")));
        }
        let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        let output = Command::new(&rustc).arg("--version").output();
        let version = match output {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_string(),
            _ => {
                let help = "install Rust, or name the compiler by RUSTC";
                return Err(format!("{rustc} cannot be run, which compiles candidates for a CPU\n  help: {help}"));
            }
        };
        Ok(Cpu { isa, name: format!("{isa} of {}", processor()), rustc, version, read_rate: read_rate() })
    }

    /// One library with all functions, under the names that [`symbol`] gives.
    fn library(&self, funcs: &[Func]) -> Result<Library, String> {
        let module = cpu::module(funcs, self.isa).map_err(|e| e.to_string())?;
        let mut text = module.to_string();
        for (number, func) in funcs.iter().enumerate() {
            let (symbol, isa, name) = (symbol(number), self.isa, &func.name);
            // Writing to a string cannot fail.
            let _ = write!(text, "{}", wrapper(&symbol, &format!("{isa}::{name}")));
        }
        let failed = |e: std::io::Error| format!("compiling candidates: {e}");
        let folder = tempfile::tempdir().map_err(failed)?;
        let (source, library) = (folder.path().join("candidates.rs"), folder.path().join("candidates.so"));
        fs::write(&source, text).map_err(failed)?;
        let args = ["-C", "opt-level=3", "-C", "panic=abort", "--edition", "2024", "--crate-type", "cdylib", "-o"];
        let output = Command::new(&self.rustc).args(args).arg(&library).arg(&source).output().map_err(failed)?;
        if !output.status.success() {
            let log = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{} refuses the code:\n{log}", self.rustc));
        }
        // SAFETY: a library of functions alone, with no code that runs when it is loaded. The file may be deleted meanwhile.
        unsafe { Library::new(&library) }.map_err(|e| e.to_string())
    }
}

fn symbol(number: usize) -> String {
    format!("candidate_{number}")
}

/// A function that other programs can call.
fn wrapper(symbol: &str, function: &str) -> String {
    format!(
        "#[unsafe(no_mangle)] pub unsafe extern \"C\" fn {symbol}(bufs: *const *mut u8, n: usize, ints: *const i32, \
         n_ints: usize, floats: *const f32, n_floats: usize, lo: i32, hi: i32) {{ use std::slice::from_raw_parts; \
         unsafe {{ {function}(from_raw_parts(bufs, n), from_raw_parts(ints, n_ints), from_raw_parts(floats, n_floats), \
         lo, hi) }} }}\n"
    )
}

/// What the system calls the processor.
fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| env::consts::ARCH.to_string(), |(_, name)| name.trim().to_string())
}

/// Bytes a second of a thread that adds up numbers of memory, the best of some times.
fn read_rate() -> f64 {
    let numbers = vec![1u64; FAR_APART / 8];
    let mut best = 0f64;
    for _ in 0..4 {
        let start = Instant::now();
        let sum = std::hint::black_box(&numbers).iter().fold(0u64, |sum, n| sum.wrapping_add(*n));
        std::hint::black_box(sum);
        best = best.max(FAR_APART as f64 / start.elapsed().as_secs_f64());
    }
    best
}

impl Placed {
    /// Calls a function for all work items, with the large inputs of a copy where there is one.
    fn call(&self, code: &Code, copy: usize) -> Result<(), String> {
        let work = code.func.work_items(&self.ints).ok_or("the number of work items is no i32")?;
        let (mut buffers, mut copies) = (self.buffers.borrow_mut(), self.copies.borrow_mut());
        let mut pointers: Vec<*mut u8> = buffers.iter_mut().map(|b| b.data().as_mut_ptr()).collect();
        if let Some(copy) = copies.get_mut(copy) {
            self.large.iter().zip(copy).for_each(|(i, bytes)| pointers[*i] = bytes.data().as_mut_ptr());
        }
        let (p, i, f) = (&pointers, &self.ints, &self.floats);
        // SAFETY: the buffers are as long as the kernel needs them at these sizes, apart from each other, and borrowed alone; the
        // processor has the instructions; the conditions on the sizes hold, as the interpreter has found.
        unsafe { (code.call)(p.as_ptr(), p.len(), i.as_ptr(), i.len(), f.as_ptr(), f.len(), 0, work) };
        Ok(())
    }

    fn seconds(&self, code: &Code, from: usize, calls: usize) -> Result<f64, String> {
        let copies = self.copies.borrow().len().max(1);
        let start = Instant::now();
        (from..from + calls).try_for_each(|i| self.call(code, i % copies))?;
        Ok(start.elapsed().as_secs_f64())
    }
}

impl Device for Cpu {
    type Code = Code;
    type Placed = Placed;

    fn names(&self) -> (&str, &str) {
        (&self.name, &self.version)
    }

    fn read_rate(&self) -> f64 {
        self.read_rate
    }

    fn compile(&self, _: &Kernel, candidates: &[&Candidate]) -> Vec<Result<Code, String>> {
        if candidates.is_empty() {
            return Vec::new();
        }
        let named = |(i, c): (usize, &&Candidate)| Func { name: format!("{}_{i}", c.func.name), ..c.func.clone() };
        let funcs: Vec<Func> = candidates.iter().enumerate().map(named).collect();
        let library = match self.library(&funcs) {
            Ok(library) => Rc::new(library),
            Err(reason) => return candidates.iter().map(|_| Err(reason.clone())).collect(),
        };
        let code = |(number, func): (usize, Func)| {
            // SAFETY: the type is that of the wrapper.
            let call = unsafe { library.get::<Call>(symbol(number).as_bytes()) }.map_err(|e| e.to_string())?;
            Ok(Code { call: *call, func, _library: library.clone() })
        };
        funcs.into_iter().enumerate().map(code).collect()
    }

    fn place(&self, kernel: &Kernel, func: &Func, inputs: &Inputs, to_time: bool) -> Result<Placed, String> {
        let buffers = packed(func, inputs);
        let written: Vec<bool> = kernel.buffers.iter().map(|b| b.written).collect();
        let is_large = |i: &usize| !written[*i] && buffers[*i].len() >= SMALL;
        let large: Vec<usize> = (0..buffers.len()).filter(is_large).filter(|_| to_time).collect();
        let bytes: usize = large.iter().map(|i| buffers[*i].len()).sum();
        let count = if bytes == 0 { 0 } else { FAR_APART.div_ceil(bytes).min(MOST_COPIES) };
        let copies = (0..count).map(|_| large.iter().map(|i| Guarded::new(&buffers[*i])).collect()).collect();
        Ok(Placed {
            ints: inputs.ints.clone(),
            floats: inputs.floats.clone(),
            written,
            buffers: RefCell::new(buffers.iter().map(|b| Guarded::new(b)).collect()),
            large,
            copies: RefCell::new(copies),
        })
    }

    fn run(&self, code: &Code, placed: &Placed) -> Result<Vec<Vec<u8>>, String> {
        let fresh = |(bytes, written): (&mut Guarded, &bool)| {
            if *written {
                bytes.data().fill(BEFORE);
            }
        };
        placed.buffers.borrow_mut().iter_mut().zip(&placed.written).for_each(fresh);
        placed.call(code, usize::MAX)?;
        let mut buffers = placed.buffers.borrow_mut();
        if let Some(broken) = buffers.iter().position(|b| !b.intact()) {
            return Err(format!("something was written around buffer {broken}"));
        }
        let out = |(bytes, written): (&mut Guarded, &bool)| if *written { bytes.data().to_vec() } else { Vec::new() };
        Ok(buffers.iter_mut().zip(&placed.written).map(out).collect())
    }

    fn samples(&self, code: &Code, placed: &Placed) -> Result<Vec<f64>, String> {
        let once = placed.seconds(code, 0, 1)?.max(1e-9);
        let calls = ((LEAST_SECONDS / once).ceil() as usize).clamp(1, 1 << 16);
        let (mut samples, start) = (Vec::new(), Instant::now());
        while samples.len() < LEAST_SAMPLES || samples.len() < SAMPLES && start.elapsed().as_secs_f64() < MOST_SECONDS {
            samples.push(placed.seconds(code, samples.len() * calls, calls)? / calls as f64);
        }
        Ok(samples)
    }
}
