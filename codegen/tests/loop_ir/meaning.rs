//! The interpreter against values worked out by hand, and the text form.
use crate::build::*;
use crate::kernels;
use kgen::ir::{BinOp, Scalar, UnOp};
use kgen::loop_ir::{Expr, Ty, interp, print};

#[test]
fn addition_covers_the_tail() {
    for width in [1, 4, 8, 16] {
        for n in [1usize, 4, 7, 16, 37] {
            let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let mut buffers = vec![f32s(&x), f32s(&vec![0.5; n]), vec![0; 4 * n]];
            interp::run(&kernels::add(width), &[n as i32], &[], &mut buffers, 0, 1).unwrap();
            assert_eq!(buffers[2], f32s(&x.iter().map(|v| v + 0.5).collect::<Vec<_>>()), "{width} lanes, {n}");
        }
    }
}

#[test]
fn dot_is_the_integer() {
    let w: Vec<u8> = (0..kernels::ROW / 2).map(|i| (i * 37 % 256) as u8).collect();
    let x: Vec<u8> = (0..kernels::ROW).map(|i| (i * 91 % 256) as u8).collect();
    let byte = |i: usize| if i < 128 { w[i] & 15 } else { w[i - 128] >> 4 };
    let expected: i32 = (0..kernels::ROW).map(|i| byte(i) as i32 * (x[i] as i8) as i32).sum();
    for (width, unit) in [(1, "dot4_scalar"), (4, "dot4_maddubs"), (8, "dot4_maddubs"), (16, "dot4_vpdpbusd")] {
        let mut buffers = vec![w.clone(), x.clone(), vec![0; 4]];
        interp::run(&kernels::dot(width, unit), &[1], &[], &mut buffers, 0, 1).unwrap();
        assert_eq!(buffers[2], f32s(&[expected as f32 * 0.5]), "{unit}");
    }
}

#[test]
fn the_tree_has_one_order_at_every_width() {
    let x: Vec<u8> = (0..64u16).flat_map(|i| (0x3c00 + i * 53).to_le_bytes()).collect();
    let run = |width| {
        let mut buffers = vec![x.clone(), vec![0; 2]];
        interp::run(&kernels::tree(width), &[1], &[], &mut buffers, 0, 1).unwrap();
        buffers.remove(1)
    };
    let half = |i: usize| half::f16::from_le_bytes([x[2 * i], x[2 * i + 1]]).to_f32();
    let mut lanes: Vec<f32> =
        (0..32).map(|l| half(l + 32).mul_add(half(l + 32), half(l).mul_add(half(l), 0.0))).collect();
    for m in [16, 8, 4, 2, 1] {
        lanes = (0..32).map(|l| lanes[l] + lanes[l ^ m]).collect();
    }
    for width in [1, 4, 8, 16] {
        assert_eq!(run(width), half::bf16::from_f32(lanes[0]).to_le_bytes(), "{width} lanes");
    }
}

#[test]
fn control_takes_the_right_branches() {
    let mut buffers = vec![vec![0; 4 * 14]];
    interp::run(&kernels::control(), &[14], &[], &mut buffers, 0, 14).unwrap();
    assert_eq!(buffers[0], i32s(&[0, 0, 1, 7, 4, 4, 9, 9, 16, 16, 25, 25, 3, 3]));
}

#[test]
fn a_call_runs_its_part_only() {
    let mut buffers = vec![i32s(&[-1; 6])];
    interp::run(&kernels::control(), &[6], &[], &mut buffers, 2, 4).unwrap();
    assert_eq!(buffers[0], i32s(&[-1, -1, 1, 7, -1, -1]));
}

#[test]
fn stored_floats_have_the_contracts_bits() {
    let nan = f32::from_bits(0xffc1_2345);
    let cases: [(Expr, u32); 8] = [
        (Expr::Float(nan), 0x7fc0_0000),
        (bin(BinOp::Max, Expr::Float(nan), Expr::Float(1.0)), 0x7fc0_0000),
        (bin(BinOp::Max, Expr::Float(-0.0), Expr::Float(0.0)), 0),
        (bin(BinOp::Min, Expr::Float(0.0), Expr::Float(-0.0)), 0x8000_0000),
        (un(UnOp::ToF32, un(UnOp::ToInt { lo: -127, hi: 127 }, Expr::Float(3e38))), 0x42fe_0000),
        (un(UnOp::ToF32, un(UnOp::ToInt { lo: -127, hi: 127 }, Expr::Float(nan))), 0),
        (un(UnOp::Rint, Expr::Float(2.5)), 0x4000_0000),
        (un(UnOp::FromBits, int(1)), 1),
    ];
    for (value, expected) in cases {
        let mut b = Build::new("one", 1);
        let y = b.buffer("y", Scalar::F32, true);
        let item = b.one("item", Ty::I32);
        let func = b.items(item, vec![store(at(y, Expr::Long(0), 0, Scalar::F32), value)]);
        let mut buffers = vec![vec![0; 4]];
        interp::run(&func, &[1], &[], &mut buffers, 0, 1).unwrap();
        assert_eq!(bits(&buffers[0]), [expected], "{}", print::func(&func));
    }
}

#[test]
fn text_form() {
    let text = print::func(&kernels::dot(8, "dot4_maddubs"));
    let expected = "\
fn dot_dot4_maddubs(w: &[u8], x: &[i8], y: &mut [f32], n.0: i32)
  8 lanes, n.0 work items
  work for row.1 in 0..n.0
    simd for lane.6 in 0..8
      reg acc.4: i32* = 0
      for c.2 in 0..4
        let q.5: u8x4* = pack w[((long(row.1) * 128) + 0) + ((long(c.2) * 32) + 0) + lane * 4].u8
        acc.4 = dot4_maddubs(acc.4, q.5 & splat4(15), pack x[(((long(row.1) * 256) + 0) + ((long(c.2) * 32) + 0)) + 0 + lane * 4].i8)
        acc.4 = dot4_maddubs(acc.4, q.5 >> 4, pack x[(((long(row.1) * 256) + 0) + ((long(c.2) * 32) + 0)) + 128 + lane * 4].i8)
      let total.3: i32 = hsum(acc.4)
      y[(long(row.1) * 4) + 0].f32 = f32(total.3) * 0.5
";
    assert_eq!(text, expected);
}
