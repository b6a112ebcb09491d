//! Planted faults: as text, and as what NVRTC makes of CUDA C++.
use super::*;
use crate::nvrtc::tests::nvrtc;

/// A line of a source that has everything.
const ALL: &str = "add,mul,fma,div,sqrt,rint,from_int,to_int,from_half,to_half 7 k.rs";
/// The same without `fma`.
const PLAIN: &str = "add,mul,div,sqrt,rint,from_int,to_int,from_half,to_half 7 k.rs";

fn allowed(text: &str) -> Allowed {
    text.parse().unwrap()
}

#[test]
fn dots_of_bytes_are_those_of_the_source() {
    let dot = "dp4a.u32.s32 %r1, %r2, %r3, %r4;";
    assert_eq!(of(dot, ALL), Some(Fault::FoundDot));
    assert_eq!(of("dp2a.lo.s32.u32 %r1, %r2, %r3, %r4;", ALL), Some(Fault::FoundDot));
    let written = format!(".visible .entry k()\n{{\n\t// begin inline asm\n\t{dot}\n\t// end inline asm\n\tret;\n}}\n");
    assert_eq!(audit(&written, &allowed(ALL)), Ok(()));
    let after = format!(".visible .entry k()\n{{\n\t// begin inline asm\n\t// end inline asm\n\t{dot}\n\tret;\n}}\n");
    assert!(audit(&after, &allowed(ALL)).is_err());
}

/// What is wrong with an instruction that comes from line 7.
fn of(instruction: &str, source: &str) -> Option<Fault> {
    let ptx = format!(".visible .entry k()\n{{\n\t.loc 1 7 1\n\t{instruction}\n\tret;\n}}\n.file 1 \"/kgen/k.rs\"\n");
    let violations = audit(&ptx, &allowed(source)).err()?;
    assert_eq!((violations.len(), violations[0].line, &violations[0].kernel[..]), (1, 4, "k"), "{violations:?}");
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
        assert_eq!(of(instruction, PLAIN), Some(fault), "{instruction}");
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
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%r1}, {%r2}, {%r3}, {%r4};",
        "wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s8 x;",
        "tcgen05.mma.cta_group::1.kind::i8 x;",
        "atom.global.add.u32 %r1, [%rd1], 1;",
        "redux.sync.add.s32 %r1, %r2, 0xffffffff;",
        "// add.f32 %f1, %f2, %f3;",
    ];
    for instruction in fine {
        assert_eq!(of(instruction, PLAIN), None, "{instruction}");
    }
    assert_eq!(of("fma.rn.f32 %f1, %f2, %f3, %f4;", ALL), None);
    assert_eq!(of("fma.f32 %f1, %f2, %f3, %f4;", ALL), Some(Fault::Rounding));
}

#[test]
fn a_text_without_a_kernel_is_refused() {
    for text in ["", "not PTX", ".func helper()\n{ ret; }"] {
        assert_eq!(audit(text, &Allowed::default()).unwrap_err()[0].fault, Fault::Nothing);
    }
}

#[test]
fn an_operation_that_its_line_lacks_is_refused() {
    let cases = [
        ("add.rn.f32 %f1, %f2, %f3;", "add", Fault::Foreign),
        ("sub.rn.f32 %f1, %f2, %f3;", "add", Fault::Foreign),
        ("mul.rn.f32x2 %d1, %d2, %d3;", "mul", Fault::Foreign),
        ("fma.rn.f32 %f1, %f2, %f3, %f4;", "fma", Fault::Contraction),
        ("div.rn.f32 %f1, %f2, %f3;", "div", Fault::Foreign),
        ("rcp.rn.f32 %f1, %f2;", "div", Fault::Foreign),
        ("sqrt.rn.f32 %f1, %f2;", "sqrt", Fault::Foreign),
        ("cvt.rni.f32.f32 %f1, %f2;", "rint", Fault::Foreign),
        ("cvt.rn.f32.s32 %f1, %r1;", "from_int", Fault::Foreign),
        ("cvt.rni.s32.f32 %r1, %f1;", "to_int", Fault::Foreign),
        ("cvt.f32.f16 %f1, %h1;", "from_half", Fault::Foreign),
        ("cvt.rn.f16.f32 %h1, %f1;", "to_half", Fault::Foreign),
    ];
    for (instruction, kind, fault) in cases {
        assert_eq!(of(instruction, &format!("{kind} 7 k.rs")), None, "{instruction}");
        let others: Vec<&str> = cases.iter().map(|(_, other, _)| *other).filter(|other| *other != kind).collect();
        for source in [format!("{} 7 k.rs", others.join(",")), format!("{kind} 8 k.rs")] {
            assert_eq!(of(instruction, &source), Some(fault), "{instruction} where the source has `{source}`");
        }
        assert_eq!(of(instruction, &format!("{kind} 7 other.rs")), Some(Fault::Nowhere), "{instruction}");
    }
}

