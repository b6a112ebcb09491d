//! Faults planted into lowered kernels and into emitted code, as a wrong compiler would make them. The comparison must find
//! each of them.
mod expressions;
mod statements;
pub mod text;

use crate::case::{Case, Checked};
use crate::run::{TARGETS, agrees_with, first_seed, guarded, on_all_cores};
use kgen::loop_ir::{Expr, Func, Stmt, Ty, Var};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A mistake of the compiler.
pub struct Fault {
    pub name: &'static str,
    /// Makes it wherever it can be made in a function; how often it was.
    pub plant: fn(&mut Func) -> usize,
}

/// Every fault.
pub fn all() -> Vec<&'static Fault> {
    expressions::FAULTS.iter().chain(statements::FAULTS).collect()
}

/// How a fault fared.
#[derive(Debug, Default)]
pub struct Fared {
    /// Lowered kernels in which it was planted.
    pub planted: AtomicU64,
    /// The first seed whose kernel shows it, and how.
    pub found: Mutex<Option<(u64, String)>>,
}

/// Looks for each fault in up to `count` kernels.
pub fn look(count: u64) -> Vec<(&'static Fault, Fared)> {
    let all: Vec<(&Fault, Fared)> = all().into_iter().map(|fault| (fault, Fared::default())).collect();
    on_all_cores(count, |i| {
        let open: Vec<_> = all.iter().filter(|(_, fared)| fared.found.lock().expect("no panic").is_none()).collect();
        if open.is_empty() {
            return;
        }
        let seed = first_seed() + i;
        let case = Case::drawn("f", seed, &TARGETS).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let expected = case.meaning().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        for (fault, fared) in open {
            if let Err(how) = guarded(|| planted(&case, &expected, fault, &fared.planted)) {
                fared.found.lock().expect("no panic").get_or_insert((seed, how));
            }
        }
    });
    all
}

fn planted(case: &Case, expected: &[Vec<u8>], fault: &Fault, count: &AtomicU64) -> Checked<()> {
    agrees_with(case, expected, |mut func| {
        if (fault.plant)(&mut func) > 0 {
            count.fetch_add(1, Ordering::Relaxed);
            return Some(func);
        }
        None
    })
}

/// Calls `f` for every expression of a function, inner ones first; how often `f` changed one.
fn expressions(func: &mut Func, mut f: impl FnMut(&Types, &mut Expr) -> bool) -> usize {
    let types = Types::of(func);
    let mut changed = 0;
    statements(&mut func.body, &mut |stmts| {
        for e in stmts.iter_mut().flat_map(Stmt::exprs_mut) {
            inner_first(e, &mut |e| changed += usize::from(f(&types, e)));
        }
        0
    });
    changed
}

fn inner_first(e: &mut Expr, f: &mut impl FnMut(&mut Expr)) {
    e.children_mut().into_iter().for_each(|child| inner_first(child, f));
    f(e);
}

/// Calls `f` for every list of statements, inner ones first; the sum of what it gives.
fn statements(list: &mut Vec<Stmt>, f: &mut impl FnMut(&mut Vec<Stmt>) -> usize) -> usize {
    let inner: usize = list.iter_mut().flat_map(Stmt::lists_mut).map(|inner| statements(inner, f)).sum();
    inner + f(list)
}

/// The types of a function's variables.
struct Types(Vec<Ty>);

impl Types {
    fn of(func: &Func) -> Types {
        Types(func.vars.iter().map(|v| v.ty).collect())
    }

    /// Whether it is a float.
    fn float(&self, e: &Expr) -> bool {
        crate::coverage::ty(&|v: Var| self.0[v.0 as usize], e) == Ty::F32
    }

    /// Whether it is an integer.
    fn int(&self, e: &Expr) -> bool {
        crate::coverage::ty(&|v: Var| self.0[v.0 as usize], e) == Ty::I32
    }
}
