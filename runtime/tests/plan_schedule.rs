//! Random plan schedules: each is legal, the same for its seed on every machine, and gives equal bits; together they take every
//! placement and leave every placement out.
mod engine_support;

use apr::{
    exec::{
        Executor, Fault,
        cpu::{Cpu, Setup},
        fill_to_depth,
    },
    gguf::Gguf,
    model::Model,
    parity::{Feed, Trace, check_and_trace},
    plan::{BoundStage, CHUNK, Plan, PlanSchedule, Step, Unit, pairs, transformer, units},
    synth::Quant,
};
use engine_support::model;
use kernels_gen::{FUSED, INLINED, Isa};
use std::collections::BTreeSet;

const SEEDS: u64 = 50;

fn plan(file: &Gguf) -> Plan {
    transformer(&Model::load(file).unwrap())
}

/// The units of a schedule, and the stages that begin its pairs.
fn placed(plan: &Plan, stages: &[BoundStage], schedule: PlanSchedule) -> (Vec<Unit>, Vec<usize>) {
    let units = units(plan, stages, INLINED, schedule);
    let pairs = pairs(&units, FUSED, schedule);
    let firsts = pairs.iter().map(|pair| units[pair.producer].last()).collect();
    (units, firsts)
}

#[test]
fn a_seed_is_one_schedule_on_every_machine() {
    let chunks: Vec<usize> = (0..8).map(|seed| PlanSchedule::random(seed).chunk(512)).collect();
    assert_eq!(chunks, [32, 86, 54, 144, 316, 225, 22, 64]);
    let inlines = (0..64).fold(0u64, |bits, stage| bits << 1 | u64::from(PlanSchedule::random(1).inlines(stage, 0)));
    assert_eq!(inlines, 0xc508_c418_fe83_7ed7);
    assert_eq!((PlanSchedule::ALL.chunk(512), PlanSchedule::ALL.beside(3, 4)), (512, 4));
    for seed in 0..SEEDS {
        let schedule = PlanSchedule::random(seed);
        assert!((1..=512).contains(&schedule.chunk(512)) && schedule.chunk(1) == 1);
        assert!((0..100).all(|stage| (1..=4).contains(&schedule.beside(stage, 4))));
    }
}

#[test]
fn every_stage_is_in_one_unit_and_every_unit_in_one_pair_at_most() {
    for name in ["tiny", "tiny-hd128", "tiny-gqa7"] {
        let plan = plan(&model(name, Quant::Q4KM));
        let stages = plan.bind(kernels_gen::kernel).unwrap();
        for seed in 0..SEEDS {
            let (units, firsts) = placed(&plan, &stages, PlanSchedule::random(seed));
            let mut all: Vec<usize> = units.iter().flat_map(|unit| unit.stages.clone()).collect();
            assert!(units.is_sorted_by_key(Unit::last), "{name}, seed {seed}: as they are run");
            all.sort_unstable();
            assert!(all.into_iter().eq(0..stages.len()), "{name}, seed {seed}: each stage once");
            let place = |stage: &usize| units.iter().position(|unit| unit.last() == *stage).unwrap();
            assert!(firsts.is_sorted_by(|a, b| place(a) + 1 < place(b)), "{name}, seed {seed}");
        }
    }
}

#[test]
fn every_placement_is_taken_by_some_and_left_out_by_some() {
    let plan = plan(&model("tiny", Quant::Q4KM));
    let stages = plan.bind(kernels_gen::kernel).unwrap();
    let of = |schedule| {
        let (units, firsts) = placed(&plan, &stages, schedule);
        let with_others = units.iter().filter(|unit| unit.stages.len() > 1).map(|unit| unit.stages.clone());
        (with_others.collect::<BTreeSet<_>>(), firsts.into_iter().collect::<BTreeSet<_>>())
    };
    let (inlined, paired) = of(PlanSchedule::ALL);
    let drawn: Vec<_> = (0..SEEDS).map(|seed| of(PlanSchedule::random(seed))).collect();
    // Pairs are of stages that serve in other launches here.
    let pairs: BTreeSet<usize> = drawn.iter().flat_map(|(_, paired)| paired).copied().collect();
    assert!(inlined.len() > 5 && paired.is_empty() && pairs.len() > 1, "{inlined:?} {paired:?} {pairs:?}");
    for unit in &inlined {
        let taken = drawn.iter().filter(|(inlined, _)| inlined.contains(unit)).count();
        assert!(0 < taken && taken < drawn.len(), "{unit:?}: {taken}");
    }
    for first in &pairs {
        let taken = drawn.iter().filter(|(_, paired)| paired.contains(first)).count();
        assert!(0 < taken && taken < drawn.len(), "{first}: {taken}");
    }
}

