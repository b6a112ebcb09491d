//! Integer expressions with their ranges, and truth values.
use super::{Int, Writer};

/// Bounds that keep products and sums of several numbers inside `i32`.
const SMALL: i64 = 1000;

impl Writer<'_> {
    /// An integer.
    pub(super) fn int(&mut self, depth: usize) -> Int {
        let from = self.tape.open();
        let result = self.int_inside(depth);
        self.tape.close(from);
        result
    }

    fn int_inside(&mut self, depth: usize) -> Int {
        let kind = self.tape.below(20);
        if depth == 0 || kind < 4 || self.spent() {
            return self.int_leaf();
        }
        let d = depth - 1;
        match kind {
            4 | 5 => self.sum_or_product(d),
            6 => {
                let (a, b) = (self.int(d), self.int(d));
                match self.tape.below(2) {
                    0 => Int::new(format!("min({}, {})", a.text, b.text), a.lo.min(b.lo), a.hi.min(b.hi)),
                    _ => Int::new(format!("max({}, {})", a.text, b.text), a.lo.max(b.lo), a.hi.max(b.hi)),
                }
            }
            7 => {
                let a = self.small(d);
                match self.tape.below(2) {
                    0 => Int::new(format!("abs({})", a.text), 0, a.lo.abs().max(a.hi.abs())),
                    _ => Int::new(format!("(-{})", a.text), -a.hi, -a.lo),
                }
            }
            8 => self.quotient(d),
            9 => self.bitwise(d),
            10 => self.shift(d),
            11 => {
                let x = self.float(d);
                let (lo, hi) =
                    self.tape.pick(&[(-99, 99), (0, 255), (-128, 127), (-(i32::MAX as i64), i32::MAX as i64)]);
                Int::new(format!("({x}).int({lo}, {hi})"), lo, hi)
            }
            12 => {
                let (c, a, b) = (self.truth(d), self.side(|w| w.int(d)), self.side(|w| w.int(d)));
                let text = format!("(if {c} {{ {} }} else {{ {} }})", a.text, b.text);
                Int::new(text, a.lo.min(b.lo), a.hi.max(b.hi))
            }
            13 if self.sides == 0 => self.refined(),
            14 => Int::new(format!("bits({})", self.float(d)), i32::MIN as i64, i32::MAX as i64),
            15 | 16 if self.loops > 0 => self.isum(d),
            17 if self.loops > 0 => self.argmax(d),
            18 | 19 if self.loops > 0 => self.dot(),
            _ => self.int_leaf(),
        }
    }

    fn int_leaf(&mut self) -> Int {
        match self.tape.below(18) {
            1 | 2 if !self.ints.is_empty() => self.ints[self.tape.below(self.ints.len())].clone(),
            3 | 4 => match self.index.clone() {
                Some(index) => Int::new(index.name, 0, index.below - 1),
                None => Int::new("p", 0, 20),
            },
            5 => Int::new(format!("ki[t][{}]", self.at(64)), -1000, 1000),
            6 => Int::new(format!("kx[{}]", self.at(64)), i32::MIN as i64, i32::MAX as i64),
            7 => Int::new(format!("ks[t][{}]", self.at(64)), -32768, 32767),
            8 => Int::new(format!("ku[{}]", self.at(64)), 0, 65535),
            9 => Int::new(format!("kb[t][{}]", self.at(64)), -128, 127),
            10 => Int::new(format!("kc[{}]", self.at(64)), 0, 255),
            11 => Int::new(format!("b[t].u[{}]", self.at(128)), 0, 255),
            12 => Int::new(format!("b[t].s[{}]", self.at(128)), -128, 127),
            13 => Int::new(format!("b[t].w[{}]", self.at(8)), -5, 9),
            14 => Int::new(format!("b[t].v[{}]", self.at(8)), 0, 65535),
            15 => Int::new(format!("b[t].n[{}]", self.at(8)), -32768, 32767),
            16 => Int::new("b[t].m", -100_000, 100_000),
            17 => Int::new("p", 0, 20),
            _ => {
                let n = self.tape.below(90) as i64;
                Int::new(n.to_string(), n, n)
            }
        }
    }

    /// An integer that was brought near 0.
    fn small(&mut self, depth: usize) -> Int {
        let a = self.int(depth);
        clamp(a)
    }

    fn sum_or_product(&mut self, d: usize) -> Int {
        let (a, b) = (self.int(d), self.int(d));
        let op = self.tape.below(3);
        let make = |a: &Int, b: &Int| {
            let products = [a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi];
            match op {
                0 => Int::new(format!("({} + {})", a.text, b.text), a.lo + b.lo, a.hi + b.hi),
                1 => Int::new(format!("({} - {})", a.text, b.text), a.lo - b.hi, a.hi - b.lo),
                _ => Int::new(
                    format!("({} * {})", a.text, b.text),
                    products.into_iter().min().unwrap_or(0),
                    products.into_iter().max().unwrap_or(0),
                ),
            }
        };
        let result = make(&a, &b);
        if result.fits() { result } else { make(&clamp(a), &clamp(b)) }
    }

    fn quotient(&mut self, d: usize) -> Int {
        let (a, b) = (self.int(d), self.small(0));
        let a = if a.lo < 0 { Int::new(format!("max({}, 0)", a.text), 0, a.hi.max(0)) } else { a };
        let b = if b.lo < 1 { Int::new(format!("max({}, 1)", b.text), 1, b.hi.max(1)) } else { b };
        match self.tape.below(3) {
            0 => Int::new(format!("({} / {})", a.text, b.text), 0, a.hi),
            1 => Int::new(format!("({} % {})", a.text, b.text), 0, a.hi.min(b.hi - 1)),
            _ => {
                let a = clamp(a);
                Int::new(format!("ceil_div({}, {})", a.text, b.text), 0, a.hi + b.hi)
            }
        }
    }

    fn bitwise(&mut self, d: usize) -> Int {
        let (a, b) = (self.int(d), self.int(d));
        let (op, all) = (self.tape.pick(&["&", "|", "^"]), (i32::MIN as i64, i32::MAX as i64));
        let text = format!("({} {op} {})", a.text, b.text);
        let ones = |x: i64| (x as u64 + 1).next_power_of_two() as i64 - 1;
        let (lo, hi) = match op {
            "&" if a.lo >= 0 && b.lo >= 0 => (0, a.hi.min(b.hi)),
            "&" if a.lo >= 0 => (0, a.hi),
            "&" if b.lo >= 0 => (0, b.hi),
            "|" | "^" if a.lo >= 0 && b.lo >= 0 => (0, ones(a.hi | b.hi)),
            _ => all,
        };
        Int::new(text, lo, hi)
    }

    fn shift(&mut self, d: usize) -> Int {
        let a = self.int(d);
        let by = match self.tape.below(3) {
            0 => Int::new("3", 3, 3),
            1 => Int::new("(p & 7)", 0, 7),
            _ => Int::new(format!("(b[t].v[{}] & 3)", self.tape.below(8)), 0, 3),
        };
        if self.tape.below(2) == 0 {
            return Int::new(format!("({} >> {})", a.text, by.text), a.lo.min(a.lo >> by.hi), a.hi.max(a.hi >> by.hi));
        }
        let a = clamp(a);
        Int::new(format!("({} << {})", a.text, by.text), a.lo.min(0) << by.hi, a.hi.max(0) << by.hi)
    }

    /// A choice whose sides are only right where they are chosen.
    fn refined(&mut self) -> Int {
        let (k, at) = (self.name("k"), self.at(8));
        match self.tape.below(3) {
            0 => Int::new(format!("{{ let {k} = b[t].w[{at}]; if {k} > 0 {{ 999 / {k} }} else {{ 5 }} }}"), 0, 999),
            1 => Int::new(
                format!("{{ let {k} = b[t].w[{at}]; if {k} < 7 {{ {k} }} else {{ 9 - {k} * 3 }} }}"),
                -100,
                100,
            ),
            _ => {
                Int::new(format!("{{ let {k} = abs(b[t].w[{at}]); if {k} < 8 {{ 1 << {k} }} else {{ 1 }} }}"), 0, 1024)
            }
        }
    }

    /// A truth value.
    pub(super) fn truth(&mut self, depth: usize) -> String {
        let kind = self.tape.below(10);
        if depth > 0 && kind >= 7 && !self.spent() {
            let d = depth - 1;
            return match kind {
                7 => format!("!({})", self.truth(d)),
                8 => format!("({}) {} ({})", self.truth(d), self.tape.pick(&["&&", "||", "^"]), self.truth(d)),
                _ => format!("({}) {} ({})", self.truth(d), self.tape.pick(&["==", "!="]), self.truth(d)),
            };
        }
        let compare = self.tape.pick(&["<", "<=", "==", "!=", ">", ">="]);
        match kind {
            6 if self.tape.rarely(4) => self.tape.pick(&["true", "false"]).into(),
            1 | 2 if !self.bools.is_empty() => self.bools[self.tape.below(self.bools.len())].clone(),
            3..=5 => format!("{} {compare} {}", self.int(depth.min(1)).text, self.int(0).text),
            _ => format!("{} {compare} {}", self.float(depth.min(1)), self.float(0)),
        }
    }
}

/// The integer itself where it is small.
fn clamp(a: Int) -> Int {
    if a.lo >= -SMALL && a.hi <= SMALL {
        return a;
    }
    let (lo, hi) = (a.lo.clamp(-SMALL, SMALL), a.hi.clamp(-SMALL, SMALL));
    Int::new(format!("min(max({}, -{SMALL}), {SMALL})", a.text), lo, hi)
}
