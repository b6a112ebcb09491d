//! Loops that load weights iterations ahead: they give the same bits, and loops that change what they load from stay as they are.
use crate::build::*;
use kgen::ir::{BinOp, Scalar};
use kgen::layout::Layout;
use kgen::loop_ir::ahead::load_ahead;
use kgen::loop_ir::{Bind, Expr, Func, Mem, Owner, Scratch, Stmt, Ty, Var, interp, print};

const WIDTH: usize = 2;
/// The loop of item `i` runs `i` times: the first is empty, the second has one iteration.
const ITEMS: usize = 5;

/// What a loop's body is made of.
struct Parts {
    /// Packed weights, floats and integers; as many as there are.
    weights: Mem,
    places: Mem,
    /// One number an item and iteration, which is only read.
    table: Mem,
    /// Written.
    notes: Mem,
    local: Mem,
    team: Mem,
    item: Var,
    i: Var,
    /// Floats, one a lane,
    acc: Var,
    /// and an integer that begins as the item's number.
    count: Var,
}

impl Parts {
    /// The number of this iteration among those of all items.
    fn index(&self) -> Expr {
        bin(BinOp::Add, bin(BinOp::Mul, var(self.item), int(ITEMS as i32 - 1)), var(self.i))
    }

    /// A number of weights in each lane, those of this index.
    fn weight(&self, index: Expr) -> Expr {
        Expr::Load(at(self.weights, offset(index, 4 * WIDTH as i64, 0), 4, Scalar::F32))
    }

    fn add(&self, weight: Var) -> Stmt {
        Stmt::Set { var: self.acc, value: fma(var(self.acc), Expr::Float(0.75), var(weight)) }
    }
}

/// `for item { for lane { acc = 0; for i in 0..end { body }; y[item] = acc } }`, where `make` gives the end and the body.
fn func(make: impl Fn(&mut Build, &Parts) -> (Expr, Vec<Stmt>)) -> Func {
    let mut b = Build::new("f", WIDTH);
    let [item, i, count] = ["item", "i", "count"].map(|name| b.one(name, Ty::I32));
    let [own, shared] = ["own", "shared"].map(|name| b.one(name, Ty::F32));
    let p = Parts {
        weights: b.buffer("weights", Scalar::F32, false),
        places: b.buffer("places", Scalar::I32, false),
        table: b.buffer("table", Scalar::I32, false),
        notes: b.buffer("notes", Scalar::I32, true),
        local: Mem::Local(own),
        team: Mem::Shared(shared),
        item,
        i,
        acc: b.each("acc", Ty::F32),
        count,
    };
    let y = b.buffer("y", Scalar::F32, true);
    let packed = Layout { rows: WIDTH, block_bytes: 4, runs: Vec::new().into() };
    b.func.layouts = vec![Some(packed.clone()), Some(packed), None, None, None];
    b.func.scratch = Some(Scratch { item_bytes: 4, counters: int(0) });
    let array = |var, of| Stmt::Array { var, scalar: Scalar::I32, len: 4, of };
    b.func.body = vec![array(own, Owner::Worker), array(shared, Owner::Team)];
    let (end, body) = make(&mut b, &p);
    let result = at(y, offset(var(item), 4 * WIDTH as i64, 0), 4, Scalar::F32);
    let regs = [(p.acc, Expr::Float(0.0)), (count, var(item))].map(|(var, init)| Stmt::Reg { var, init });
    let rest = vec![for_(Bind::Serial, i, int(0), end, body), store(result, var(p.acc))];
    b.items(item, [regs.to_vec(), rest].concat())
}

/// What the items `from..` store. There are as many weights as are used, so that a load too many is a fault.
fn run(func: &Func, items: usize) -> Vec<u32> {
    let last = items - 1;
    let used = if last == 0 { 0 } else { last * (ITEMS - 1) + last };
    let weights: Vec<f32> = (0..used * WIDTH).map(|i| 0.3 + 1e3f32.powi(i as i32 % 3) * i as f32).collect();
    let places: Vec<i32> = (0..used * WIDTH).map(|i| (i * 7 % used) as i32).collect();
    let table: Vec<i32> = (0..used).map(|i| (i * 5 % used) as i32).collect();
    let mut buffers = vec![f32s(&weights), i32s(&places), i32s(&table), vec![0; 4], vec![0; 4 * WIDTH * ITEMS]];
    interp::run(func, &[items as i32], &[], &mut buffers, 0, items as i32).unwrap_or_else(|fault| panic!("{fault}"));
    bits(&buffers[4])
}

