//! Every guard of the interpreter and of the printer fires.
use crate::build::*;
use crate::kernels;
use kgen::cpu::{self, Isa};
use kgen::ir::{BinOp, Scalar, UnOp};
use kgen::loop_ir::{Bind, Expr, Stmt, Ty, Var, interp};

/// Runs `y[0] = value` with 8 lanes and one loaded register `x = 0..8`; `value` is given what loads it.
fn fault(make: impl Fn(&mut Build, Expr) -> Vec<Stmt>) -> String {
    let mut b = Build::new("bad", 8);
    let x = b.buffer("x", Scalar::I32, false);
    b.buffer("y", Scalar::I32, true);
    let item = b.one("item", Ty::I32);
    let load = Expr::Load(at(x, Expr::Long(0), 4, Scalar::I32));
    let body = make(&mut b, load);
    let func = b.items(item, body);
    let mut buffers = vec![i32s(&[0, 1, 2, 3, 4, 5, 6, 7]), vec![0; 32]];
    interp::run(&func, &[1], &[], &mut buffers, 0, 1).map_or_else(|f| f.to_string(), |()| "no fault".into())
}

fn fault_of(value: impl Fn(Expr) -> Expr) -> String {
    fault(|b, x| {
        let value = value(x);
        b.func.vars.push(kgen::loop_ir::VarInfo {
            name: "v".into(),
            ty: Ty::I32,
            varying: true,
            span: Default::default(),
        });
        vec![let_(Var(b.func.vars.len() as u32 - 1), value)]
    })
}

#[test]
fn arithmetic() {
    let max = || int(i32::MAX);
    assert_eq!(
        fault_of(|x| bin(BinOp::Add, x, max())),
        "the result leaves i32, in lane 1, at `x[0 + lane * 4].i32 + 2147483647`"
    );
    assert_eq!(fault_of(|x| bin(BinOp::Add, x, int(i32::MAX - 7))), "no fault");
    assert!(fault_of(|_| un(UnOp::Neg, int(i32::MIN))).starts_with("the result leaves i32, at"));
    assert!(fault_of(|x| bin(BinOp::Shl, int(1), bin(BinOp::Mul, x, int(5)))).starts_with("a shift by 35, in lane 7"));
    assert!(fault_of(|x| bin(BinOp::Shl, int(1 << 24), x)).starts_with("the result leaves i32, in lane 7"));
    assert!(fault_of(|x| bin(BinOp::Div, int(1), x)).starts_with("Div of 1 by 0, in lane 0"));
    assert!(fault_of(|x| bin(BinOp::Add, x, Expr::Float(1.0))).starts_with("Add of I32 and F32"));
    assert!(fault_of(|x| Expr::Splat4(Box::new(bin(BinOp::Mul, x, int(40))))).starts_with("280 is no byte, in lane 7"));
}

#[test]
fn bytes_and_instructions() {
    let splat = |v| Expr::Splat4(Box::new(int(v)));
    assert!(fault_of(|_| bin(BinOp::Add, splat(200), splat(56))).starts_with("byte 0 leaves U8x4"));
    assert!(fault_of(|_| bin(BinOp::Sub, splat(1), splat(2))).starts_with("byte 0 leaves U8x4"));
    assert!(fault_of(|_| bin(BinOp::Shl, splat(64), int(2))).starts_with("byte 0 leaves U8x4"));
    assert!(fault_of(|_| bin(BinOp::Shr, splat(64), int(32))).starts_with("a shift by 32"));
    let dot = |name, w: i32, b: u8| {
        let bytes = vec![vec![b; 4], vec![0; 4]];
        let mut f = Build::new("dot", 1);
        let (x, y) = (f.buffer("x", Scalar::I8, false), f.buffer("y", Scalar::I32, true));
        let item = f.one("item", Ty::I32);
        let pack = Expr::LoadPack(at(x, Expr::Long(0), 0, Scalar::I8));
        let value = call(name, vec![int(5), splat(w), pack]);
        let func = f.items(item, vec![store(at(y, Expr::Long(0), 0, Scalar::I32), value)]);
        let mut buffers = bytes;
        interp::run(&func, &[1], &[], &mut buffers, 0, 1).map(|()| bits(&buffers[1])[0] as i32).map_err(|f| f.reason)
    };
    assert_eq!(dot("dot4_maddubs", 129, 127), Ok(5 + 4 * 129 * 127));
    assert_eq!(dot("dot4_maddubs", 255, 128), Err("dot4_maddubs computes [-65280, -65280] in i16".into()));
    assert_eq!(dot("dot4_vpdpbusd", 255, 128), Ok(5 - 4 * 255 * 128));
    assert_eq!(dot("dot4_unknown", 1, 1), Err("there is no instruction `dot4_unknown`".into()));
}

#[test]
fn memory() {
    let to = |addr: i64, stride, scalar| at(kgen::loop_ir::Mem::Buffer(1), Expr::Long(addr), stride, scalar);
    let stored = |addr, stride, scalar| fault(|_, x| vec![store(to(addr, stride, scalar), x)]);
    assert_eq!(stored(0, 4, Scalar::I32), "no fault");
    assert!(stored(1, 4, Scalar::I32).starts_with("4 bytes at 1 + 7 * 4 leave the 32 bytes"));
    assert!(stored(-4, 4, Scalar::I32).starts_with("4 bytes at -4 + 0 * 4 leave"));
    assert!(stored(0, 0, Scalar::I32).starts_with("I32 of 8 lanes stored as I32 in 1"));
    assert!(stored(0, 2, Scalar::I32).starts_with("two lanes write the same byte"));
    assert!(stored(0, 4, Scalar::F32).starts_with("I32 of 8 lanes stored as F32"));
    assert!(fault(|_, x| vec![store(to(0, 1, Scalar::U8), bin(BinOp::Sub, int(6), x))]).starts_with("-1 is no u8"));
    let read_only = fault(|_, x| vec![store(at(kgen::loop_ir::Mem::Buffer(0), Expr::Long(0), 4, Scalar::I32), x)]);
    assert!(read_only.starts_with("the buffer is only read"), "{read_only}");
}

