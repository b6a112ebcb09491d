//! Evaluates what an instruction's file says that it means: its text becomes a small kernel, which the interpreter runs.
use super::Instruction;
use crate::cpu::row::Slot;
use crate::diagnostic::Source;
use crate::ir::{Kernel, interp};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

thread_local! {
    /// Compiled meanings, by name and lanes.
    static MEANINGS: RefCell<HashMap<(&'static str, usize), Rc<Kernel>>> = RefCell::default();
}

/// The results of all lanes (of one, where the instruction works across lanes), given the bits of each argument's lanes.
pub fn evaluate(instruction: &'static Instruction, args: &[Vec<u32>], lanes: usize) -> Result<Vec<u32>, String> {
    let results = if instruction.across { 1 } else { lanes };
    let numbers = instruction.meaning.len();
    let outputs = outputs(instruction, args, (lanes, results))?;
    let of_lane = |from: &[Vec<i32>], lane: usize| from.iter().map(|of| of[lane]).collect::<Vec<i32>>();
    let (halves, bytes) = (instruction.result == Slot::H, instruction.result == Slot::U);
    let mut words = Vec::new();
    for lane in 0..results {
        let (values, mut limited) = (of_lane(&outputs[..numbers], lane), of_lane(&outputs[numbers..], lane));
        limited.extend(values.iter().filter(|_| halves));
        if limited.iter().any(|v| i16::try_from(*v).is_err()) {
            return Err(format!("{} computes {limited:?} in i16", instruction.name));
        }
        if bytes {
            let parts = values.iter().map(|v| u8::try_from(*v)).collect::<Result<Vec<u8>, _>>();
            let parts = parts.ok().and_then(|parts| <[u8; 4]>::try_from(parts).ok());
            let word = parts.ok_or_else(|| format!("{} computes {values:?} in bytes", instruction.name))?;
            words.push(u32::from_le_bytes(word));
            continue;
        }
        words.push(if halves { values[0] as u16 as u32 | (values[1] as u32) << 16 } else { values[0] as u32 });
    }
    Ok(words)
}

/// What all lanes have in each of the registers that an instruction changes, given the bits of each argument's lanes.
pub fn accumulated(
    instruction: &'static Instruction,
    args: &[Vec<u32>],
    lanes: usize,
) -> Result<Vec<Vec<i32>>, String> {
    outputs(instruction, args, (lanes, lanes))
}

/// Each number of the meaning, and each that must lie in `i16`, for so many results.
fn outputs(
    instruction: &'static Instruction,
    args: &[Vec<u32>],
    (lanes, results): (usize, usize),
) -> Result<Vec<Vec<i32>>, String> {
    let kernel = MEANINGS.with_borrow_mut(|known| {
        known.entry((instruction.name, lanes)).or_insert_with(|| Rc::new(compile(instruction, lanes))).clone()
    });
    let bytes = |words: &Vec<u32>| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let mut buffers: Vec<Vec<u8>> = args.iter().map(bytes).collect();
    let count = args.len() + instruction.meaning.len() + instruction.in_i16.len();
    buffers.resize(count, vec![0; 4 * results]);
    let ints: &[i32] = if instruction.across { &[] } else { &[lanes as i32] };
    interp::run(&kernel, ints, &[], &mut buffers)?;
    let numbers = |b: &Vec<u8>| b.as_chunks().0.iter().map(|word| i32::from_le_bytes(*word)).collect();
    Ok(buffers[args.len()..].iter().map(numbers).collect())
}

/// The kernel that an instruction is, for so many lanes.
pub fn source(instruction: &Instruction, lanes: usize) -> String {
    let share = (i32::MAX / lanes as i32).to_string();
    let row = if instruction.across { lanes.to_string() } else { "L".to_string() };
    let inputs = instruction.args.iter().map(|(name, slot, number)| {
        let pack = match slot {
            Slot::U | Slot::S => ", 4",
            Slot::H => ", 2",
            _ => "",
        };
        format!("{name}: &Ten<{}, {row}{pack}>", number.replace("{share}", &share))
    });
    let values: Vec<&str> = instruction.meaning.iter().chain(instruction.in_i16).copied().collect();
    let extent = match (instruction.across, instruction.registers) {
        (false, _) => "L".to_string(),
        (true, 0) => "1".to_string(),
        (true, _) => lanes.to_string(),
    };
    let outputs = (0..values.len()).map(|i| format!("y{i}: &mut Ten<i32, {extent}>"));
    let params: Vec<String> = inputs.chain(outputs).collect();
    let lane = |(name, ..): &(&str, Slot, &str)| format!("let {name} = {name}[lane]; ");
    let lets: String = if instruction.across { String::new() } else { instruction.args.iter().map(lane).collect() };
    let stores: String = values.iter().enumerate().map(|(i, value)| format!("y{i}[lane] = {value}; ")).collect();
    let generics = if instruction.across { "" } else { "<L: Dim>" };
    format!(
        "const LANES: i32 = {lanes};\n#[kernel]\nfn {}{generics}({}) {{ for lane in par({extent}) {{ {lets}{stores}}} }}\n",
        instruction.name,
        params.join(", ")
    )
}

fn compile(instruction: &Instruction, lanes: usize) -> Kernel {
    let text = source(instruction, lanes);
    let file = Source { name: format!("the meaning of {}", instruction.name), text };
    match crate::compile(std::slice::from_ref(&file)) {
        Ok(mut kernels) => kernels.remove(0),
        Err(errors) => panic!("{}", crate::diagnostic::render(&errors, &[file], false)),
    }
}
