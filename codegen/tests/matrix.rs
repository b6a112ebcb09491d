//! Lanes that have products of matrices together: the bits of every schedule of theirs, and what is refused with which reason.
mod common;

use common::{compile, meaning};
use kgen::audit::{Allowed, audit};
use kgen::cpu::Isa;
use kgen::cuda;
use kgen::diagnostic::Source;
use kgen::ir::Kernel;
use kgen::layout::SideBySide;
use kgen::loop_ir::{Func, Stmt, interp};
use kgen::nvrtc::{Arch, Compiler};
use kgen::places::Places;
use kgen::random::Random;
use kgen::schedule::Schedule;
use kgen::target::Target;

/// Nibbles with a scale for each run of 32, minima that meet sums of 16, and dots of 16 with signed scales.
const MATVEC: &str = "
    #[format(elements = 64, bytes = 80)]
    struct W { d: f16, m: f16, scales: [i8; 16], packed: [u8; 4], nibbles: [u8; 32], z: [u8; 24] }
    #[format(elements = 64, bytes = 112)]
    struct X { q: [i8<-127, 127>; 64], sums: [i16<-2032, 2032>; 16], d: f32, z: [u8; 12] }
    impl W {
        fn q(self, j: int, i: int) -> int { (self.nibbles[i] >> (4 * j)) & 15 }
        fn dot(self, x: X, acc: f32) -> f32 {
            let s = isum(0..2, |j| (self.packed[j] & 63) * isum(0..32, |i| self.q(j, i) * x.q[j * 32 + i]));
            let k = isum(0..4, |j| self.scales[j] * isum(0..16, |i| self.q(j / 2, j % 2 * 16 + i) * x.q[j * 16 + i]));
            let m = isum(0..16, |j| (if j < 8 { self.packed[j / 4] & 63 } else { self.packed[3] >> 2 }) * x.sums[j]);
            let h = isum(0..16, |j| self.scales[j] * x.sums[j]);
            fma(x.d, fma(self.d.f32(), (s + k).f32(), -(self.m.f32() * (m - h).f32())), acc)
        }
    }
    #[kernel] fn f<T: Dim, N: Dim, B: Dim>(w: &Ten<W, N, B>, x: &Ten<X, T, B>, y: &mut Ten<f32, T, N>) {
        for n in par(N) { for t in par(T) {
            y[t][n] = sum(0..B, segments(3), |acc, b| w[n][b].dot(x[t][b], acc));
        } } }";

fn buffers([t, n, b]: [usize; 3]) -> Vec<Vec<u8>> {
    let mut random = Random::new(5);
    let mut block = |bytes: usize| (0..bytes).map(|_| random.bits() as u8).collect::<Vec<u8>>();
    let mut w: Vec<Vec<u8>> = (0..n * b).map(|_| block(80)).collect();
    for block in &mut w {
        [1, 3].into_iter().for_each(|byte| block[byte] = 0x20 | block[byte] & 0x83);
    }
    let mut x: Vec<Vec<u8>> = (0..t * b).map(|_| block(112)).collect();
    for block in &mut x {
        block[..64].iter_mut().for_each(|q| *q = (*q as i8).max(-127) as u8);
        block[64..96].as_chunks_mut::<2>().0.iter_mut().for_each(|sum| sum[1] = if sum[1] & 1 == 0 { 251 } else { 6 });
        let d = 0.01f32 + block[96] as f32;
        block[96..100].copy_from_slice(&d.to_le_bytes());
    }
    vec![w.concat(), x.concat(), vec![0xa5; 4 * t * n]]
}

fn named<T: Clone>(of: &[(&str, T)]) -> std::collections::BTreeMap<String, T> {
    of.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
}

/// Rows by `n`, columns by `t`.
fn products() -> Schedule {
    let pieces = named(&[("nibbles", 16), ("packed", 4), ("scales", 16)]);
    Schedule {
        width: 32,
        lanes: Some("n".into()),
        columns: Some("t".into()),
        layout: named(&[("w", SideBySide { rows: 16, pieces, piece: 0 })]),
        unroll: 16,
        ..Schedule::plain(&["t", "n"])
    }
}

/// The same in a team whose members do products of their own.
fn of_members(of_rows: usize, of_columns: usize, stage: &[&str]) -> Schedule {
    let team = of_rows * of_columns;
    let members = named(&[("n", of_rows), ("t", of_columns)]);
    let stage = stage.iter().map(|name| name.to_string()).collect();
    Schedule { team, threads: 32 * team, members, stage, ..products() }
}

fn lower(kernel: &Kernel, schedule: &Schedule) -> Func {
    Target::Cuda.lower(kernel, schedule).unwrap_or_else(|e| panic!("{e}: {schedule:?}"))
}

