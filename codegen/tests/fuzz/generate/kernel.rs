//! Whole kernels: the format, the nest of parallel axes, values with names, and stores to every type of number.
use super::inputs::INPUTS;
use super::{Index, Numbers, Program, Writer};
use crate::tape::Tape;
use kgen::ir::Scalar;

/// A field: its name, its type, of what and how many numbers it is, and their range.
type Field = (&'static str, &'static str, Scalar, usize, (i64, i64));

/// The fields of the block format that kernels read.
const FIELDS: [Field; 10] = [
    ("f", "f32", Scalar::F32, 1, (0, 0)),
    ("g", "[f32; 2]", Scalar::F32, 2, (0, 0)),
    ("m", "i32<-100000, 100000>", Scalar::I32, 1, (-100_000, 100_000)),
    ("d", "f16", Scalar::F16, 1, (0, 0)),
    ("e", "bf16", Scalar::Bf16, 1, (0, 0)),
    ("v", "[u16; 8]", Scalar::U16, 8, (0, 65535)),
    ("n", "[i16; 16]", Scalar::I16, 16, (-32768, 32767)),
    ("w", "[i8<-5, 9>; 8]", Scalar::I8, 8, (-5, 9)),
    ("u", "[u8; 128]", Scalar::U8, 128, (0, 255)),
    ("s", "[i8; 128]", Scalar::I8, 128, (-128, 127)),
];

/// A block that is written, its numbers where they may not be aligned.
const WRITTEN: &str = "
#[format(elements = 64, bytes = 209)]
struct Q {
    m: u8,
    d: f32,
    h: f16,
    b: bf16,
    q: [i8; 64],
    n: [i16; 64],
    k: i32,
    w: u16,
}
";

/// The types of outputs.
const STORED: [&str; 8] = ["f32", "i32", "f16", "bf16", "i8", "u8", "i16", "u16"];

const HELPERS: &str = "
fn positive(x: f32) -> f32 {
    if x < 0.0 { -x } else { x }
}

impl B {
    fn scaled(self, i: int) -> f32 {
        self.d.f32() * self.s[i].f32()
    }
}
";

/// The format `B` with its fields in some order; most are packed so that each lies at a multiple of its number's size.
fn format(tape: &mut Tape) -> (String, Vec<Numbers>) {
    let (mut left, mut offset) = (FIELDS.to_vec(), 0);
    let (mut text, mut numbers) = (String::new(), Vec::new());
    let pad = |text: &mut String, offset: &mut usize, bytes: usize| {
        if bytes > 0 {
            *text += &format!("    z{offset}: [u8; {bytes}],\n");
            *offset += bytes;
        }
    };
    let odd = tape.rarely(6);
    while !left.is_empty() {
        let (name, ty, scalar, count, range) = left.remove(tape.below(left.len()));
        pad(&mut text, &mut offset, tape.pick(&[0, 0, 1, 2]));
        let unaligned = if odd { 0 } else { offset % scalar.bytes() };
        pad(&mut text, &mut offset, if unaligned == 0 { 0 } else { scalar.bytes() - unaligned });
        text += &format!("    {name}: {ty},\n");
        numbers.push(Numbers { offset, count, scalar, range });
        offset += count * scalar.bytes();
    }
    let bytes = if odd { offset } else { offset.next_multiple_of(4) + tape.pick(&[0, 0, 4, 16]) };
    (format!("#[format(elements = 128, bytes = {bytes})]\nstruct B {{\n{text}}}\n"), numbers)
}

/// A kernel and its outputs in the making.
struct Body<'a> {
    writer: Writer<'a>,
    outputs: Vec<String>,
    lines: String,
    /// Extents before the last of outputs.
    extents: &'static str,
}

