//! Prints functions and statements.
use super::array_bytes;
use crate::loop_ir::{Bind, Expr, Func, Mem, Stmt, Ty, Var};
use std::collections::HashMap;

/// Something printed, or why it cannot be.
pub(super) type Printed<T> = Result<T, String>;

/// Prints one function.
pub(super) struct Printer<'a> {
    pub func: &'a Func,
    /// Byte offsets that have names, for what is known of their alignment.
    pub longs: HashMap<Var, &'a Expr>,
    shared: usize,
}

impl<'a> Printer<'a> {
    pub fn new(func: &'a Func, shared: usize) -> Self {
        let mut longs = HashMap::new();
        collect(func, &func.body, &mut longs);
        Printer { func, longs, shared }
    }

    pub fn function(&self, threads: usize) -> Printed<String> {
        let f = self.func;
        let buffers = f.buffers.iter().map(|b| {
            let constant = if b.written { "" } else { "const " };
            format!("{constant}u8* __restrict__ {}_", b.name)
        });
        let dims = (0..f.dims).map(|i| format!("int {}", self.var(Var(i as u32))));
        let scalars = (f.dims..f.ints).map(|i| format!("const int* __restrict__ {}_at", self.var(Var(i as u32))));
        let floats = (f.ints..f.ints + f.floats).map(|i| format!("float {}", self.var(Var(i as u32))));
        let scratch = f.scratch.iter().flat_map(|_| ["u8* scratch".to_string(), "u32* counters".to_string()]);
        let params: Vec<String> = buffers.chain(dims).chain(scalars).chain(floats).chain(scratch).collect();
        let mut out = format!(
            "extern \"C\" __global__ void __launch_bounds__({threads}) {}(\n    {}\n) {{\n",
            f.name,
            params.join(",\n    ")
        );
        for i in f.dims..f.ints {
            let name = self.var(Var(i as u32));
            out.push_str(&format!("    const int {name} = *{name}_at;\n"));
        }
        self.groups(threads, &mut out);
        self.stmts(&f.body, 1, &mut out)?;
        out.push_str("}\n");
        Ok(out)
    }

    /// Who this thread is: its lane, and its group in the CTA and in the grid.
    fn groups(&self, threads: usize, out: &mut String) {
        let width = self.func.width;
        let per_cta = threads / width;
        if width > 1 {
            let bits = if width == 32 { u32::MAX } else { (1 << width) - 1 };
            out.push_str(&format!("    const int lane = threadIdx.x % {width};\n"));
            out.push_str(&format!("    const u32 mask = {bits:#x}u << (threadIdx.x % 32 / {width} * {width});\n"));
        }
        if self.shared > 0 {
            out.push_str("    extern __shared__ __align__(16) u8 shared[];\n");
            out.push_str(&format!("    u8* mine = shared + threadIdx.x / {width} * {};\n", self.shared));
        }
        out.push_str(&format!("    const int group = blockIdx.x * {per_cta} + threadIdx.x / {width};\n"));
        out.push_str(&format!("    const int groups = gridDim.x * {per_cta};\n"));
    }

    pub fn var(&self, v: Var) -> String {
        format!("{}_{}", self.func.vars[v.0 as usize].name.to_lowercase(), v.0)
    }

    fn stmts(&self, stmts: &[Stmt], depth: usize, out: &mut String) -> Printed<()> {
        let mut used = 0;
        for s in stmts {
            if let Stmt::Array { var, .. } = s {
                let (name, bytes) = (self.var(*var), array_bytes(s));
                let line = match self.func.width {
                    1 => format!("__align__(16) u8 {name}[{bytes}];"),
                    _ => format!("u8* {name} = mine + {used};"),
                };
                used += bytes;
                out.push_str(&format!("{}{line}\n", "    ".repeat(depth)));
                continue;
            }
            self.stmt(s, depth, out)?;
        }
        Ok(())
    }

