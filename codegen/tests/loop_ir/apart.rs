//! Where lanes meet around stores to an array of their group, in CUDA code.
use crate::build::*;
use kgen::ir::Scalar;
use kgen::loop_ir::{Bind, Expr, Mem, Owner, Stmt, Ty, Var};
use kgen::places::Places;

const WIDTH: usize = 16;

/// Whether lanes meet inside of `for i in 0..4 by step { body }`, where `body` gets the array and `i`.
fn meet_inside(step: i32, body: impl Fn(Mem, Var) -> Vec<Stmt>) -> bool {
    let mut b = Build::new("f", WIDTH);
    let [item, i] = ["item", "i"].map(|name| b.one(name, Ty::I32));
    let array = b.one("array", Ty::F32);
    let body = body(Mem::Local(array), i);
    b.func.body = vec![Stmt::Array { var: array, scalar: Scalar::F32, len: 64, of: Owner::Worker }];
    let func = b.items(item, vec![Stmt::For { bind: Bind::Serial, var: i, lo: int(0), hi: int(64), step, body }]);
    let text = kgen::cuda::emit(&func, 32, &Places::default()).unwrap_or_else(|e| panic!("{e}")).body;
    let (_, inside) = text.split_once("for (int i_").expect("there is a loop");
    let (inside, after) = inside.split_once("}\n").expect("the loop ends");
    assert!(inside.contains("store_f32"), "{text}");
    let within = inside.contains("__syncwarp");
    assert!(within || after.trim_start().starts_with("__syncwarp"), "they meet somewhere: {text}");
    within
}

fn element(array: Mem, i: Var, scale: i64, lane_stride: i32) -> kgen::loop_ir::Access {
    at(array, offset(var(i), scale, 0), lane_stride, Scalar::F32)
}

#[test]
fn lanes_that_store_to_their_own_elements_meet_around_the_loop() {
    assert!(!meet_inside(16, |array, i| vec![store(element(array, i, 4, 4), Expr::Float(1.0))]));
    assert!(!meet_inside(32, |array, i| vec![store(element(array, i, 4, 4), Expr::Float(1.0))]), "some are left out");
    assert!(!meet_inside(1, |array, i| vec![store(element(array, i, 64, 4), Expr::Float(1.0))]));
}

#[test]
fn lanes_that_touch_the_elements_of_others_meet_each_time() {
    let overlaps = |array, i| vec![store(element(array, i, 4, 4), Expr::Float(1.0))];
    assert!(meet_inside(1, overlaps) && meet_inside(8, overlaps), "iterations store to the same elements");
    assert!(meet_inside(16, |array, i| vec![store(element(array, i, 4, 0), Expr::Float(1.0))]), "one lane stores");
    let reads = |array, i| vec![store(element(array, i, 4, 4), Expr::Load(element(array, i, 4, 4)))];
    assert!(meet_inside(16, reads), "the array is read");
    let twice = |array, i| vec![store(element(array, i, 4, 4), Expr::Float(1.0)); 2];
    assert!(meet_inside(16, twice), "there are two stores");
    let unknown = |array, i| {
        let square = kgen::loop_ir::Expr::Binary(kgen::ir::BinOp::Mul, Box::new(var(i)), Box::new(var(i)));
        vec![store(at(array, offset(square, 4, 0), 4, Scalar::F32), Expr::Float(1.0))]
    };
    assert!(meet_inside(16, unknown), "how far apart iterations are is not known");
}
