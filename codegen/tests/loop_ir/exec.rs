//! Compiled code against the interpreter, bit for bit, on every instruction set of this machine.
use crate::compiled::{self, Call};
use crate::kernels;
use crate::operations::{self, INPUTS};
use kgen::cpu::Isa;
use kgen::cpu::operations::{find, rows};
use kgen::loop_ir::{Func, Ty, interp, print};
use kgen::random::Random;

/// A function, what it is run on, and where.
struct Case {
    isa: Isa,
    func: Func,
    /// The parameter `n`.
    items: i32,
    buffers: Vec<Vec<u8>>,
}

/// Random numbers, with a liking for the corners of `f32`.
struct Inputs(Random);

impl Inputs {
    fn new(seed: u64) -> Inputs {
        Inputs(Random::new(seed))
    }

    fn next(&mut self) -> u32 {
        (self.0.bits() >> 32) as u32
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn float(&mut self) -> u32 {
        const CORNERS: [u32; 16] = [
            0x0000_0000,
            0x8000_0000,
            0x0000_0001,
            0x8000_0001,
            0x007f_ffff,
            0x0080_0000,
            0x3f00_0000,
            0xbfc0_0000,
            0x4eff_ffff,
            0x4f00_0000,
            0xcf00_0000,
            0x7f7f_ffff,
            0x7f80_0000,
            0xff80_0000,
            0x7fc0_0000,
            0xff81_2345,
        ];
        match self.next() % 4 {
            0 => CORNERS[self.next() as usize % 16],
            1 => self.next(),
            2 => ((self.next() % 2000) as f32 / 8.0 - 125.0).to_bits(),
            _ => (self.next() as i32 as f32 * 1e-9).to_bits(),
        }
    }

    fn input(&mut self, name: &str, ty: Ty) -> u32 {
        match (name, ty) {
            (_, Ty::F32) => self.float(),
            ("bits", _) => self.next(),
            (_, Ty::I32) => ((self.next() % (1 << 15)) as i32 - (1 << 14)) as u32,
            (_, Ty::U8x4) => self.next() & 0x3f3f_3f3f,
            _ => u32::from_le_bytes(self.next().to_le_bytes().map(|b| (b % 64).wrapping_sub(32))),
        }
    }
}

fn words(count: usize, mut f: impl FnMut(usize) -> u32) -> Vec<u8> {
    (0..count).flat_map(|i| f(i).to_le_bytes()).collect()
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        let widths = [1, 4, 8, 16].into_iter().filter(|w| isa.supports_width(*w).is_ok());
        for width in widths {
            for unit in ["dot4_scalar", "dot4_maddubs", "dot4_vpdpbusd"] {
                let fits = (unit == "dot4_scalar") == (width == 1) && isa.supports_call(unit, width).is_ok();
                if fits {
                    cases.extend([
                        arithmetic(isa, width, unit, false),
                        arithmetic(isa, width, unit, true),
                        dot(isa, width, unit),
                    ]);
                }
            }
            cases.extend([
                pairs(isa, width),
                copies(isa, width),
                halves(isa, width),
                add(isa, width),
                tree(isa, width),
            ]);
        }
        cases.push(Case { isa, func: kernels::control(), items: 40, buffers: vec![vec![0; 160]] });
    }
    cases
}

fn arithmetic(isa: Isa, width: usize, unit: &'static str, mixed: bool) -> Case {
    let mut random = Inputs::new(width as u64);
    let func = operations::arithmetic(width, unit, mixed);
    let items = 4096 / width;
    let mut buffers: Vec<Vec<u8>> = INPUTS.map(|(name, ty)| words(4096, |_| random.input(name, ty))).into();
    buffers.extend([vec![0; 4 * 4096 * operations::slots(&func)], vec![0; 4 * 4096 * operations::slots(&func)]]);
    Case { isa, func, items: items as i32, buffers }
}

fn pairs(isa: Isa, width: usize) -> Case {
    let mut random = Inputs::new(8);
    let buffers = vec![random.bytes(100 * 12 * width), vec![0; 100 * 4 * width]];
    Case { isa, func: operations::pairs(width), items: 100, buffers }
}

fn copies(isa: Isa, width: usize) -> Case {
    let mut random = Inputs::new(7);
    let items = 64;
    let sizes = operations::SCALARS.map(|s| 3 * width * items * s.bytes());
    let mut buffers: Vec<Vec<u8>> = sizes.map(|size| random.bytes(size)).into();
    buffers.extend(sizes.iter().chain(&sizes).map(|size| vec![0; *size]));
    Case { isa, func: operations::copies(width), items: items as i32, buffers }
}

