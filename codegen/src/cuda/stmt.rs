//! Prints functions and statements.
use super::in_memory::Pending;
use super::text::Text;
use super::{array, in_flight};
use crate::instructions::instruction;
use crate::ir::{BinOp, Span};
use crate::loop_ir::{Access, Bind, Expr, Func, Mem, Owner, Stmt, Ty, Var};
use crate::places::Places;
use std::cell::Cell;
use std::collections::HashMap;

/// Something printed, or why it cannot be.
pub(super) type Printed<T> = Result<T, String>;

/// Prints one function.
pub(super) struct Printer<'a> {
    pub func: &'a Func,
    /// Integers that have names and that byte offsets may be made of, for what is known of their alignment.
    pub offsets: HashMap<Var, &'a Expr>,
    /// Whether an instruction reads shared memory by itself.
    pub reads_by_itself: bool,
    /// Bytes of shared memory of the team, and of each group.
    shared: (usize, usize),
    places: &'a Places,
    /// Whether lanes meet around the loop that is being printed, and so not around its stores to arrays.
    apart: Cell<bool>,
}

impl<'a> Printer<'a> {
    pub fn new(func: &'a Func, shared: (usize, usize), places: &'a Places) -> Self {
        let mut offsets = HashMap::new();
        collect(func, &func.body, &mut offsets);
        let reads_by_itself = reads_by_itself(&func.body);
        Printer { func, offsets, reads_by_itself, shared, places, apart: Cell::new(false) }
    }

    /// What a CTA of `threads` does.
    pub fn body(&self, threads: usize) -> Printed<String> {
        let f = self.func;
        let mut out = Text::new(self.places);
        self.alignments(&mut out);
        self.groups(threads, &mut out);
        // What is in front of the items touches nothing that another launch writes.
        let first = |s: &&Stmt| matches!(s, Stmt::For { bind: Bind::First, .. });
        let (early, items): (Vec<&Stmt>, Vec<&Stmt>) = f.body.iter().partition(first);
        self.stmts(early, 1, &mut out)?;
        out.bare(1, "await_launch_before();");
        out.bare(1, "let_next_launch_start();");
        for i in f.dims..f.ints {
            let name = self.var(Var(i as u32));
            out.line(1, &format!("const int {name} = *{name}_at;"));
        }
        self.stmts(items, 1, &mut out)?;
        Ok(out.finish())
    }

    /// Type and name of each parameter: buffers, dims, pointers to the integer scalars, floats, and what groups share.
    pub fn parameters(&self) -> Vec<(String, String)> {
        let f = self.func;
        let buffers = f.buffers.iter().enumerate().map(|(i, b)| {
            // What other groups write and this one reads may be neither kept nor moved across an arrival.
            let restrict = if f.hands_on(i) { "" } else { " __restrict__" };
            let constant = if b.written { "" } else { "const " };
            (format!("{constant}u8*{restrict}"), format!("{}_", b.name))
        });
        let name = |i: usize| self.var(Var(i as u32));
        let dims = (0..f.dims).map(|i| ("int".to_string(), name(i)));
        let scalars = (f.dims..f.ints).map(|i| ("const int* __restrict__".to_string(), format!("{}_at", name(i))));
        let floats = (f.ints..f.ints + f.floats).map(|i| ("float".to_string(), name(i)));
        let scratch = [("u8*", "scratch"), ("u32*", "counters")].map(|(ty, name)| (ty.to_string(), name.to_string()));
        let scratch = f.scratch.iter().flat_map(|_| scratch.clone());
        buffers.chain(dims).chain(scalars).chain(floats).chain(scratch).collect()
    }

    /// What pointers are certainly multiples of: neighbouring loads become one.
    fn alignments(&self, out: &mut Text) {
        for (i, b) in self.func.buffers.iter().enumerate() {
            let bytes = self.begins_at(i);
            if bytes > 4 {
                let (name, constant) = (&b.name, if b.written { "" } else { "const " });
                out.line(1, &format!("{name}_ = ({constant}u8*)__builtin_assume_aligned({name}_, {bytes});"));
            }
        }
    }

    /// Who this thread is: its lane, and its group in the CTA and in the grid.
    fn groups(&self, threads: usize, out: &mut Text) {
        let width = self.func.width;
        let per_cta = threads / width;
        let mut line = |text: String| out.line(1, &text);
        if width > 1 {
            let bits = if width == 32 { u32::MAX } else { (1 << width) - 1 };
            line(format!("const int lane = threadIdx.x % {width};"));
            line(format!("const u32 mask = {bits:#x}u << (threadIdx.x % 32 / {width} * {width});"));
        }
        let (of_team, of_group) = self.shared;
        if of_team + of_group > 0 {
            line("extern __shared__ __align__(16) u8 shared[];".into());
        }
        if of_group > 0 {
            line(format!("u8* mine = shared + {of_team} + threadIdx.x / {width} * {of_group};"));
        }
        if self.func.team > 1 {
            line(format!("const int member = threadIdx.x / {width};"));
        } else {
            line(format!("const int group = cta * {per_cta} + threadIdx.x / {width};"));
            line(format!("const int groups = ctas * {per_cta};"));
        }
    }