    fn stmt(&self, s: &Stmt, depth: usize, out: &mut String) -> Printed<()> {
        let pad = "    ".repeat(depth);
        match s {
            Stmt::Let { var, value } => {
                let (text, ty) = self.expr(value)?;
                out.push_str(&format!("{pad}const {} {} = {text};\n", c_type(ty), self.var(*var)));
            }
            Stmt::Reg { var, init } => {
                let (text, ty) = self.expr(init)?;
                out.push_str(&format!("{pad}{} {} = {text};\n", c_type(ty), self.var(*var)));
            }
            Stmt::Set { var, value } => out.push_str(&format!("{pad}{} = {};\n", self.var(*var), self.text(value)?)),
            Stmt::Array { .. } => return Err("an array that is not at the top of its function".into()),
            Stmt::For { bind, var, lo, hi, step, body } => {
                let name = self.var(*var);
                let head = match bind {
                    Bind::Work => {
                        let work = self.text(hi)?;
                        format!("for (int {name} = group, end_{name} = {work}; {name} < end_{name}; {name} += groups)")
                    }
                    Bind::Simd => format!("const int {name} = lane;\n{pad}"),
                    Bind::Serial => {
                        let (lo, hi) = (self.text(lo)?, self.text(hi)?);
                        format!("for (int {name} = {lo}, end_{name} = {hi}; {name} < end_{name}; {name} += {step})")
                    }
                };
                out.push_str(&format!("{pad}{head} {{\n"));
                self.stmts(body, depth + 1, out)?;
                out.push_str(&format!("{pad}}}\n"));
            }
            Stmt::If { cond, then, other } => {
                out.push_str(&format!("{pad}if ({}) {{\n", self.text(cond)?));
                self.stmts(then, depth + 1, out)?;
                if !other.is_empty() {
                    out.push_str(&format!("{pad}}} else {{\n"));
                    self.stmts(other, depth + 1, out)?;
                }
                out.push_str(&format!("{pad}}}\n"));
            }
            Stmt::Arrive { last, counter, of } => {
                let (counter, of) = (self.text(counter)?, self.text(of)?);
                let arrive = format!("arrive(counters + {counter}, {of}");
                let call = match self.func.width {
                    1 => format!("{arrive})"),
                    width => format!("{arrive}, lane, mask, {width})"),
                };
                out.push_str(&format!("{pad}const bool {} = {call};\n", self.var(*last)));
            }
            Stmt::Store { to, value } => {
                let grouped = self.func.width > 1;
                let (value, ty) = self.expr(value)?;
                let (how, address) = (self.how(to), self.address(to)?);
                let store = |value: &str| format!("store_{how}({address}, {value});");
                // All lanes compute the value: it may take an exchange between them. The first stores it.
                let store = match grouped && to.lane_stride == 0 {
                    true => format!("{{ const {} one = {value}; if (lane == 0) {} }}", c_type(ty), store("one")),
                    false => store(&value),
                };
                // Lanes exchange arrays: none may still read the old value, and all must see the new one.
                match to.mem {
                    Mem::Local(_) if grouped => {
                        out.push_str(&format!("{pad}__syncwarp(mask);\n{pad}{store}\n{pad}__syncwarp(mask);\n"));
                    }
                    _ => out.push_str(&format!("{pad}{store}\n")),
                }
            }
        }
        Ok(())
    }
}

fn c_type(ty: Ty) -> &'static str {
    match ty {
        Ty::F32 => "float",
        Ty::I32 => "int",
        Ty::I64 => "i64",
        Ty::Bool => "bool",
        Ty::U8x4 | Ty::I8x4 => "u32",
    }
}

fn collect<'a>(func: &Func, stmts: &'a [Stmt], longs: &mut HashMap<Var, &'a Expr>) {
    for s in stmts {
        if let Stmt::Let { var, value } = s
            && func.vars[var.0 as usize].ty == Ty::I64
        {
            longs.insert(*var, value);
        }
        s.lists().into_iter().for_each(|list| collect(func, list, longs));
    }
}
