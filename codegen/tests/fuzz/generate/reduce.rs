//! Sums of every shape, maxima, integer sums, dots of bytes and merges.
use super::{Array, Int, Writer};

/// The shapes of float sums.
const SHAPES: [&str; 8] =
    ["chain", "lanes(16)", "segments(8)", "lanes(32)", "segments(3)", "lanes(8)", "lanes(64)", "segments(1)"];

impl Writer<'_> {
    pub(super) fn sum(&mut self, depth: usize) -> String {
        let (shape, acc) = (self.tape.pick(&SHAPES), self.name("acc"));
        let (range, i, step) = self.looped(|w, _| {
            let form = w.tape.below(8);
            let term = w.float(depth);
            match form {
                0..=3 => format!("{acc} + {term}"),
                4 => format!("fma({term}, {}, {acc})", w.float(0)),
                5 => format!("max({acc}, {term}) - {term}"),
                6 => format!("fma({acc}, 0.5, {term})"),
                _ => format!("{term} - {acc}"),
            }
        });
        format!("sum({range}, {shape}, |{acc}, {i}| {step})")
    }

    pub(super) fn maximum(&mut self, depth: usize) -> String {
        let (range, i, value) = self.looped(|w, _| w.float(depth));
        format!("max_of({range}, |{i}| {value})")
    }

    pub(super) fn argmax(&mut self, depth: usize) -> Int {
        let (range, i, (value, below)) = self.looped(|w, _| {
            let below = w.index.as_ref().map_or(0, |index| index.below);
            (w.float(depth), below)
        });
        Int::new(format!("argmax_of({range}, |{i}| {value})"), 0, below - 1)
    }

    /// An integer sum; its terms are narrowed where it could leave `i32`.
    pub(super) fn isum(&mut self, depth: usize) -> Int {
        let (range, i, (term, count)) = self.looped(|w, _| {
            let count = w.index.as_ref().map_or(0, |index| index.below);
            (w.int(depth), count)
        });
        let make =
            |t: Int| Int::new(format!("isum({range}, |{i}| {})", t.text), count * t.lo.min(0), count * t.hi.max(0));
        let result = make(term.clone());
        if result.fits() {
            return result;
        }
        let (lo, hi) = (term.lo.clamp(-99_999, 99_999), term.hi.clamp(-99_999, 99_999));
        make(Int::new(format!("min(max({}, -99999), 99999)", term.text), lo, hi))
    }

    /// Dots of bytes, some with a factor for each part, as they are in formats.
    pub(super) fn dot(&mut self) -> Int {
        if self.rows == "[t][r]" && self.tape.below(3) > 0 {
            let kind = self.tape.below(7);
            return self.dot_of_rows(kind);
        }
        let unsigned = self.tape.pick(&[
            "u",
            "u >> 4",
            "u & 15",
            "(u >> 2) & 7 | 8",
            "3",
            "u >> by",
            "(u & 15) + (u >> 5)",
            "15 - (u & 15)",
            "(u & 3) << 2",
            "(u >> 1) ^ 5",
            "by",
        ]);
        let by = format!("(b[t].v[{}] & 3)", self.tape.below(8));
        let (g, i) = (self.name("g"), self.name("i"));
        let product = |at: &str| {
            let value = unsigned.replace('u', &format!("b[t].u[{at}]")).replace("by", &by);
            format!("({value}) * b[t].s[{at}]")
        };
        // No term is larger than 255 * 128.
        let most = 255 * 128;
        match self.tape.below(7) {
            0 => Int::new(format!("isum(0..128, |{i}| {})", product(&i)), -128 * most, 128 * most),
            1 => Int::new(format!("isum(0..64, |{i}| {})", product(&i)), -64 * most, 64 * most),
            2 => {
                let at = format!("{g} * 16 + {i}");
                let text = format!("isum(0..4, |{g}| b[t].w[{g}] * isum(0..16, |{i}| {}))", product(&at));
                Int::new(text, -64 * 9 * most, 64 * 9 * most)
            }
            3 => {
                let at = format!("{g} * 64 + {i}");
                let text = format!("isum(0..2, |{g}| isum(0..64, |{i}| {}) - b[t].w[{g}] * 5)", product(&at));
                Int::new(text, -140 * most, 140 * most)
            }
            4 => {
                let text = format!("(-isum(0..32, |{i}| {}) + isum(0..64, |{i}| b[t].s[{i}]))", product(&i));
                Int::new(text, -40 * most, 40 * most)
            }
            5 => {
                let text = format!("isum(0..8, |{i}| b[t].n[{i}] * (b[t].u[{i}] & 15))");
                Int::new(text, -8 * 15 * 32768, 8 * 15 * 32768)
            }
            _ => {
                let at = format!("{g} * 128 + {i}");
                let text = format!("isum(0..1, |{g}| p * isum(0..128, |{i}| {}))", product(&at));
                Int::new(text, -128 * 20 * most, 128 * 20 * most)
            }
        }
    }

    /// Dots of what belongs to one row with what belongs to another, as products of matrices have them.
    pub(super) fn dot_of_rows(&mut self, kind: usize) -> Int {
        let (g, i) = (self.name("g"), self.name("i"));
        let unsigned = self.tape.pick(&["u", "u >> 4", "u & 15", "(u >> 2) & 7 | 8"]);
        let product = |at: &str| {
            let value = unsigned.replace('u', &format!("c[r].u[{at}]"));
            format!("({value}) * b[t].s[{at}]")
        };
        let most = 255 * 128;
        match kind {
            0 => Int::new(format!("isum(0..64, |{i}| {})", product(&i)), -64 * most, 64 * most),
            1 => Int::new(format!("isum(0..16, |{i}| {})", product(&i)), -16 * most, 16 * most),
            2 => Int::new(format!("isum(0..16, |{i}| c[r].s[{i}] * b[t].n[{i}])"), -16 * 128 * 32768, 16 * 128 * 32768),
            3 => {
                let text = format!("isum(0..16, |{i}| max(c[r].u[{i}] & 63, 5) * b[t].n[{i}])");
                Int::new(text, -16 * 63 * 32768, 16 * 63 * 32768)
            }
            4 => {
                // With a scale that can be split.
                let at = format!("{g} * 32 + {i}");
                let text = format!("isum(0..2, |{g}| (c[r].u[{g}] & 31) * isum(0..32, |{i}| {}))", product(&at));
                Int::new(text, -64 * 31 * most, 64 * 31 * most)
            }
            k => {
                let (at, by) = (format!("{g} * 16 + {i}"), if k == 5 { "b[t].w" } else { "c[r].s" });
                let text = format!("isum(0..4, |{g}| {by}[{g}] * isum(0..16, |{i}| {}))", product(&at));
                Int::new(text, -64 * 128 * most, 64 * 128 * most)
            }
        }
    }

    /// A map by name, and the array.
    pub(super) fn map(&mut self) -> (String, Array) {
        let (range, in_row, len) = self.tape.pick(&[
            ("min(N, 40)", true, None),
            ("16", false, Some(16)),
            ("64", false, Some(64)),
            ("min(N, 40)", true, None),
        ]);
        let (name, i) = (self.name("map"), self.name("i"));
        let index = super::Index { name: i.clone(), below: len.unwrap_or(super::MOST), in_row };
        let value = self.within(index, |w| w.float(2));
        (format!("let {name} = map({range}, |{i}| {value});"), Array { name, len })
    }

    /// A merge of two floats and an array; the names of the floats, and the array.
    pub(super) fn merge(&mut self) -> (String, [String; 2], Array) {
        let names = [(); 3].map(|()| self.name("m"));
        let start = self.float(1);
        let (range, c, part) = self.looped(|w, c| {
            let (value, e) = (w.float(2), w.name("e"));
            format!("|{c}| ({value}, map(16, |{e}| cf[{e}] + ki[t][{c}].f32()))")
        });
        let e = self.name("e");
        let outer = std::mem::replace(&mut self.floats, ["qb", "qa", "pa", "pt[3]", "ar[1]"].map(String::from).into());
        let (next, other) = (self.float(1), self.float(1));
        self.floats = outer;
        let next = match self.tape.below(4) {
            0 => format!("({next}, {other}, map(16, |{e}| fma(ar[{e}], 0.5, pt[{e}])))"),
            1 => format!("(qb, {next}, pt)"),
            2 => "(qb, qa, ar)".into(),
            _ => format!("(qa + pa, qa, map(16, |{e}| ar[{e}] + {other}))"),
        };
        let [a, b, d] = names;
        let text = format!(
            "let ({a}, {b}, {d}) = merge({range}, ({start}, 2.5, map(16, |{e}| hf[{e}].f32())), {part}, |(qa, qb, ar), (pa, pt)| {next});"
        );
        drop(c);
        (text, [a, b], Array { name: d, len: Some(16) })
    }
}