pub(super) fn program(name: &str, tape: &mut Tape) -> Program {
    let (format, block) = format(tape);
    // The nest: one axis, two, or two of which the inner one is what lanes do.
    let nest = tape.below(4);
    let (rows, extents, heads): (_, _, &[&str]) = match nest {
        0 | 1 => ("[t]", "T", &["for t in par(T) {"]),
        _ => ("[t][r]", "T, R", &["for t in par(T) {", "for r in par(R) {"]),
    };
    let fuel = tape.pick(&[40, 20, 70, 110]);
    let writer = Writer {
        tape,
        rows,
        floats: Vec::new(),
        ints: Vec::new(),
        bools: Vec::new(),
        arrays: Vec::new(),
        index: None,
        loops: 2,
        fuel,
        names: 0,
        sides: 0,
    };
    let mut body = Body { writer, outputs: Vec::new(), lines: String::new(), extents };
    let depth = heads.len() + 1;
    if nest > 1 && body.writer.tape.below(3) == 2 {
        body.products(depth);
    } else if nest % 2 == 1 {
        body.stores_in_loop(depth);
    } else {
        body.statements(depth);
    }
    let Body { outputs, lines, .. } = body;
    let opened: String = heads.iter().enumerate().map(|(i, h)| format!("{}{h}\n", "    ".repeat(i + 1))).collect();
    let closed: String = (1..=heads.len()).rev().map(|i| format!("{}}}\n", "    ".repeat(i))).collect();
    let mut params = String::new();
    let mut inputs = Vec::new();
    let code = format!("{lines}{HELPERS}");
    for input in INPUTS.iter().filter(|i| code.contains(&format!("{}[", i.name))) {
        params += &format!("    {}: &Ten<{}, {}>,\n", input.name, input.elem, input.shape);
        inputs.push((input.name, vec![Numbers { offset: 0, count: 1, scalar: input.scalar, range: input.range }]));
    }
    params += "    b: &Ten<B, T>,\n    p: i32<0, 20>,\n    s: f32,\n";
    if code.contains("c[r].") {
        params += "    c: &Ten<B, R>,\n";
        inputs.push(("c", block.clone()));
    }
    inputs.push(("b", block));
    params += &outputs.concat();
    let dims = if extents == "T" { "T: Dim, N: Dim" } else { "T: Dim, R: Dim, N: Dim" };
    let written = if params.contains("Ten<Q,") { WRITTEN } else { "" };
    let text =
        format!("{format}{written}{HELPERS}\n#[kernel]\nfn {name}<{dims}>(\n{params}) {{\n{opened}{lines}{closed}}}\n");
    Program { text, inputs }
}