#[test]
fn inlined_code_belongs_to_the_innermost_line_that_is_known() {
    let prelude = crate::cuda::PRELUDE.lines().position(|line| line.contains("cvt.f32.f16")).unwrap() + 1;
    let fault = |locs: &str, instruction: &str| {
        let files = ".file 1 \"/kgen/k.rs\"\n.file 2 \"/kgen/prelude.cu\"\n.file 3 \"/include/math.h\"\n";
        let ptx = format!(".entry k() {{\n{locs}\n{instruction}\n}}\n{files}");
        audit(&ptx, &allowed("mul 7 k.rs")).err().map(|violations| violations[0].fault)
    };
    let inlined =
        |file: u32, line: usize| format!(".loc 1 7 2\n.loc {file} {line} 9, function_name $L, inlined_at 1 7 2");
    let (load, mul) = ("cvt.f32.f16 %f1, %h1;", "mul.rn.f32 %f1, %f2, %f3;");
    assert_eq!(fault(&inlined(2, prelude), load), None);
    assert_eq!(fault(&inlined(2, prelude + 1), load), Some(Fault::Foreign));
    assert_eq!(fault(&inlined(2, prelude), mul), Some(Fault::Foreign), "helpers do not compute");
    assert_eq!(fault(&inlined(3, 70), mul), None, "a header's code is its caller's");
    assert_eq!(fault(&inlined(3, 70), load), Some(Fault::Foreign));
    let twice = format!("{}\n.loc 3 12 1, function_name $M, inlined_at 3 70 9", inlined(3, 70));
    assert_eq!(fault(&twice, mul), None, "and that of what a header calls");
    assert_eq!(fault("", mul), Some(Fault::Nowhere));
}

#[test]
fn what_a_compiler_moves_may_lose_its_line_but_is_no_contraction() {
    let at = |nvvm: &str, file: u32, line: u32, instruction: &str| {
        let header = format!("// Based on NVVM {nvvm}\n.file 1 \"/kgen/k.rs\"\n.file 2 \"/kgen/k.cu\"\n");
        let ptx = format!("{header}.entry k() {{\n.loc {file} {line} 2\n{instruction}\n}}\n");
        audit(&ptx, &allowed("fma 3 k.rs\nadd 5 k.rs\nmul 7 k.rs")).err().map(|violations| violations[0].fault)
    };
    let fault = |nvvm, line, instruction| at(nvvm, 1, line, instruction);
    let (fma, mul, div) = ("fma.rn.f32 %f1, %f2, %f3, %f4;", "mul.rn.f32 %f1, %f2, %f3;", "div.rn.f32 %f1, %f2, %f3;");
    for (instruction, strict) in [(fma, Fault::Contraction), (mul, Fault::Foreign)] {
        assert_eq!(fault("7.0.1", 2, instruction), Some(strict));
        assert_eq!(fault("20.0.0", 2, instruction), None);
        for nvvm in ["7.0.1", "20.0.0"] {
            assert_eq!((fault(nvvm, 0, instruction), at(nvvm, 2, 13, instruction)), (None, None));
        }
    }
    assert_eq!(fault("20.0.0", 5, fma), Some(Fault::Contraction));
    assert_eq!(fault("20.0.0", 5, div), Some(Fault::Foreign));
    assert_eq!((fault("7.0.1", 0, div), at("7.0.1", 2, 13, div)), (Some(Fault::Nowhere), Some(Fault::Nowhere)));
}

#[test]
fn a_violation_names_the_kernel_the_line_and_the_instruction() {
    let ptx = "\n.entry norm(\n) {\n.loc 1 12 3\nadd.f32 %f1, %f2, %f3;\n}\n.file 1 \"/kgen/kernels/norm.rs\"\n";
    let violations = audit(ptx, &Allowed::default()).unwrap_err();
    let text = "norm at kernels/norm.rs:12: float arithmetic that is not rounded to nearest even by itself: \
        `add.f32 %f1, %f2, %f3` (line 5 of the PTX)";
    assert_eq!(violations[0].to_string(), text);
}

