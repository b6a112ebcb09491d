//! Random kernels as source text: float and integer expressions, sums of every shape, dots, maxima, maps and merges.

/// Random numbers (SplitMix64).
pub struct Random(pub u64);

/// What rounding, comparisons and conversions go wrong at.
const CORNERS: [u32; 14] = [
    0x0000_0000,
    0x8000_0000,
    0x0000_0001,
    0x807f_ffff,
    0x0080_0000,
    0x3f00_0000,
    0xbfc0_0000,
    0x4f00_0000,
    0xcf00_0000,
    0x7f7f_ffff,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0xff81_2345,
];

impl Random {
    /// In `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    /// Tame, or a corner of `f32`, or any bits.
    pub fn float(&mut self) -> f32 {
        match self.below(12) {
            0 => f32::from_bits(CORNERS[self.below(CORNERS.len())]),
            1 => f32::from_bits(self.below(1 << 32) as u32),
            _ => self.below(4001) as f32 / 256.0 - 7.8,
        }
    }

    fn pick<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len())]
    }
}

const HEAD: &str = "#[format(elements = 64, bytes = 160)]
struct B { d: f16, u: [u8; 64], s: [i8; 64], w: [i8<-5, 9>; 8], v: [u16; 8] }
";

/// What an expression may use: `t`, and the index `i` of an axis of at most 24 elements where there is one.
struct Text<'a> {
    random: &'a mut Random,
    /// The names of floats.
    floats: Vec<String>,
    /// The innermost index, below `min(N, 24)`.
    index: Option<String>,
    names: usize,
}

/// A kernel of this name. Its sizes are `T` and `N`.
pub fn program(name: &str, random: &mut Random) -> String {
    let mut text = Text { random, floats: Vec::new(), index: None, names: 0 };
    let mut body = String::new();
    for k in 0..1 + text.random.below(3) {
        let value = text.statement();
        body += &format!("{}let a{k} = {value};\n", " ".repeat(8));
        text.floats.push(format!("a{k}"));
    }
    if text.random.below(3) == 0 {
        body += &text.merge();
    }
    let (float, int) = (text.float(2), text.int(2));
    text.index = Some("j".into());
    let (each, each_int) = (text.float(3), text.int(2));
    format!(
        "{HEAD}#[kernel]
fn {name}<T: Dim, N: Dim>(
    x: &Ten<f32, T, N>, b: &Ten<B, T>, k: &Ten<i32<-1000, 1000>, T, 24>, h: &Ten<f16, 24>,
    y: &mut Ten<f32, T>, z: &mut Ten<i32, T>, m: &mut Ten<f32, T, 24>, n: &mut Ten<i32, T, 24>, o: &mut Ten<f16, T, 24>,
) {{
    for t in par(T) {{
{body}        y[t] = {float};
        z[t] = {int};
        for j in par(min(N, 24)) {{
            m[t][j] = {each};
            n[t][j] = {each_int};
            o[t][j] = m0({each}).f16();
        }}
    }}
}}

fn m0(x: f32) -> f32 {{
    if x < 0.0 {{ -x }} else {{ x }}
}}
"
    )
}