impl Body<'_> {
    fn line(&mut self, depth: usize, text: &str) {
        self.lines += &format!("{}{text}\n", "    ".repeat(depth));
    }

    /// Values with names and what is made of them; at least one store.
    fn statements(&mut self, depth: usize) {
        while self.writer.tape.below(7) != 0 && self.lines.lines().count() < 9 {
            let from = self.writer.tape.open();
            match self.writer.tape.below(9) {
                0 if self.writer.tape.rarely(3) => self.block(depth),
                0 | 1 => self.store(depth),
                2 => self.map(depth),
                3 => self.merge(depth),
                4 | 5 => self.stores_in_loop(depth),
                _ => self.value(depth),
            }
            self.writer.tape.close(from);
        }
        if self.outputs.is_empty() {
            self.store(depth);
        }
    }

    /// Dots of all kinds of what belongs to one row with what belongs to another, and nothing else.
    fn products(&mut self, depth: usize) {
        for kind in [0, 2, 3, 4, 5] {
            let (name, rows) = (self.writer.name("y"), self.writer.rows);
            let value = self.writer.dot_of_rows(kind).text;
            self.line(depth, &format!("{name}{rows} = {value};"));
            self.outputs.push(format!("    {name}: &mut Ten<i32, {}>,\n", self.extents));
        }
    }

    /// A value with a name.
    fn value(&mut self, depth: usize) {
        let name = self.writer.name("a");
        let text = match self.writer.tape.below(9) {
            0 | 1 if self.writer.loops > 0 => self.writer.sum(2),
            2 if self.writer.loops > 0 => self.writer.maximum(2),
            k @ (3 | 6 | 7) => {
                let value = if k > 3 && self.writer.loops > 0 { self.writer.dot() } else { self.writer.int(3) };
                let text = format!("let {name} = {};", value.text);
                self.writer.ints.push(super::Int::new(name, value.lo, value.hi));
                return self.line(depth, &text);
            }
            4 => {
                let text = format!("let {name} = {};", self.writer.truth(3));
                self.writer.bools.push(name);
                return self.line(depth, &text);
            }
            _ => self.writer.float(3),
        };
        self.line(depth, &format!("let {name} = {text};"));
        self.writer.floats.push(name);
    }

    fn map(&mut self, depth: usize) {
        let (text, array) = self.writer.map();
        self.line(depth, &text);
        self.writer.arrays.push(array);
    }

    fn merge(&mut self, depth: usize) {
        let (text, floats, array) = self.writer.merge();
        self.line(depth, &text);
        self.writer.floats.extend(floats);
        self.writer.arrays.push(array);
    }

    /// A parallel loop with stores; some values have names in it.
    fn stores_in_loop(&mut self, depth: usize) {
        let j = self.writer.name("j");
        let (range, below, in_row) = self.writer.range();
        self.line(depth, &format!("for {j} in par({range}) {{"));
        let index = Index { name: j, below, in_row };
        let (outer, floats, ints, bools) = (
            self.writer.index.replace(index),
            self.writer.floats.len(),
            self.writer.ints.len(),
            self.writer.bools.len(),
        );
        self.writer.loops -= 1;
        while self.writer.tape.rarely(3) {
            self.value(depth + 1);
        }
        self.store(depth + 1);
        while self.writer.tape.rarely(3) {
            self.store(depth + 1);
        }
        self.writer.loops += 1;
        self.writer.index = outer;
        self.writer.floats.truncate(floats);
        self.writer.ints.truncate(ints);
        self.writer.bools.truncate(bools);
        self.line(depth, "}");
    }

    /// Stores to the fields of a block.
    fn block(&mut self, depth: usize) {
        let (name, rows) = (self.writer.name("q"), self.writer.rows);
        let (scale, other, i) = (self.writer.float(2), self.writer.int(2).text, self.writer.name("j"));
        for (field, value) in [
            ("d", scale.clone()),
            ("h", format!("({scale}).f16()")),
            ("b", format!("({scale}).bf16()")),
            ("k", other.clone()),
            ("m", format!("min(max({other}, 0), 255)")),
            ("w", format!("({scale}).int(0, 65535)")),
        ] {
            if self.writer.tape.below(3) != 0 {
                self.line(depth, &format!("{name}{rows}.{field} = {value};"));
            }
        }
        self.line(depth, &format!("for {i} in par(64) {{"));
        self.line(depth + 1, &format!("{name}{rows}.q[{i}] = (cf[{i}]).int(-128, 127);"));
        self.line(depth + 1, &format!("{name}{rows}.n[{i}] = ki[t][{i}];"));
        self.line(depth, "}");
        self.outputs.push(format!("    {name}: &mut Ten<Q, {}>,\n", self.extents));
    }

    /// A store of some type to an output of its own.
    fn store(&mut self, depth: usize) {
        let from = self.writer.tape.open();
        let ty = self.writer.tape.pick(&STORED);
        let (name, operations) = (self.writer.name("y"), self.writer.tape.pick(&[2, 1, 3, 4]));
        let value = match ty {
            "f32" => self.writer.float(operations),
            "f16" | "bf16" if self.writer.tape.rarely(4) => {
                let at = self.writer.at(64);
                format!("{}[{at}]", if ty == "f16" { "hf" } else { "hb" })
            }
            "f16" | "bf16" => format!("({}).{ty}()", self.writer.float(operations)),
            "i32" => self.writer.int(operations).text,
            _ => {
                let (lo, hi) = Scalar::from_name(ty).and_then(Scalar::range).expect("an integer");
                match self.writer.tape.below(2) {
                    0 => format!("({}).int({lo}, {hi})", self.writer.float(operations)),
                    _ => format!("min(max({}, {lo}), {hi})", self.writer.int(operations).text),
                }
            }
        };
        let rows = self.writer.rows;
        let (at, extent) = match &self.writer.index {
            Some(index) if index.in_row => (format!("[{}]", index.name), ", N".to_string()),
            Some(index) => (format!("[{}]", index.name), format!(", {}", index.below)),
            None => (String::new(), String::new()),
        };
        self.line(depth, &format!("{name}{rows}{at} = {value};"));
        self.outputs.push(format!("    {name}: &mut Ten<{ty}, {}{extent}>,\n", self.extents));
        self.writer.tape.close(from);
    }
}