fn agrees(kernel: &Kernel, schedule: &Schedule, sizes: [usize; 3]) {
    let (ints, buffers) = (sizes.map(|size| size as i32), buffers(sizes));
    let expected = meaning(kernel, &ints, &buffers).unwrap();
    let func = lower(kernel, schedule);
    for (workers, seed) in [(1, 1), (3, 2)] {
        let (mut out, mut turns) = (buffers.clone(), Random::new(seed));
        func.with_layouts(&ints, &mut out, |out| {
            interp::run_at_once(&func, &ints, &[], out, workers, |n| turns.below(n))
        })
        .unwrap_or_else(|e| panic!("{e}: {sizes:?} {schedule:?}"));
        assert!(out == expected, "{sizes:?} {schedule:?}");
    }
}

fn count(stmts: &[Stmt], found: &mut Vec<&'static str>) {
    for s in stmts {
        if let Stmt::Accumulate { intrinsic, .. } = s
            && intrinsic.starts_with("matrix")
        {
            found.push(intrinsic);
        }
        s.lists().into_iter().for_each(|list| count(list, found));
    }
}

#[test]
fn products_of_matrices_are_the_dots() {
    let kernel = compile(MATVEC);
    let mut found = Vec::new();
    count(&lower(&kernel, &products()).body, &mut found);
    for name in ["matrix_32", "matrix_16", "matrix_unsigned_halves", "matrix_signed_halves"] {
        assert!(found.contains(&name), "{name} is not in {found:?}");
    }
    assert_eq!(found.len(), 2 + 4 + 1 + 1);
    let mut tiled = products();
    tiled.tile = named(&[("n", 2), ("t", 3)]);
    let shared = Schedule { team: 2, threads: 64, ..products() };
    let plain = Schedule { layout: Default::default(), ..products() };
    let turned = Schedule { split: vec!["n".into(), "t".into()], ..tiled.clone() };
    for schedule in [products(), tiled, shared, plain, turned] {
        for sizes in [[1, 1, 1], [9, 17, 4]] {
            agrees(&kernel, &schedule, sizes);
        }
    }
}

#[test]
fn members_do_products_of_their_own_and_share_what_they_copy() {
    let kernel = compile(MATVEC);
    let tile = named(&[("n", 2)]);
    for stage in [&[][..], &["w"], &["x"]] {
        agrees(&kernel, &of_members(1, 2, stage), [9, 17, 2]);
    }
    // Some products side by side, then the others.
    for abreast in [1, 2] {
        let tile = named(&[("n", 2), ("t", 3)]);
        agrees(&kernel, &Schedule { tile, abreast, ..of_members(2, 1, &["x", "w"]) }, [33, 17, 3]);
    }
    // Fewer terms than segments, as many, and more; tiles that are full, and rows and columns behind the last.
    for sizes in [[1, 3, 1], [9, 17, 3], [17, 33, 7]] {
        agrees(&kernel, &Schedule { tile: tile.clone(), ..of_members(2, 2, &["x", "w"]) }, sizes);
    }
}

/// Products of 64 columns, which four members begin together.
fn wide() -> Schedule {
    Schedule { split_scales: true, wide: true, tile: named(&[("t", 8)]), ..of_members(4, 1, &["w", "x"]) }
}

#[test]
fn scales_are_split_before_products() {
    let kernel = compile(MATVEC);
    let mut found = Vec::new();
    count(&lower(&kernel, &Schedule { split_scales: true, ..products() }).body, &mut found);
    // Each dot of 32 with a scale of 6 bits is two products, and one of 16 with a signed scale is not split.
    assert_eq!(found.iter().filter(|name| **name == "matrix_32").count(), 2 * 2);
    assert_eq!(found.iter().filter(|name| **name == "matrix_16").count(), 4);
    let split = Schedule { split_scales: true, tile: named(&[("n", 2), ("t", 2)]), ..products() };
    let members =
        Schedule { split_scales: true, abreast: 1, tile: named(&[("t", 2)]), ..of_members(2, 2, &["w", "x"]) };
    for schedule in [split, members] {
        for sizes in [[1, 1, 1], [17, 33, 2]] {
            agrees(&kernel, &schedule, sizes);
        }
    }
    let mut found = Vec::new();
    count(&lower(&kernel, &wide()).body, &mut found);
    assert_eq!(found.iter().filter(|name| **name == "matrix_wide").count(), 2 * 2);
    for sizes in [[1, 1, 1], [9, 65, 2]] {
        agrees(&kernel, &wide(), sizes);
    }
}

