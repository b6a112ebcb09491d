//! Calls of generated functions, compiled into one program by rustc and run by it.
use kgen::cpu::{self, Isa};
use kgen::loop_ir::Func;
use std::io::Write;
use std::process::{Command, Stdio};

/// A call of a function.
pub struct Call {
    pub isa: Isa,
    pub func: Func,
    pub ints: Vec<i32>,
    pub floats: Vec<f32>,
    /// The work items to run.
    pub part: (i32, i32),
    pub buffers: Vec<Vec<u8>>,
}

const MAIN: &str = r#"
use std::io::{Read, Write};
fn number(from: &mut impl Read) -> usize {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) as usize
}
fn main() {
    let (mut from, mut to) = (std::io::stdin().lock(), std::io::stdout().lock());
    for function in FUNCTIONS {
        let (lo, hi) = (number(&mut from) as i32, number(&mut from) as i32);
        let ints: Vec<i32> = (0..number(&mut from)).map(|_| number(&mut from) as i32).collect();
        let floats: Vec<f32> = (0..number(&mut from)).map(|_| f32::from_bits(number(&mut from) as u32)).collect();
        let mut buffers: Vec<Vec<u8>> = (0..number(&mut from)).map(|_| {
            let mut bytes = vec![0; number(&mut from)];
            from.read_exact(&mut bytes).unwrap();
            bytes
        }).collect();
        let pointers: Vec<*mut u8> = buffers.iter_mut().map(|b| b.as_mut_ptr()).collect();
        unsafe { function(&pointers, &ints, &floats, lo, hi) };
        for buffer in buffers {
            to.write_all(&buffer).unwrap();
        }
    }
}
"#;

/// One program with the function of every call, numbered.
pub fn program(calls: &[Call]) -> String {
    let mut text = String::new();
    let mut table = String::from("const FUNCTIONS: &[unsafe fn(&[*mut u8], &[i32], &[f32], i32, i32)] = &[\n");
    for isa in Isa::ALL {
        let mut funcs = Vec::new();
        for (k, call) in calls.iter().enumerate().filter(|(_, c)| c.isa == isa) {
            funcs.push(Func { name: format!("{}_{k}", call.func.name), ..call.func.clone() });
        }
        text += &cpu::format(cpu::module(&funcs, isa).unwrap()).unwrap();
    }
    for (k, call) in calls.iter().enumerate() {
        table += &format!("    {}::{}_{k},\n", call.isa, call.func.name);
    }
    format!("#![deny(warnings)]\n{text}{table}];\n{MAIN}")
}

/// Compiles the text of a [`program`] and runs its calls; what the buffers of each hold afterwards.
pub fn run(text: &str, calls: &[Call]) -> Vec<Vec<Vec<u8>>> {
    let folder = tempfile::tempdir().unwrap();
    let (source, binary) = (folder.path().join("calls.rs"), folder.path().join("calls"));
    std::fs::write(&source, text).unwrap();
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let args = ["-C", "opt-level=1", "-C", "overflow-checks=on", "--edition", "2024", "--crate-type", "bin", "-o"];
    let built = Command::new(rustc).args(args).arg(&binary).arg(&source).status();
    assert!(built.unwrap().success(), "the generated code does not compile without warnings");
    let mut input = Vec::new();
    for call in calls {
        let counts = [call.part.0, call.part.1, call.ints.len() as i32].into_iter().chain(call.ints.iter().copied());
        counts.for_each(|v| input.extend((v as i64).to_le_bytes()));
        let floats = [call.floats.len() as u32].into_iter().chain(call.floats.iter().map(|v| v.to_bits()));
        floats.for_each(|v| input.extend((v as u64).to_le_bytes()));
        input.extend((call.buffers.len() as u64).to_le_bytes());
        for buffer in &call.buffers {
            input.extend((buffer.len() as u64).to_le_bytes());
            input.extend(buffer);
        }
    }
    let mut child = Command::new(&binary).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    assert!(output.status.success(), "the compiled calls failed");
    let mut rest = output.stdout.as_slice();
    let mut take = |len: usize| rest.split_off(..len).unwrap().to_vec();
    calls.iter().map(|call| call.buffers.iter().map(|b| take(b.len())).collect()).collect()
}