/// The statements of the only innermost loop.
fn body(stmts: &[Stmt]) -> Option<&[Stmt]> {
    stmts.iter().find_map(|s| match s {
        Stmt::For { bind: Bind::Serial, body, .. } => Some(&body[..]),
        s => s.lists().into_iter().find_map(|list| body(list)),
    })
}

/// So many loads are an iteration ahead, and nothing else is new to who looks at the results.
#[track_caller]
fn changed(loads: usize, make: impl Fn(&mut Build, &Parts) -> (Expr, Vec<Stmt>)) {
    let plain = func(make);
    let mut ahead = plain.clone();
    load_ahead(&mut ahead, 1);
    let text = print::func(&ahead);
    // After the iteration's number.
    let stmts = &body(&ahead.body).expect("there is a loop")[1..];
    let read =
        |s: &&Stmt| matches!(s, Stmt::Let { value: Expr::Var(v), .. } if ahead.vars[v.0 as usize].name == "next");
    assert_eq!(stmts.iter().take_while(read).count(), loads, "{text}");
    let Some(Stmt::If { then, .. }) = stmts.get(loads) else { panic!("the next iteration's loads come first: {text}") };
    let filled = then.iter().filter(|s| matches!(s, Stmt::Set { value: Expr::Load(_) | Expr::LoadPack(_), .. }));
    assert_eq!(filled.count(), loads, "{text}");
    for depth in 1..=ITEMS {
        let mut ahead = plain.clone();
        load_ahead(&mut ahead, depth);
        for items in 1..=ITEMS {
            let text = print::func(&ahead);
            assert_eq!(run(&ahead, items), run(&plain, items), "{depth} ahead, {items} items\n{text}");
        }
    }
    assert!(run(&plain, ITEMS)[WIDTH..].iter().all(|bits| *bits != 0), "what is compared are sums: {text}");
}

#[track_caller]
fn stays(make: impl Fn(&mut Build, &Parts) -> (Expr, Vec<Stmt>)) {
    let plain = func(make);
    let mut ahead = plain.clone();
    load_ahead(&mut ahead, 2);
    assert_eq!(print::func(&ahead), print::func(&plain));
}

#[test]
fn weights_are_loaded_an_iteration_ahead() {
    changed(1, |b, p| {
        let w = b.each("w", Ty::F32);
        (var(p.item), vec![let_(w, p.weight(p.index())), p.add(w)])
    });
}

#[test]
fn what_places_are_computed_from_comes_along() {
    // Also what is loaded, from what is only read.
    changed(2, |b, p| {
        let (w, u) = (b.each("w", Ty::F32), b.each("u", Ty::F32));
        let (index, from) = (b.one("index", Ty::I32), b.one("from", Ty::I32));
        let listed = Expr::Load(at(p.table, offset(var(index), 4, 0), 0, Scalar::I32));
        let body = vec![
            let_(index, p.index()),
            let_(w, p.weight(var(index))),
            p.add(w),
            let_(from, listed),
            let_(u, p.weight(var(from))),
            p.add(u),
        ];
        (var(p.item), body)
    });
}

#[test]
fn a_place_that_weights_tell_is_that_of_the_next_iteration() {
    changed(2, |b, p| {
        let (place, first, w) = (b.each("place", Ty::I32), b.one("first", Ty::I32), b.each("w", Ty::F32));
        let told = Expr::Load(at(p.places, offset(p.index(), 4 * WIDTH as i64, 0), 4, Scalar::I32));
        let first_of = Expr::First(Box::new(var(place)));
        (var(p.item), vec![let_(place, told), let_(first, first_of), let_(w, p.weight(var(first))), p.add(w)])
    });
}

/// The list that has the only innermost loop.
fn list(stmts: &mut Vec<Stmt>) -> Option<&mut Vec<Stmt>> {
    if stmts.iter().any(|s| matches!(s, Stmt::For { bind: Bind::Serial, .. })) {
        return Some(stmts);
    }
    stmts.iter_mut().flat_map(Stmt::lists_mut).find_map(list)
}

