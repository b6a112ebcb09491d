//! Float expressions.
use super::{MOST, Writer};

impl Writer<'_> {
    /// A float.
    pub(super) fn float(&mut self, depth: usize) -> String {
        let from = self.tape.open();
        let result = self.float_inside(depth);
        self.tape.close(from);
        result
    }

    fn float_inside(&mut self, depth: usize) -> String {
        let kind = self.tape.below(22);
        if depth == 0 || kind < 5 || self.spent() {
            return self.float_leaf();
        }
        let d = depth - 1;
        match kind {
            5 | 6 => format!("({} + {})", self.float(d), self.float(d)),
            7 => format!("({} - {})", self.float(d), self.float(d)),
            8 | 9 => format!("({} * {})", self.float(d), self.float(d)),
            10 => format!("({} / {})", self.float(d), self.float(d)),
            11 => format!("fma({}, {}, {})", self.float(d), self.float(d), self.float(d)),
            12 => format!("{}({}, {})", self.tape.pick(&["min", "max"]), self.float(d), self.float(d)),
            13 => {
                let function = self.tape.pick(&["abs", "sqrt", "rint", "-", "positive"]);
                // Its argument gets a name, which a side of a choice may not have.
                let function = if self.sides > 0 && function == "positive" { "abs" } else { function };
                format!("{function}({})", self.float(d))
            }
            14 => format!("({}).{}().f32()", self.float(d), self.tape.pick(&["f16", "bf16"])),
            15 => format!("from_bits({})", self.int(d).text),
            16 => format!("({}).f32()", self.int(d).text),
            17 => {
                let (c, a, b) = (self.truth(d), self.side(|w| w.float(d)), self.side(|w| w.float(d)));
                format!("(if {c} {{ {a} }} else {{ {b} }})")
            }
            // Sides that cannot fail, so that lanes may choose.
            18 => {
                let (c, a, b) = (self.truth(d), self.known(), self.known());
                format!("(if {c} {{ {a} * {b} }} else {{ {b} }})")
            }
            19 | 20 if self.loops > 0 => self.sum(d),
            21 if self.loops > 0 => self.maximum(d),
            _ => self.float_leaf(),
        }
    }

    fn float_leaf(&mut self) -> String {
        match self.tape.below(20) {
            1..=4 if !self.floats.is_empty() => self.floats[self.tape.below(self.floats.len())].clone(),
            5..=8 => match &self.index {
                Some(index) if index.in_row => format!("xf[t][{}]", index.name),
                _ => format!("xf[t][{}]", self.tape.pick(&["0", "N - 1", "min(ri[t], N - 1)"])),
            },
            9 | 10 => format!("cf[{}]", self.at(64)),
            11 if self.rows == "[t][r]" => format!("wf[r][{}]", self.at(64)),
            12 => format!("hf[{}].f32()", self.at(64)),
            13 => format!("hb[{}].f32()", self.at(64)),
            14 => format!("ht[t][{}].f32()", self.at(64)),
            15 => format!("b[t].{}", self.tape.pick(&["d.f32()", "e.f32()", "f", "g[1]"])),
            16 => self.tape.pick(&["s", "cf[ri[t]]", "xf[t][xi[3]]", "b[t].scaled(2)"]).into(),
            17 | 18 if !self.arrays.is_empty() => self.element(),
            _ => self.constant(),
        }
    }

    fn constant(&mut self) -> String {
        self.tape.pick(&["1.0", "0.0", "-0.0", "-3.25", "1e-40", "f32::INFINITY", "0.1", "16777217.0"]).into()
    }

    /// A float that has a name, or a constant.
    fn known(&mut self) -> String {
        match self.tape.below(3) {
            1 | 2 if !self.floats.is_empty() => self.floats[self.tape.below(self.floats.len())].clone(),
            _ => self.constant(),
        }
    }

    fn element(&mut self) -> String {
        let array = self.arrays[self.tape.below(self.arrays.len())].clone();
        match (&self.index, array.len) {
            (Some(index), None) if index.in_row && index.below == MOST => format!("{}[{}]", array.name, index.name),
            (Some(index), Some(len)) if index.below <= len => format!("{}[{}]", array.name, index.name),
            _ => format!("{}[0]", array.name),
        }
    }
}