/// A trace of the CPU's plainest code from a depth on, and what makes an executor of its widest code, which was fed the same.
fn traced<'m>(plan: &Plan, file: &'m Gguf, depth: usize, fault: Option<&str>) -> (Trace, Cpu<'m>) {
    let limits = Step { tokens: 40, outputs: 1, position: 0, chunks: (depth + 80).div_ceil(CHUNK) };
    let cpu = |isa| Cpu::new(plan, file, Setup { threads: 2, isa, limits }, &|_, _| ()).unwrap();
    let (mut reference, mut tested) = (cpu(Isa::Scalar), cpu(Isa::best()));
    if let Some(fault) = fault {
        tested.plant(fault.parse::<Fault>().unwrap().place(plan).unwrap()).unwrap();
    }
    fill_to_depth(&mut reference, plan, depth).unwrap();
    fill_to_depth(&mut tested, plan, depth).unwrap();
    let tokens: Vec<u32> = (0..70).map(|i| i * 37 % 512).collect();
    let feed = Feed { start: depth, ..Feed::new(&tokens, 5) };
    let mut trace = Trace::default();
    let report = check_and_trace(plan, &mut reference, &mut tested, &feed, Some(&mut trace), &mut |_| ());
    assert_eq!(report.equal, fault.is_none(), "{:?}", report.findings());
    assert!(trace.is_complete());
    (trace, tested)
}

#[test]
fn the_cpu_gives_equal_bits_under_random_schedules_and_at_depth() {
    for (name, depth) in [("tiny", 0), ("tiny", 130), ("tiny-gqa7", 64)] {
        let file = model(name, Quant::Q4KM);
        let plan = plan(&file);
        let (trace, mut tested) = traced(&plan, &file, depth, None);
        let mut other_codes = 0;
        for seed in 0..20 {
            let schedule = PlanSchedule::random(seed);
            other_codes += tested.reschedule(&plan, schedule).unwrap().other_codes;
            let found = trace.first_difference(&plan, &mut tested, schedule.chunk(40)).unwrap();
            assert_eq!(found, None, "{name} at {depth}, seed {seed}");
        }
        // The plainest code is one for all sizes.
        assert_eq!(other_codes > 0, Isa::best() != Isa::Scalar, "{name}");
    }
}

#[test]
fn a_planted_fault_is_found_under_every_schedule() {
    let file = model("tiny", Quant::Q4KM);
    let plan = plan(&file);
    for (fault, depth) in [("bit:1:ffn_down", 0), ("head:0", 130), ("offset:blk.1.attn_k.weight", 0)] {
        let (trace, mut tested) = traced(&plan, &file, depth, Some(fault));
        for seed in 0..20 {
            let schedule = PlanSchedule::random(seed);
            tested.reschedule(&plan, schedule).unwrap();
            let found = trace.first_difference(&plan, &mut tested, schedule.chunk(40)).unwrap();
            assert_eq!(found, Some(0), "{fault}, seed {seed}");
        }
    }
}

#[test]
fn keys_and_values_of_the_depth_are_attended_to() {
    let file = model("tiny", Quant::Q4KM);
    let plan = plan(&file);
    let limits = Step { tokens: 1, outputs: 1, position: 0, chunks: 3 };
    let mut cpu = Cpu::new(&plan, &file, Setup { threads: 1, isa: Isa::best(), limits }, &|_, _| ()).unwrap();
    let mut logits = |depth: usize| {
        fill_to_depth(&mut cpu, &plan, depth).unwrap();
        cpu.step(&[7], 128, 1).unwrap();
        cpu.logits().iter().map(|logit| logit.to_bits()).collect::<Vec<_>>()
    };
    let full = logits(128);
    assert!(full != logits(64) && full != logits(0), "each chunk counts");
    assert_eq!(full, logits(128));
    assert!(full.iter().all(|bits| f32::from_bits(*bits).is_finite()));
}