/// Around every value halfway between two binary16 numbers, where rounding decides, and random ones; every half.
fn halves(isa: Isa, width: usize) -> Case {
    let mut random = Inputs::new(9);
    let x = words(6 * 65536, |i| {
        let x = half::f16::from_bits((i / 6) as u16).to_f32().to_bits();
        [x, x + 0xfff, x + 0x1000, x + 0x1001, random.next(), random.float()][i % 6]
    });
    let h: Vec<u8> = (0..6 * 65536).flat_map(|i| (i as u16).to_le_bytes()).collect();
    let (narrow, wide) = (vec![0; h.len()], vec![0; x.len()]);
    let items = (x.len() / 4 / width) as i32;
    let buffers = vec![x, h, narrow.clone(), wide.clone(), narrow, wide];
    Case { isa, func: operations::halves(width), items, buffers }
}

fn add(isa: Isa, width: usize) -> Case {
    let mut random = Inputs::new(3);
    let buffers = vec![words(1003, |_| random.float()), words(1003, |_| random.float()), vec![0; 4012]];
    Case { isa, func: kernels::add(width), items: 1003, buffers }
}

fn dot(isa: Isa, width: usize, unit: &'static str) -> Case {
    let mut random = Inputs::new(5);
    let buffers = vec![random.bytes(100 * kernels::ROW / 2), random.bytes(100 * kernels::ROW), vec![0; 400]];
    Case { isa, func: kernels::dot(width, unit), items: 100, buffers }
}

fn tree(isa: Isa, width: usize) -> Case {
    let mut random = Inputs::new(6);
    Case { isa, func: kernels::tree(width), items: 300, buffers: vec![random.bytes(300 * 128), vec![0; 600]] }
}

impl Case {
    /// The part of the work to run.
    fn part(&self) -> (i32, i32) {
        if self.func.name == "add" { (0, 1) } else { (0, self.items) }
    }
}

/// The calls of all cases.
fn calls(cases: &[Case]) -> Vec<Call> {
    let call = |case: &Case| Call {
        isa: case.isa,
        func: case.func.clone(),
        ints: vec![case.items],
        floats: Vec::new(),
        part: case.part(),
        buffers: case.buffers.clone(),
    };
    cases.iter().map(call).collect()
}

#[test]
fn compiled_code_gives_the_interpreters_bits() {
    let cases = cases();
    let calls = calls(&cases);
    let outputs = compiled::run(&compiled::program(&calls), &calls);
    for (case, output) in cases.iter().zip(outputs) {
        let (lo, hi) = case.part();
        let mut expected = case.buffers.clone();
        let what = format!("{} on {} with {} lanes", case.func.name, case.isa, case.func.width);
        interp::run(&case.func, &[case.items], &[], &mut expected, lo, hi).unwrap_or_else(|f| panic!("{what}: {f}"));
        assert_ne!(expected, case.buffers, "{what} computes nothing");
        for (k, (got, wanted)) in output.iter().zip(&expected).enumerate() {
            if let Some(at) = (0..got.len()).find(|i| got[*i] != wanted[*i]) {
                let word = at / 4 * 4..(at / 4 * 4 + 4).min(got.len());
                let (got, wanted) = (&got[word.clone()], &wanted[word]);
                let buffer = &case.func.buffers[k].name;
                panic!(
                    "{what}: byte {at} of `{buffer}` is in {got:02x?}, wanted {wanted:02x?}\n{}",
                    print::func(&case.func)
                );
            }
        }
    }
}

#[test]
fn the_cases_use_every_row_of_the_table() {
    let text = compiled::program(&calls(&cases()));
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        let module = text.split("pub mod ").find(|part| part.starts_with(&isa.to_string())).unwrap();
        for (row, lanes) in rows().flat_map(|row| isa.widths().iter().map(move |lanes| (row, *lanes))) {
            let suffix = if lanes == 1 { String::new() } else { format!("x{lanes}") };
            let there = find(row.name, isa, lanes).is_some();
            let used = module.contains(&format!("fn {}{suffix}(", row.name));
            assert_eq!(there, used, "{} on {isa} with {lanes} lanes", row.name);
        }
    }
}
