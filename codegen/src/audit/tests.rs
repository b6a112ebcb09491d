//! Planted faults: as text, and as what NVRTC makes of CUDA C++.
use super::*;
use crate::nvrtc::tests::nvrtc;

fn of(instruction: &str, fma: bool) -> Option<Fault> {
    let ptx = format!(".visible .entry k()\n{{\n\t{instruction}\n\tret;\n}}\n");
    let violations = audit(&ptx, &Allowed { fma }).err()?;
    assert_eq!((violations.len(), violations[0].line), (1, 3), "{violations:?}");
    Some(violations[0].fault)
}

#[test]
fn what_the_contract_forbids_is_refused() {
    let cases = [
        ("ex2.approx.f32 %f1, %f2;", Fault::Approximate),
        ("ex2.approx.ftz.f32 %f1, %f2;", Fault::Approximate),
        ("tanh.approx.f32 %f1, %f2;", Fault::Approximate),
        ("rcp.approx.f32 %f1, %f2;", Fault::Approximate),
        ("div.full.f32 %f1, %f2, %f3;", Fault::Approximate),
        ("sqrt.approx.f32 %f1, %f2;", Fault::Approximate),
        ("add.rn.ftz.f32 %f1, %f2, %f3;", Fault::Flushed),
        ("add.f32 %f1, %f2, %f3;", Fault::Rounding),
        ("@%p1 sub.f32 %f1, %f2, %f3;", Fault::Rounding),
        ("mul.rz.f32 %f1, %f2, %f3;", Fault::Rounding),
        ("add.rn.sat.f32 %f1, %f2, %f3;", Fault::Rounding),
        ("mad.f32 %f1, %f2, %f3, %f4;", Fault::Rounding),
        ("div.rp.f32 %f1, %f2, %f3;", Fault::Rounding),
        ("add.rn.f64 %d1, %d2, %d3;", Fault::Type),
        ("fma.rn.f16 %h1, %h2, %h3, %h4;", Fault::Type),
        ("add.bf16x2 %r1, %r2, %r3;", Fault::Type),
        ("fma.rn.f32 %f1, %f2, %f3, %f4;", Fault::Contraction),
        ("fma.rn.f32x2 %d1, %d2, %d3, %d4;", Fault::Contraction),
        ("cvt.rz.f32.s32 %f1, %r1;", Fault::Rounding),
        ("cvt.rn.f32.f64 %f1, %d1;", Fault::Rounding),
        ("cvt.rmi.f32.f32 %f1, %f2;", Fault::Rounding),
        ("cvt.rn.satfinite.e4m3x2.f32 %h1, %f1, %f2;", Fault::Rounding),
        ("cvt.rn.sat.f32.s32 %f1, %r1;", Fault::Rounding),
        ("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1}, {%r1}, {%r2}, {%f2};", Fault::FloatMatrix),
        ("wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 x;", Fault::FloatMatrix),
        ("tcgen05.mma.cta_group::1.kind::tf32 x;", Fault::FloatMatrix),
        ("wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32 x;", Fault::FloatMatrix),
        ("atom.global.add.f32 %f1, [%rd1], %f2;", Fault::FloatAtomic),
        ("red.global.add.f32 [%rd1], %f2;", Fault::FloatAtomic),
        ("redux.sync.max.abs.f32 %f1, %f2, 0xffffffff;", Fault::FloatAtomic),
        ("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%rd1], [%r1], 64;", Fault::FloatAtomic),
        (".extern .func (.param .b32 func_retval0) vprintf", Fault::Unseen),
    ];
    for (instruction, fault) in cases {
        assert_eq!(of(instruction, false), Some(fault), "{instruction}");
    }
}

#[test]
fn what_it_allows_is_not() {
    let fine = [
        "add.rn.f32 %f1, %f2, %f3;",
        "mul.rn.f32x2 %d1, %d2, %d3;",
        "div.rn.f32 %f1, %f2, %f3;",
        "sqrt.rn.f32 %f1, %f2;",
        "rcp.rn.f32 %f1, %f2;",
        "add.s32 %r1, %r2, %r3;",
        "mad.lo.s32 %r1, %r2, %r3, %r4;",
        "mul.wide.u32 %rd1, %r2, 4;",
        "cvt.rn.f32.s32 %f1, %r1;",
        "cvt.rni.s32.f32 %r1, %f1;",
        "cvt.rni.sat.s8.f32 %r1, %f1;",
        "cvt.rzi.s32.f32 %r1, %f1;",
        "cvt.rni.f32.f32 %f1, %f2;",
        "cvt.f32.f16 %f1, %h1;",
        "cvt.f32.bf16 %f1, %h1;",
        "cvt.rn.f16.f32 %h1, %f1;",
        "cvt.rn.bf16x2.f32 %r1, %f1, %f2;",
        "cvt.s64.s32 %rd1, %r1;",
        "ld.global.f32 %f1, [%rd1];",
        "max.f32 %f1, %f2, %f3;",
        "neg.f32 %f1, %f2;",
        "mov.f32 %f1, 0f3F800000;",
        "dp4a.s32.s32 %r1, %r2, %r3, %r4;",
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%r1}, {%r2}, {%r3}, {%r4};",
        "wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s8 x;",
        "tcgen05.mma.cta_group::1.kind::i8 x;",
        "atom.global.add.u32 %r1, [%rd1], 1;",
        "redux.sync.add.s32 %r1, %r2, 0xffffffff;",
        "// add.f32 %f1, %f2, %f3;",
    ];
    for instruction in fine {
        assert_eq!(of(instruction, false), None, "{instruction}");
    }
    assert_eq!(of("fma.rn.f32 %f1, %f2, %f3, %f4;", true), None);
    assert_eq!(of("fma.f32 %f1, %f2, %f3, %f4;", true), Some(Fault::Rounding));
}