impl Text<'_> {
    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// A float that is worth a name.
    fn statement(&mut self) -> String {
        match self.random.below(5) {
            0 => self.maximum(),
            1 => self.mapped(),
            2 => format!("({}).f32()", self.int(2)),
            _ => self.sum(),
        }
    }

    /// With a new index below `min(N, 24)` (or below `bound`), what `f` writes.
    fn with<T>(&mut self, prefix: &str, f: impl FnOnce(&mut Self, &str) -> T) -> T {
        let name = self.name(prefix);
        let outer = self.index.replace(name.clone());
        let result = f(self, &name);
        self.index = outer;
        result
    }

    /// A range whose indices lie below `min(N, 24)`, often empty.
    fn range(&mut self) -> &'static str {
        self.random.pick(&["0..min(N, 24)", "0..min(N, 24)", "0..min(N, 3)", "2..min(N, 24)", "min(N, 5)..min(N, 24)"])
    }

    fn sum(&mut self) -> String {
        let (range, shape) =
            (self.range(), self.random.pick(&["chain", "lanes(16)", "lanes(32)", "segments(8)", "segments(3)"]));
        let acc = self.name("acc");
        self.with("i", |text, i| {
            let term = text.float(2);
            let step = match text.random.below(4) {
                0 => format!("fma({term}, x[t][{i}], {acc})"),
                1 => format!("max({acc}, {term}) - {term}"),
                _ => format!("{acc} + {term}"),
            };
            format!("sum({range}, {shape}, |{acc}, {i}| {step})")
        })
    }

    fn maximum(&mut self) -> String {
        let range = self.range();
        self.with("i", |text, i| match text.random.below(3) {
            0 => format!("argmax_of({range}, |{i}| {}).f32()", text.float(1)),
            _ => format!("max_of({range}, |{i}| {})", text.float(2)),
        })
    }

    /// A map, and a sum over it.
    fn mapped(&mut self) -> String {
        let (map, acc) = (self.name("map"), self.name("acc"));
        self.with("i", |text, i| {
            let (value, shape) = (text.float(2), text.random.pick(&["chain", "lanes(16)", "segments(8)"]));
            format!(
                "{{ let {map} = map(min(N, 24), |{i}| {value}); sum(0..min(N, 24), {shape}, |{acc}, {i}| {acc} + {map}[{i}] * {map}[0]) }}"
            )
        })
    }

    fn merge(&mut self) -> String {
        let (start, range) = (self.float(1), self.range());
        let part =
            self.with("c", |text, c| format!("|{c}| ({}, map(16, |e| x[t][{c}] + k[t][e].f32()))", text.float(2)));
        let outer = std::mem::replace(&mut self.floats, ["p", "q", "r", "pt[3]"].map(String::from).into());
        let (p, q) = (self.float(1), self.float(1));
        self.floats = outer;
        let next = self.random.pick(&["(q, p, ar)", "(q, r, pt)", "(p + r, p, map(16, |e| fma(ar[e], 0.5, pt[e])))"]);
        self.floats.extend(["ma".into(), "mb".into(), "mc[5]".into()]);
        let indent = " ".repeat(8);
        match self.random.below(2) {
            0 => format!(
                "{indent}let (ma, mb, mc) = merge({range}, ({start}, 1.0, map(16, |e| k[t][e].f32())), {part}, |(p, q, ar), (r, pt)| {next});\n"
            ),
            _ => format!(
                "{indent}let (ma, mb, mc) = merge({range}, ({start}, 1.0, map(16, |e| k[t][e].f32())), {part}, |(p, q, ar), (r, pt)| ({q}, {p}, pt));\n"
            ),
        }
    }

    fn float(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.leaf();
        }
        let d = depth - 1;
        match self.random.below(14) {
            0 => format!("({} + {})", self.float(d), self.float(d)),
            1 => format!("({} - {})", self.float(d), self.float(d)),
            2 => format!("({} * {})", self.float(d), self.float(d)),
            3 => format!("({} / {})", self.float(d), self.float(d)),
            4 => format!("fma({}, {}, {})", self.float(d), self.float(d), self.float(d)),
            5 => format!("{}({}, {})", self.random.pick(&["min", "max"]), self.float(d), self.float(d)),
            6 => format!("{}({})", self.random.pick(&["abs", "sqrt", "rint", "-"]), self.float(d)),
            7 => format!("({}).{}().f32()", self.float(d), self.random.pick(&["f16", "bf16"])),
            8 => format!("from_bits(bits({}))", self.float(d)),
            9 => format!("({}).f32()", self.int(d)),
            10 | 11 => {
                let compare = self.random.pick(&["<", "<=", "==", "!=", ">"]);
                format!(
                    "(if {} {compare} {} {{ {} }} else {{ {} }})",
                    self.float(d),
                    self.float(d),
                    self.float(d),
                    self.float(d)
                )
            }
            _ => self.leaf(),
        }
    }

    fn leaf(&mut self) -> String {
        let index = self.index.clone().unwrap_or_else(|| "0".into());
        match self.random.below(8) {
            0 => "b[t].d.f32()".into(),
            1 => self.random.pick(&["0.0", "-0.0", "1.0", "-3.25", "1e-40", "f32::INFINITY", "0.1"]).into(),
            2 => format!("h[{index}].f32()"),
            3 | 4 if !self.floats.is_empty() => self.floats[self.random.below(self.floats.len())].clone(),
            _ => format!("x[t][{index}]"),
        }
    }

    /// An integer whose size stays far from the ends of `i32`.
    fn int(&mut self, depth: usize) -> String {
        if depth == 0 {
            let index = self.index.clone().unwrap_or_else(|| "0".into());
            return match self.random.below(5) {
                0 => index,
                1 => format!("{}", self.random.below(90)),
                2 => format!("b[t].w[{}]", self.random.below(8)),
                3 => format!("b[t].s[{index}]"),
                _ => format!("k[t][{index}]"),
            };
        }
        let d = depth - 1;
        match self.random.below(9) {
            0 => format!("({} {} {})", self.int(d), self.random.pick(&["+", "-"]), self.int(d)),
            1 => format!("(({}).int(-99, 99) * {})", self.float(d), self.int(0)),
            2 => format!("{}({}, {})", self.random.pick(&["min", "max"]), self.int(d), self.int(d)),
            3 => format!("abs({})", self.int(d)),
            4 => format!("(({} & 15) {} 3)", self.int(d), self.random.pick(&["<<", ">>", "*", "/", "%", "|", "^"])),
            5 => self.refined(),
            6 => self.plain_sum(),
            _ => self.dot(),
        }
    }

    /// A choice whose sides are only right where they are chosen.
    fn refined(&mut self) -> String {
        let k = self.name("k");
        let value = self.random.pick(&["if k > 0 { 999 / k } else { 5 }", "if k < 9 { k } else { 9 - k * 3 }"]);
        format!("{{ let {k} = b[t].w[{}]; {} }}", self.random.below(8), value.replace('k', &k))
    }

    fn plain_sum(&mut self) -> String {
        let range = self.random.pick(&["0..24", "0..16", "0..min(N, 24)"]);
        self.with("i", |text, i| {
            let term = text.random.pick(&["k[t][i] * 3", "k[t][i] + i", "abs(k[t][i]) & 63", "7"]);
            format!("isum({range}, |{i}| {})", term.replace("[i]", &format!("[{i}]")).replace("+ i", &format!("+ {i}")))
        })
    }

    /// Dots of bytes, some with a factor for each part.
    fn dot(&mut self) -> String {
        let (j, i) = (self.name("g"), self.name("i"));
        let unsigned = self.random.pick(&["u", "u >> 4", "u & 15", "(u >> 2) & 7 | 8", "3", "u >> w"]);
        let byte =
            |at: &str| unsigned.replace('w', &format!("(b[t].v[{j}] & 3)")).replace('u', &format!("b[t].u[{at}]"));
        match self.random.below(3) {
            0 => {
                let unsigned = byte(&i).replace(&j, "2");
                format!("isum(0..64, |{i}| ({unsigned}) * b[t].s[{i}])")
            }
            1 => {
                let at = format!("{j} * 16 + {i}");
                let unsigned = byte(&at);
                format!("isum(0..4, |{j}| b[t].w[{j}] * isum(0..16, |{i}| ({unsigned}) * b[t].s[{at}]))")
            }
            _ => {
                let at = format!("{j} * 32 + {i}");
                let unsigned = byte(&at);
                format!("isum(0..2, |{j}| isum(0..32, |{i}| ({unsigned}) * b[t].s[{at}]) - b[t].w[{j}] * 5)")
            }
        }
    }
}