#[test]
fn what_cannot_be_a_product_is_refused_with_the_reason() {
    let kernel = compile(MATVEC);
    let refused = |schedule: Schedule, reason: &str| {
        let error = Target::Cuda.lower(&kernel, &schedule).map(|_| ()).unwrap_err();
        assert!(error.contains(reason), "{error}");
    };
    refused(Schedule { width: 16, ..products() }, "32 lanes have a product of matrices, not 16");
    refused(Schedule { dot: Some("dot4_dp4a".into()), ..products() }, "no instruction for dots is chosen");
    refused(Schedule { lanes: None, ..products() }, "`lanes` does not say what the rows are");
    refused(Schedule { lanes: Some("t".into()), ..products() }, "`lanes` does not say what the rows are");
    refused(Schedule { split: vec!["n".into()], ..products() }, "lanes share `t`, which is not split");
    refused(Schedule { ahead: 1, ..products() }, "not asked for before they are needed");
    let members = named(&[("n", 2)]);
    refused(Schedule { members: members.clone(), ..products() }, "2 members do products of their own in a team of 1");
    let team = Schedule { team: 2, threads: 64, members, ..Schedule::plain(&["n"]) };
    refused(team, "members of a team do products of their own where lanes have products of matrices");
    let mut other = of_members(2, 1, &["x"]);
    other.layout = named(&[("w", SideBySide { rows: 8, pieces: Default::default(), piece: 0 })]);
    refused(other, "lanes do not do the rows that lie side by side in `w`");
    refused(of_members(2, 1, &["z"]), "there is no buffer `z` that is read");
    let rows =
        Schedule { lanes: Some("t".into()), columns: Some("n".into()), layout: Default::default(), ..products() };
    refused(rows, "are no products of something of a row and something of a column");
    let plain = Schedule { columns: None, lanes: None, width: 1, layout: Default::default(), ..products() };
    refused(Schedule { split_scales: true, ..plain.clone() }, "scales are split for products of matrices");
    refused(Schedule { abreast: 1, ..plain }, "products of matrices are computed side by side");
    refused(Schedule { split_scales: false, ..wide() }, "wide products are of one tile of rows, by split scales");
    refused(Schedule { tile: named(&[("t", 4)]), ..wide() }, "and of all 64 columns at once");
    let two = Schedule { members: named(&[("n", 2), ("t", 2)]), ..wide() };
    refused(two, "4 neighbouring members begin wide products together");
    refused(
        Schedule { stage: vec!["w".into()], ..wide() },
        "the columns of a wide product are not in the team's memory",
    );
    let on_cpu = Target::Cpu(Isa::Scalar).lower(&kernel, &Schedule { width: 1, ..products() }).map(|_| ()).unwrap_err();
    assert!(on_cpu.contains("one lane cannot share `n`"), "{on_cpu}");
}

/// A sum that only some members may come to would have barriers that others never reach.
#[test]
fn members_copy_only_where_all_of_them_come() {
    let text = MATVEC.replace("sum(0..B,", "sum(0..min(B, n + 1),");
    let kernel = compile(&text);
    let error = Target::Cuda.lower(&kernel, &of_members(2, 1, &["x"])).map(|_| ()).unwrap_err();
    assert!(error.contains("differs from lane to lane"), "{error}");
}

/// NVRTC takes it, for every architecture that has such products, and the audit has nothing against it.
#[test]
fn products_of_matrices_compile() {
    let compiler = Compiler::with_cache(None);
    let nvrtc = match compiler.nvrtc() {
        Ok(nvrtc) => nvrtc,
        Err(missing) => return eprintln!("products of matrices: skipped: {missing}"),
    };
    let sources = [Source { name: "test.rs".into(), text: MATVEC.into() }];
    let (kernel, places) = (compile(MATVEC), Places::new(&sources));
    let func = lower(&kernel, &of_members(2, 2, &["x", "w"]));
    let source = cuda::emit(&func, 128, &places).unwrap();
    let wide = cuda::emit(&lower(&kernel, &wide()), 128, &places).unwrap();
    for arch in nvrtc.archs().iter().filter(|arch| **arch >= 80) {
        let arch: Arch = format!("sm_{arch}").parse().expect("an architecture");
        let compiled = compiler.compile(&source.text(), &source.entry, &arch, &[]).unwrap_or_else(|e| panic!("{e}"));
        assert!(compiled.ptx.contains("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32"), "{arch}");
        audit(&compiled.ptx, &Allowed::of(&kernel, &places)).unwrap_or_else(|faults| panic!("{arch}: {faults:?}"));
        let compiled = compiler.compile(&wide.text(), &wide.entry, &arch, &[]).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(compiled.ptx.contains("wgmma.mma_async.sync.aligned.m64n64k32.s32.u8.s8"), arch.number() == 90);
        audit(&compiled.ptx, &Allowed::of(&kernel, &places)).unwrap_or_else(|faults| panic!("{arch}: {faults:?}"));
    }
}