#[test]
fn a_text_without_a_kernel_is_refused() {
    for text in ["", "not PTX", ".func helper()\n{ ret; }"] {
        assert_eq!(audit(text, &Allowed::default()).unwrap_err()[0].fault, Fault::Nothing);
    }
}

#[test]
fn a_violation_says_where_it_is() {
    let ptx = "\n.entry k() {\n.loc 1 12 3\nadd.f32 %f1, %f2, %f3;\n}\n.file 1 \"kernels/norm.rs\"\n";
    let violations = audit(ptx, &Allowed::default()).unwrap_err();
    let text = "PTX line 4: float arithmetic that is not rounded to nearest even by itself: `add.f32 %f1, %f2, %f3`, \
        from kernels/norm.rs:12";
    assert_eq!(violations[0].to_string(), text);
}

/// The faults in what NVRTC makes of the body of a kernel over `float *x`, for every architecture.
fn compiled(body: &str, options: &[&str], fma: bool) -> Option<Vec<Fault>> {
    let nvrtc = nvrtc()?;
    let source =
        format!("extern \"C\" __global__ void k(float *x, unsigned *m) {{\n#line 77 \"planted.rs\"\n{body}\n}}");
    let compile = |number: &u32| {
        let arch = format!("sm_{number}").parse().unwrap();
        let mut all = vec![format!("--gpu-architecture={arch}"), "-lineinfo".into(), "--std=c++17".into()];
        all.extend(options.iter().map(|o| o.to_string()));
        let ptx = nvrtc.compile(&source, "planted", &arch, &all).unwrap().ptx;
        let violations = audit(&ptx, &Allowed { fma }).err().unwrap_or_default();
        // NVRTC puts the current folder before a relative name.
        let named =
            |v: &Violation| v.source.as_ref().is_some_and(|(file, line)| file.ends_with("/planted.rs") && *line == 77);
        (violations.iter().any(named), violations)
    };
    let all: Vec<_> = nvrtc.archs().iter().filter(|n| **n >= 80).map(compile).collect();
    let faults: Vec<Vec<Fault>> = all.iter().map(|(_, v)| v.iter().map(|v| v.fault).collect()).collect();
    assert!(faults.iter().all(|f| f.is_empty() == faults[0].is_empty()), "architectures differ: {faults:?}");
    assert!(all.iter().all(|(named, v)| v.is_empty() || *named), "no violation names its line of the source: {all:?}");
    Some(faults.concat())
}

const EXACT: [&str; 4] = ["--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true"];

fn planted(body: &str, options: &[&str], fault: Fault) {
    if let Some(faults) = compiled(body, options, false) {
        assert!(faults.contains(&fault), "{body}: {faults:?}");
    }
}

#[test]
fn planted_math_functions_are_found() {
    for function in ["expf", "exp2f", "rsqrtf", "__sinf", "__logf"] {
        planted(&format!("x[0] = {function}(x[0]);"), &EXACT, Fault::Approximate);
    }
    planted("x[0] = __fdividef(x[0], x[1]);", &EXACT, Fault::Approximate);
}

#[test]
fn a_planted_fast_math_flag_is_found() {
    planted("x[0] = x[0] / x[1];", &["--use_fast_math"], Fault::Approximate);
    planted("x[0] = __fadd_rn(x[0], x[1]);", &["--use_fast_math"], Fault::Flushed);
    planted("x[0] = x[0] / x[1];", &["--prec-div=false"], Fault::Approximate);
    planted("x[0] = __fsqrt_rn(x[0]) + sqrtf(x[1]);", &["--prec-sqrt=false"], Fault::Approximate);
}

#[test]
fn planted_contraction_and_unrounded_arithmetic_are_found() {
    planted("x[0] = x[0] * x[1] + x[2];", &["--fmad=true"], Fault::Contraction);
    planted("x[0] = x[0] + x[1];", &["--fmad=true"], Fault::Rounding);
    planted("asm(\"add.f32 %0, %0, %1;\" : \"+f\"(x[0]) : \"f\"(x[1]));", &EXACT, Fault::Rounding);
    planted("x[0] = __fadd_rz(x[0], x[1]);", &EXACT, Fault::Rounding);
    planted("x[0] = (double)x[0] * x[1] + x[2];", &EXACT, Fault::Type);
}

#[test]
fn planted_float_matrix_products_and_atomics_are_found() {
    let mma = "asm(\"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%4,%4,%4}, {%4,%4}, \
        {%0,%1,%2,%3};\" : \"+f\"(x[0]), \"+f\"(x[1]), \"+f\"(x[2]), \"+f\"(x[3]) : \"r\"(m[0]));";
    planted(mma, &EXACT, Fault::FloatMatrix);
    planted("atomicAdd(x, 1.0f);", &EXACT, Fault::FloatAtomic);
}

#[test]
fn exact_code_passes_on_every_architecture() {
    let bodies = [
        ("x[0] = __fadd_rn(__fmul_rn(x[0], x[1]), x[2]);", false),
        ("x[0] = __fmaf_rn(x[0], x[1], x[2]);", true),
        ("x[0] = __fdiv_rn(1.0f, __fsqrt_rn(x[0]));", false),
        ("x[0] = (float)((int)m[0] / 7 % (int)m[1]);", false),
        ("m[0] = __dp4a((int)m[0], (int)m[1], __float2int_rn(x[0]));", false),
        ("m[0] = __reduce_add_sync(~0u, m[0]) + __shfl_xor_sync(~0u, m[1], 1);", false),
    ];
    for (body, fma) in bodies {
        if let Some(faults) = compiled(body, &EXACT, fma) {
            assert!(faults.is_empty(), "{body}: {faults:?}");
        }
    }
}