/// The faults in what NVRTC makes of the body of a kernel over `float *x`, for every architecture, where the line that it
/// stands on has these operations.
fn compiled(body: &str, options: &[&str], operations: &str) -> Option<Vec<Fault>> {
    let nvrtc = nvrtc()?;
    let source =
        format!("extern \"C\" __global__ void k(float *x, unsigned *m) {{\n#line 77 \"/kgen/planted.rs\"\n{body}\n}}");
    // Another line has everything, so that it is the line that counts.
    let others = ALL.replace("7 k.rs", "78 planted.rs");
    let source_has = match operations {
        "" => others,
        operations => format!("{others}\n{operations} 77 planted.rs"),
    };
    let compile = |number: &u32| {
        let arch = format!("sm_{number}").parse().unwrap();
        let mut all = vec![format!("--gpu-architecture={arch}"), "-lineinfo".into(), "--std=c++17".into()];
        all.extend(options.iter().map(|o| o.to_string()));
        let ptx = nvrtc.compile(&source, "planted", &arch, &all).unwrap().ptx;
        let violations = audit(&ptx, &allowed(&source_has)).err().unwrap_or_default();
        let named =
            |v: &Violation| v.to_string().starts_with("k at planted.rs:77: ") && v.to_string().contains(&v.text);
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
    if let Some(faults) = compiled(body, options, "add,mul,div,sqrt,from_int,to_int") {
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
fn a_planted_contraction_and_unrounded_arithmetic_are_found() {
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
        ("x[0] = __fadd_rn(__fmul_rn(x[0], x[1]), x[2]);", "add,mul"),
        ("x[0] = __fmaf_rn(x[0], x[1], x[2]);", "fma"),
        ("x[0] = __fdiv_rn(1.0f, __fsqrt_rn(x[0]));", "div,sqrt"),
        ("x[0] = (float)((int)m[0] / 7 % (int)m[1]);", "from_int"),
        ("m[0] = __dp4a((int)m[0], (int)m[1], __float2int_rn(x[0]));", "to_int"),
        ("m[0] = __reduce_add_sync(~0u, m[0]) + __shfl_xor_sync(~0u, m[1], 1);", ""),
    ];
    for (body, operations) in bodies {
        if let Some(faults) = compiled(body, &EXACT, operations) {
            assert!(faults.is_empty(), "{body}: {faults:?}");
        }
    }
}

/// A kernel of the language, printed as ever, whose operators a careless build leaves to the compiler.
#[test]
fn a_contraction_in_a_kernel_is_named_by_its_line() {
    let Some(nvrtc) = nvrtc() else { return };
    let text = "#[kernel]\nfn f<T: Dim>(x: &Ten<f32, T>, y: &mut Ten<f32, T>) {\n    for t in par(T) {\n        \
        let fused = fma(x[t], x[t], 1.0);\n        y[t] = fused * x[t]\n            + fused;\n    }\n}\n";
    let sources = [crate::diagnostic::Source { name: "kernels/f.rs".into(), text: text.into() }];
    let kernel = crate::compile(&sources).unwrap().remove(0);
    let places = crate::places::Places::new(&sources);
    let schedule = crate::schedule::Schedule::plain(&["t"]);
    let func = crate::lower::lower(&kernel, &schedule).unwrap();
    let source = crate::cuda::emit(&func, schedule.threads, &places).unwrap();
    let careless = ["--fmad=true", "-D__fadd_rn(a,b)=((a)+(b))", "-D__fmul_rn(a,b)=((a)*(b))"];
    for arch in ["sm_80", "sm_90", "sm_100", "sm_120"] {
        let arch = arch.parse().unwrap();
        let audited = |options: &[&str]| {
            let all = [format!("--gpu-architecture={arch}"), "-lineinfo".into(), "--std=c++17".into()];
            let all: Vec<String> = all.into_iter().chain(options.iter().map(|o| o.to_string())).collect();
            let ptx = nvrtc.compile(&source.text(), "f", &arch, &all).unwrap().ptx;
            audit(&ptx, &Allowed::of(&kernel, &places)).err().map(|violations| violations[0].to_string())
        };
        assert_eq!(audited(&EXACT), None, "{arch}");
        let refused = audited(&careless).unwrap();
        assert!(refused.starts_with("f at kernels/f.rs:5: fma where the source has none: `fma.rn.f32"), "{refused}");
    }
}

#[test]
fn memory_is_touched_after_the_wait_for_the_launch_before() {
    let faults = |before: &str, after: &str| {
        let kernel = |name: &str, body: &str| format!(".visible .entry {name}(\n)\n{{\n{body}\nret;\n}}\n");
        let wait = format!("{before}\ngriddepcontrol.wait;\n{after}");
        let text = kernel("without", "ld.global.f32 %f1, [%rd1];") + &kernel("waits", &wait);
        let violations = audit(&text, &Allowed::default()).err().unwrap_or_default();
        violations.into_iter().map(|v| (v.fault, v.text)).collect::<Vec<_>>()
    };
    let load = "ld.global.nc.f32 %f1, [%rd1];";
    assert_eq!(faults("prefetch.global.L2 [%rd1];\nld.param.u64 %rd1, [p];\nld.shared.f32 %f1, [%r1];", load), []);
    assert_eq!(faults(load, ""), [(Fault::Early, load.trim_end_matches(';').to_string())]);
    for touched in [
        "st.global.f32 [%rd1], %f1;",
        "cp.async.cg.shared.global [%r1], [%rd1], 16;",
        "ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%rd1];",
    ] {
        assert_eq!(faults(touched, "").len(), 1, "{touched}");
    }
}
