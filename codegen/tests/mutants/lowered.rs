//! A kernel through lowering and the loop-IR interpreter: the bits are those that the algorithm IR defines.
use kgen::ir::{Kernel, Stmt};
use kgen::loop_ir;
use kgen::lower::lower;
use kgen::schedule::Schedule;

/// Runs the kernel from `start` under schedules of several widths. `Err` where one does not give `wanted`.
pub fn agrees(k: &Kernel, ints: &[i32], floats: &[f32], start: &[Vec<u8>], wanted: &[Vec<u8>]) -> Result<(), String> {
    let split: Vec<String> = parallel(k, &k.body).into_iter().collect();
    for width in [1, 4, 8, 16] {
        let split: Vec<&str> = split.iter().map(String::as_str).collect();
        let schedule = Schedule { width, unroll: 8, ..Schedule::plain(&split) };
        // Not every kernel fills every width.
        let Ok(func) = lower(k, &schedule) else { continue };
        let work = func.work_items(ints).ok_or("the number of work items is no integer")?;
        let mut buffers = start.to_vec();
        loop_ir::interp::run(&func, ints, floats, &mut buffers, 0, work)
            .map_err(|fault| format!("{} with {width} lanes: {fault}", k.name))?;
        if buffers != wanted {
            return Err(format!("{} with {width} lanes gives other bits", k.name));
        }
    }
    Ok(())
}

/// The first outermost parallel axis.
fn parallel(k: &Kernel, stmts: &[Stmt]) -> Option<String> {
    stmts.iter().find_map(|s| match s {
        Stmt::Par { axis, .. } => Some(k.vars[axis.var.0 as usize].name.clone()),
        _ => None,
    })
}