    pub fn var(&self, v: Var) -> String {
        format!("{}_{}", self.func.vars[v.0 as usize].name.to_lowercase(), v.0)
    }

    /// Where the source has what a statement does.
    fn place(&self, s: &Stmt) -> Option<Span> {
        let of = |var: &Var| self.func.vars[var.0 as usize].span;
        Some(match s {
            Stmt::Set { value: Expr::Var(var), .. } => of(var),
            Stmt::Let { var, .. }
            | Stmt::Reg { var, .. }
            | Stmt::Set { var, .. }
            | Stmt::For { var, .. }
            | Stmt::Arrive { last: var, .. } => of(var),
            Stmt::Store { span, .. } | Stmt::Accumulate { span, .. } => *span,
            Stmt::Array { .. }
            | Stmt::If { .. }
            | Stmt::Barrier
            | Stmt::Copy { .. }
            | Stmt::Await
            | Stmt::Prefetch { .. } => {
                return None;
            }
        })
    }

    pub(super) fn stmts<'s>(
        &self,
        stmts: impl IntoIterator<Item = &'s Stmt>,
        depth: usize,
        out: &mut Text,
    ) -> Printed<()> {
        let (mut of_team, mut of_group) = (0, 0);
        let mut pending = Pending::default();
        for s in stmts {
            if let Some(span) = self.place(s) {
                out.place(span);
            }
            if let (Stmt::Array { var, .. }, Some((owner, bytes))) = (s, array(s)) {
                let name = self.var(*var);
                let line = match (owner, self.func.width) {
                    (Owner::Team, _) => format!("u8* {name} = shared + {of_team};"),
                    (Owner::Worker, 1) => format!("__align__(16) u8 {name}[{bytes}];"),
                    (Owner::Worker, _) => format!("u8* {name} = mine + {of_group};"),
                };
                *(if owner == Owner::Team { &mut of_team } else { &mut of_group }) += bytes;
                out.line(depth, &line);
                continue;
            }
            self.under_way(s, depth, &mut pending, out);
            self.stmt(s, depth, out)?;
        }
        self.await_wide(&mut pending, depth, out);
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
            Stmt::Array { .. } => return Err("an array that is not at the top of its function".into()),
            Stmt::For { bind, var, lo, hi, step, body } => {
                let name = self.var(*var);
                let head = match bind {
                    Bind::Work => {
                        let work = self.text(hi)?;
                        let (first, step) = if self.func.team > 1 { ("cta", "ctas") } else { ("group", "groups") };
                        format!(
                            "for (int {name} = {first}, end_{name} = {work}; {name} < end_{name}; {name} += {step}) {{"
                        )
                    }
                    Bind::First => {
                        let first = if self.func.team > 1 { "cta" } else { "group" };
                        out.line(depth, &format!("if (const int {name} = {first}; {name} < {}) {{", self.text(hi)?));
                        self.stmts(body, depth + 1, out)?;
                        out.bare(depth, "}");
                        return Ok(());
                    }
                    Bind::Team => {
                        out.line(depth, &format!("const int {name} = member;"));
                        "{".into()
                    }
                    Bind::Simd => {
                        out.line(depth, &format!("const int {name} = lane;"));
                        "{".into()
                    }
                    Bind::Serial | Bind::Rolled if !self.apart.get() && self.keeps_apart((*var, *step), body) => {
                        out.line(depth, "__syncwarp(mask);");
                        self.apart.set(true);
                        let printed = self.stmt(s, depth, out);
                        self.apart.set(false);
                        out.line(depth, "__syncwarp(mask);");
                        return printed;
                    }
                    Bind::Serial | Bind::Rolled => {
                        if *bind == Bind::Rolled {
                            out.bare(depth, "#pragma unroll 1");
                        } else if self.func.in_flight > 1
                            && let loads @ 1.. = in_flight::loads(body, self.apart.get())
                        {
                            return self.in_flight(loads, (*var, *step), (lo, hi), body, depth, out);
                        } else if self.func.in_flight > 1 && in_flight::reads_arrays(body) {
                            out.bare(depth, &format!("#pragma unroll {}", in_flight::OF_ARRAYS));
                        }
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
            Stmt::Prefetch { from, bytes } => {
                let lanes = if self.func.width > 1 { format!("lane, {}", self.func.width) } else { "0, 1".into() };
                out.bare(depth, &format!("ask_for({}, {bytes}, {lanes});", self.address(from)?));
            }
            Stmt::Barrier => out.bare(depth, "__syncthreads();"),
            Stmt::Copy { to, from, len, only } => self.copy((to, from), *len, only.as_ref(), (depth, out))?,
            Stmt::Await => {
                out.bare(depth, "await_copies();");
                if self.reads_by_itself {
                    out.bare(depth, "show_to_matrices();");
                }
                // A thread waits for its own copies; the group goes on when all its threads have.
                if self.func.width > 1 {
                    out.bare(depth, "__syncwarp(mask);");
                }
            }
            Stmt::Arrive { last, counter, of, by } => {
                let arrival = format!("counters + {}, {}", self.text(counter)?, self.text(of)?);
                let call = match (by, self.func.width) {
                    (Owner::Team, _) => format!("arrive_as_cta({arrival})"),
                    (Owner::Worker, 1) => format!("arrive({arrival})"),
                    (Owner::Worker, width) => format!("arrive({arrival}, lane, mask, {width})"),
                };
                out.line(depth, &format!("const bool {} = {call};", self.var(*last)));
            }
            Stmt::Accumulate { intrinsic, registers, args, .. } => {
                let known = instruction(intrinsic).filter(|i| i.lanes().is_none_or(|lanes| lanes == self.func.width));
                let Some(template) = known.and_then(|i| i.cuda) else {
                    return Err(format!("CUDA has no `{intrinsic}` for {} lanes", self.func.width));
                };
                let (args, loads) = args.split_at(args.len() - known.map_or(0, |i| i.in_memory));
                let mut parts: Vec<String> = registers.iter().map(|register| self.var(*register)).collect();
                parts.extend(args.iter().map(|arg| self.text(arg)).collect::<Printed<Vec<_>>>()?);
                if !loads.is_empty() {
                    parts.push(self.in_memory(loads)?);
                    parts = vec![parts.join(", ")];
                }
                let text = parts.iter().fold(template.to_string(), |text, part| text.replacen("{}", part, 1));
                out.line(depth, &text);
            }
            Stmt::Store { to, value, only, .. } => {
                let grouped = self.func.width > 1;
                let (value, ty) = self.expr(value)?;
                let (how, address) = (self.how(to), self.address(to)?);
                let store = |value: &str| format!("store_{how}({address}, {value});");
                // All lanes compute the value: it may take an exchange between them. The first stores it.
                let store = match grouped && !to.varies() {
                    true => format!("{{ const {} one = {value}; if (lane == 0) {} }}", c_type(ty), store("one")),
                    false => store(&value),
                };
                let store = match only {
                    Some(only) => format!("if ({}) {store}", self.text(only)?),
                    None => store,
                };
                // Lanes exchange arrays: none may still read the old value, and all must see the new one.
                match to.mem {
                    Mem::Local(_) | Mem::Shared(_) if grouped && !self.apart.get() => {
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

impl Printer<'_> {
    /// An address with its constant part last: pieces one behind the other have all else in common.
    fn address_of_piece(&self, a: &Access) -> Printed<String> {
        match &*a.addr {
            Expr::Binary(BinOp::Add, base, further) if matches!(**further, Expr::Long(_)) => {
                let base = Access { addr: base.clone(), ..a.clone() };
                Ok(format!("{} + {}", self.address(&base)?, self.text(further)?))
            }
            _ => self.address(a),
        }
    }

    /// A piece a lane, or one piece by the first lane.
    fn copy(
        &self,
        (to, from): (&Access, &Access),
        len: usize,
        only: Option<&Expr>,
        (depth, out): (usize, &mut Text),
    ) -> Printed<()> {
        let size = len * to.scalar.bytes();
        let aligned = [to, from].iter().all(|a| self.access_alignment(a) >= size as i64);
        if !matches!(size, 4 | 8 | 16) || !aligned {
            return Err(format!("pieces of {size} bytes are not known to be aligned"));
        }
        let copy = format!("copy_{size}({}, {});", self.address_of_piece(to)?, self.address_of_piece(from)?);
        let first = match only {
            Some(only) => format!("if ({}) ", self.text(only)?),
            None if self.func.width > 1 && !to.varies() => "if (lane == 0) ".into(),
            None => String::new(),
        };
        out.bare(depth, &format!("{first}{copy}"));
        Ok(())
    }
}

fn c_type(ty: Ty) -> &'static str {
    match ty {
        Ty::F32 => "float",
        Ty::I32 => "int",
        Ty::I64 => "i64",
        Ty::Bool => "bool",
        Ty::U8x4 | Ty::I8x4 | Ty::I16x2 => "u32",
    }
}

fn reads_by_itself(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| match s {
        Stmt::Accumulate { intrinsic, .. } => instruction(intrinsic).is_some_and(|i| i.in_memory > 0),
        _ => s.lists().into_iter().any(|list| reads_by_itself(list)),
    })
}

fn collect<'a>(func: &Func, stmts: &'a [Stmt], offsets: &mut HashMap<Var, &'a Expr>) {
    for s in stmts {
        if let Stmt::Let { var, value } = s
            && matches!(func.vars[var.0 as usize].ty, Ty::I64 | Ty::I32)
        {
            offsets.insert(*var, value);
        }
        s.lists().into_iter().for_each(|list| collect(func, list, offsets));
    }
}