#[test]
fn variables_and_control() {
    let unset = fault(|b, _| {
        let (v, w) = (b.each("v", Ty::I32), b.each("w", Ty::I32));
        vec![let_(w, var(v))]
    });
    assert_eq!(unset, "used before it is set, at `v.2`");
    let early = fault(|b, x| vec![Stmt::Set { var: b.each("v", Ty::I32), value: x }]);
    assert!(early.starts_with("set before its register is declared"));
    assert!(fault(|b, x| vec![let_(b.one("v", Ty::I32), x)]).starts_with("a varying value for a uniform variable"));
    assert!(fault(|b, x| vec![let_(b.each("v", Ty::F32), x)]).starts_with("the variable is F32, the value I32"));
    let cond = |x| Stmt::If { cond: bin(BinOp::Lt, x, int(3)), then: vec![], other: vec![] };
    assert!(fault(|_, x| vec![cond(x)]).contains("is varying Bool where one Bool is needed"));
    let wide = |x: Expr| Expr::Load(at(kgen::loop_ir::Mem::Buffer(0), Expr::Widen(Box::new(x)), 4, Scalar::I32));
    assert!(fault_of(wide).contains("is varying I32 where one I32 is needed"));
    assert!(fault_of(|x| shuffle(8, x)).starts_with("lane ^ 8 of I32 with 8 lanes"));
    let nested = fault(|b, _| vec![for_(Bind::Simd, b.each("l", Ty::I32), int(0), int(8), vec![])]);
    assert!(nested.starts_with("a simd loop over 0..8 step 1 with 8 lanes"));
    let mut buffers = vec![vec![0; 8]];
    let part = interp::run(&kernels::control(), &[2], &[], &mut buffers, 0, 3).unwrap_err();
    assert!(part.reason.starts_with("part 0..3 of 0..2"));
}

#[test]
fn the_printer_refuses_with_reasons() {
    let reason = |func, isa| cpu::emit(&func, isa).map(|_| ()).unwrap_err().to_string();
    assert_eq!(reason(kernels::add(16), Isa::Avx2), "avx2: no registers of 16 lanes; it has 1, 4, 8");
    assert_eq!(reason(kernels::add(4), Isa::Scalar), "scalar: no registers of 4 lanes; it has 1");
    assert_eq!(
        reason(kernels::dot(8, "dot4_vpdpbusd"), Isa::Avx2),
        "avx2: `dot4_vpdpbusd` is not there with 8 lanes; it is on avx512 x4, avx512 x8, avx512 x16"
    );
    assert!(Isa::Avx512.supports_call("dot4_vpdpbusd", 4).is_ok());
    assert!(Isa::Avx2.supports_call("dot5", 8).unwrap_err().reason.starts_with("no instruction `dot5` is known"));
    let mut b = Build::new("divides", 8);
    let x = b.buffer("x", Scalar::I32, false);
    let (item, v) = (b.one("item", Ty::I32), b.each("v", Ty::I32));
    let load = Expr::Load(at(x, Expr::Long(0), 4, Scalar::I32));
    let func = b.items(item, vec![let_(v, bin(BinOp::Div, load, int(3)))]);
    assert_eq!(reason(func, Isa::Avx2), "avx2: in `divides`: Div of varying I32 and I32");
    assert_eq!("avx512".parse(), Ok(Isa::Avx512));
    assert!("sse".parse::<Isa>().unwrap_err().contains("scalar, avx2, avx512"));
}

#[test]
fn exchanges_where_only_some_lanes_may_be() {
    let func = |make: &dyn Fn(Expr) -> (Expr, Expr)| {
        let mut b = Build::new("f", 8);
        let x = b.buffer("x", Scalar::I32, false);
        let y = b.buffer("y", Scalar::I32, true);
        let item = b.one("item", Ty::I32);
        let (addr, value) = make(Expr::Load(at(x, Expr::Long(0), 4, Scalar::I32)));
        b.items(item, vec![store(at(y, addr, 4, Scalar::I32), value)])
    };
    let run = |func: &kgen::loop_ir::Func| {
        let mut buffers = vec![i32s(&[0, 1, 2, 3, 4, 5, 6, 7]), vec![0; 32]];
        interp::run(func, &[1], &[], &mut buffers, 0, 1).map_err(|fault| fault.reason)
    };
    let fine = func(&|x| (Expr::Long(0), shuffle(1, x)));
    assert_eq!(run(&fine), Ok(()));
    kgen::cuda::emit(&fine, 32, &Default::default()).unwrap();
    let chosen = func(&|x| {
        let first = Expr::First(Box::new(x.clone()));
        (Expr::Long(0), select(bin(BinOp::Lt, x.clone(), int(3)), bin(BinOp::Add, x, first), int(0)))
    });
    let addressed = func(&|x| (offset(call("hsum", vec![x]), 0, 0), int(1)));
    for func in [chosen, addressed] {
        assert_eq!(run(&func), Err("lanes exchange numbers where only some may be".into()));
        let refused = kgen::cuda::emit(&func, 32, &Default::default()).unwrap_err();
        assert!(refused.reason.contains("only some may be"), "{refused}");
    }
}
