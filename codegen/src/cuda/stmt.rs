//! Prints functions and statements.
use super::text::Text;
use crate::ir::{Scalar, Span};
use crate::loop_ir::{Bind, Expr, Func, Mem, Stmt, Ty, Var};
use crate::places::Places;
use std::collections::HashMap;

/// Something printed, or why it cannot be.
pub(super) type Printed<T> = Result<T, String>;

/// Prints one function.
pub(super) struct Printer<'a> {
    pub func: &'a Func,
    /// Byte offsets that have names, for what is known of their alignment.
    pub longs: HashMap<Var, &'a Expr>,
    shared: usize,
    places: &'a Places,
}

impl<'a> Printer<'a> {
    pub fn new(func: &'a Func, shared: usize, places: &'a Places) -> Self {
        let mut longs = HashMap::new();
        collect(func, &func.body, &mut longs);
        Printer { func, longs, shared, places }
    }

    pub fn function(&self, threads: usize) -> Printed<String> {
        let f = self.func;
        let buffers = f.buffers.iter().map(|b| {
            let constant = if b.written { "" } else { "const " };
            format!("{constant}u8* __restrict__ {}_", b.name)
        });
        let ints = (0..f.ints).map(|i| format!("int {}", self.var(Var(i as u32))));
        let floats = (f.ints..f.ints + f.floats).map(|i| format!("float {}", self.var(Var(i as u32))));
        let params: Vec<String> = buffers.chain(ints).chain(floats).chain(["int work".into()]).collect();
        let mut out = Text::new(self.places);
        out.line(0, &format!("extern \"C\" __global__ void __launch_bounds__({threads}) {}(", f.name));
        out.line(1, &params.join(",\n    "));
        out.line(0, ") {");
        self.groups(threads, &mut out);
        self.stmts(&f.body, 1, &mut out)?;
        out.bare(0, "}");
        Ok(out.finish())
    }

    /// Who this thread is: its lane, and its group in the CTA and in the grid.
    fn groups(&self, threads: usize, out: &mut Text) {
        let width = self.func.width;
        let per_cta = threads / width;
        if width > 1 {
            let bits = if width == 32 { u32::MAX } else { (1 << width) - 1 };
            out.line(1, &format!("const int lane = threadIdx.x % {width};"));
            out.line(1, &format!("const u32 mask = {bits:#x}u << (threadIdx.x % 32 / {width} * {width});"));
        }
        if self.shared > 0 {
            out.line(1, "extern __shared__ __align__(16) u8 shared[];");
            out.line(1, &format!("u8* mine = shared + threadIdx.x / {width} * {};", self.shared));
        }
        out.line(1, &format!("const int group = blockIdx.x * {per_cta} + threadIdx.x / {width};"));
        out.line(1, &format!("const int groups = gridDim.x * {per_cta};"));
    }

    pub fn var(&self, v: Var) -> String {
        format!("{}_{}", self.func.vars[v.0 as usize].name.to_lowercase(), v.0)
    }

    /// Where the source has what a statement does.
    fn place(&self, s: &Stmt) -> Option<Span> {
        let of = |var: &Var| self.func.vars[var.0 as usize].span;
        Some(match s {
            Stmt::Set { value: Expr::Var(var), .. } => of(var),
            Stmt::Let { var, .. } | Stmt::Reg { var, .. } | Stmt::Set { var, .. } | Stmt::For { var, .. } => of(var),
            Stmt::Store { span, .. } => *span,
            Stmt::Array { .. } | Stmt::If { .. } => return None,
        })
    }

    fn stmts(&self, stmts: &[Stmt], depth: usize, out: &mut Text) -> Printed<()> {
        let mut used = 0;
        for s in stmts {
            if let Some(span) = self.place(s) {
                out.place(span);
            }
            if let Stmt::Array { var, scalar: Scalar::F32, len } = s {
                let line = match self.func.width {
                    1 => format!("float {}[{len}];", self.var(*var)),
                    _ => format!("float* {} = (float*)(mine + {used});", self.var(*var)),
                };
                used += 4 * len;
                out.line(depth, &line);
                continue;
            }
            self.stmt(s, depth, out)?;
        }
        Ok(())
    }

    fn stmt(&self, s: &Stmt, depth: usize, out: &mut Text) -> Printed<()> {
        match s {
            Stmt::Let { var, value } => {
                let (text, ty) = self.expr(value)?;
                out.line(depth, &format!("const {} {} = {text};", c_type(ty), self.var(*var)));
            }
            Stmt::Reg { var, init } => {
                let (text, ty) = self.expr(init)?;
                out.line(depth, &format!("{} {} = {text};", c_type(ty), self.var(*var)));
            }
            Stmt::Set { var, value } => out.line(depth, &format!("{} = {};", self.var(*var), self.text(value)?)),
            Stmt::Array { .. } => return Err("an array of what is no f32".into()),
            Stmt::For { bind, var, lo, hi, step, body } => {
                let name = self.var(*var);
                let head = match bind {
                    Bind::Cpu => format!("for (int {name} = group; {name} < work; {name} += groups) {{"),
                    Bind::Simd => {
                        out.line(depth, &format!("const int {name} = lane;"));
                        "{".into()
                    }
                    Bind::Serial => {
                        let (lo, hi) = (self.text(lo)?, self.text(hi)?);
                        format!("for (int {name} = {lo}, end_{name} = {hi}; {name} < end_{name}; {name} += {step}) {{")
                    }
                };
                out.line(depth, &head);
                self.stmts(body, depth + 1, out)?;
                out.bare(depth, "}");
            }
            Stmt::If { cond, then, other } => {
                out.line(depth, &format!("if ({}) {{", self.text(cond)?));
                self.stmts(then, depth + 1, out)?;
                if !other.is_empty() {
                    out.bare(depth, "} else {");
                    self.stmts(other, depth + 1, out)?;
                }
                out.bare(depth, "}");
            }
            Stmt::Store { to, value, .. } => {
                let store = format!("store_{}({}, {});", to.scalar.name(), self.address(to)?, self.text(value)?);
                let grouped = self.func.width > 1;
                let store = if grouped && to.lane_stride == 0 { format!("if (lane == 0) {store}") } else { store };
                // Lanes exchange arrays: none may still read the old value, and all must see the new one.
                match to.mem {
                    Mem::Local(_) if grouped => {
                        for line in ["__syncwarp(mask);", &store, "__syncwarp(mask);"] {
                            out.line(depth, line);
                        }
                    }
                    _ => out.line(depth, &store),
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