#[test]
fn the_first_loads_are_begun_before_something_is_waited_for() {
    let mut plain = func(|b, p| {
        let (index, w) = (b.one("index", Ty::I32), b.each("w", Ty::F32));
        (var(p.item), vec![let_(index, p.index()), let_(w, p.weight(var(index))), p.add(w)])
    });
    let stmts = list(&mut plain.body).expect("there is a loop");
    let place = stmts.iter().position(|s| matches!(s, Stmt::For { .. })).expect("as above");
    stmts.insert(place, Stmt::Await);
    let mut ahead = plain.clone();
    load_ahead(&mut ahead, 2);
    let text = print::func(&ahead);
    let stmts = list(&mut ahead.body).expect("there is a loop");
    let fills: Vec<usize> = (0..stmts.len()).filter(|i| matches!(stmts[*i], Stmt::If { .. })).collect();
    let wait = stmts.iter().position(|s| matches!(s, Stmt::Await)).expect("it is still there");
    assert!(fills.len() == 2 && fills.iter().all(|fill| *fill < wait), "{text}");
    for items in 1..=ITEMS {
        assert_eq!(run(&ahead, items), run(&plain, items), "{items} items\n{text}");
    }
}

#[test]
fn a_loop_that_changes_where_it_loads_from_stays() {
    let next = |p: &Parts| Stmt::Set { var: p.count, value: bin(BinOp::Add, var(p.count), int(1)) };
    stays(|b, p| {
        let w = b.each("w", Ty::F32);
        (var(p.item), vec![let_(w, p.weight(var(p.count))), p.add(w), next(p)])
    });
    stays(|b, p| {
        let (w, index) = (b.each("w", Ty::F32), b.one("index", Ty::I32));
        let doubled = let_(index, bin(BinOp::Mul, var(p.count), int(2)));
        (var(p.item), vec![doubled, let_(w, p.weight(var(index))), p.add(w), next(p)])
    });
    // It changes where it ends.
    stays(|b, p| {
        let w = b.each("w", Ty::F32);
        (var(p.count), vec![let_(w, p.weight(p.index())), p.add(w), next(p)])
    });
    // One that changes a register which has nothing to do with it does not stay.
    changed(1, |b, p| {
        let w = b.each("w", Ty::F32);
        (var(p.item), vec![let_(w, p.weight(p.index())), p.add(w), next(p)])
    });
}

#[test]
fn a_loop_that_loads_from_where_memory_changes_stays() {
    let from = |mem: fn(&Parts) -> Mem| {
        stays(move |b, p| {
            let (w, index) = (b.each("w", Ty::F32), b.one("index", Ty::I32));
            let place = at(mem(p), Expr::Long(0), 0, Scalar::I32);
            let body = vec![
                let_(index, Expr::Load(place.clone())),
                let_(w, p.weight(var(index))),
                p.add(w),
                store(place, bin(BinOp::Add, var(index), int(1))),
            ];
            (var(p.item), body)
        });
        stays(move |b, p| {
            let w = b.each("w", Ty::F32);
            let end = Expr::Load(at(mem(p), Expr::Long(0), 0, Scalar::I32));
            (end, vec![let_(w, p.weight(p.index())), p.add(w)])
        });
    };
    from(|p| p.local);
    from(|p| p.team);
    from(|p| p.notes);
    from(|_| Mem::Scratch);
    // Weights that are written are none.
    let mut func = func(|b, p| {
        let w = b.each("w", Ty::F32);
        (var(p.item), vec![let_(w, p.weight(p.index())), p.add(w)])
    });
    func.buffers[0].written = true;
    let before = print::func(&func);
    load_ahead(&mut func, 1);
    assert_eq!(print::func(&func), before);
}

#[test]
fn without_packed_weights_nothing_changes() {
    let mut func = func(|b, p| {
        let w = b.each("w", Ty::F32);
        (var(p.item), vec![let_(w, p.weight(p.index())), p.add(w)])
    });
    func.layouts.clear();
    let before = print::func(&func);
    load_ahead(&mut func, 1);
    assert_eq!(print::func(&func), before);
}
