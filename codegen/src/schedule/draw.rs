//! Random schedules, for tests that no schedule changes a bit.
use super::Schedule;
use crate::instructions::{matrix, matrix_wide};
use crate::ir::{Field, Kernel, walk};
use crate::layout::SideBySide;
use crate::lower;
use crate::target::Target;
use std::collections::BTreeMap;

/// Draws a schedule from all that could be legal for a kernel; [`Target::legal`] says which are, and [`Schedule::fits`] for which
/// sizes.
pub fn draw(kernel: &Kernel, target: Target, mut choose: impl FnMut(usize) -> usize) -> Schedule {
    let axes = lower::outer_axes(kernel);
    let mut pick = |options: &[usize]| options[choose(options.len())];
    let width = pick(target.widths());
    let dot = target.dots(width).get(pick(&[0, 1, 1, 2, 3])).map(|name| name.to_string());
    let dot2 = target.dots2(width).get(pick(&[0, 1, 0, 1, 2])).map(|name| name.to_string());
    let mut rolled = lower::reductions(kernel);
    rolled.retain(|_| pick(&[0, 0, 1]) == 1);
    let jam = pick(&[1, 1, 2, 4]);
    let mut left = axes.clone();
    let mut split = Vec::new();
    let count = 1 + pick(&(0..left.len()).collect::<Vec<_>>());
    while split.len() < count {
        split.push(left.remove(pick(&(0..left.len()).collect::<Vec<_>>())));
    }
    let merges = if target == Target::Cuda { lower::merge_axes(kernel) } else { Vec::new() };
    let parts = merges.into_iter().find(|_| pick(&[0, 1]) == 1);
    if parts.is_some() {
        split.append(&mut left);
    }
    let lanes = split.get(pick(&[0, 1, 2, 3])).filter(|_| parts.is_none()).cloned();
    let layout = layouts(kernel, if lanes.is_some() { width } else { pick(&[1, 3, 16]) }, &mut pick);
    let axes = if parts.is_some() { Vec::new() } else { axes };
    let tile = axes.iter().map(|a| (a.clone(), pick(&[1, 1, 1, 2, 3, 4]))).filter(|(_, n)| *n > 1).collect();
    let unroll = pick(&[0, 4, 8, 16, 32]);
    let prefetch = if target == Target::Cuda { 0 } else { pick(&[0, 0, 4096]) };
    let team = if target == Target::Cuda { pick(&[1, 1, 2, 3, 4, 8]) } else { 1 };
    let in_flight = if target == Target::Cuda { pick(&[1, 1, 4]) } else { 1 };
    let resident = if target == Target::Cuda { pick(&[0, 0, 1, 2]) } else { 0 };
    let strided = target == Target::Cuda && pick(&[0, 1]) == 1;
    let early = target == Target::Cuda && lanes.is_some() && pick(&[0, 1]) == 1;
    let ahead = if lanes.is_some() { pick(&[0, 0, 1, 2, 3]) } else { 0 };
    let threads = if team > 1 { team * width } else { pick(&[32, 64, 128, 256]) };
    let columns = None;
    let (stage, most) = if team > 1 && parts.is_none() { rows(kernel, &mut pick) } else { Default::default() };
    let drawn = Schedule {
        width,
        dot,
        dot2,
        rolled,
        jam,
        split,
        lanes,
        columns,
        split_scales: false,
        wide: false,
        abreast: 0,
        layout,
        tile,
        parts,
        team,
        members: BTreeMap::new(),
        stage,
        in_flight,
        resident,
        strided,
        early,
        ahead,
        prefetch,
        unroll,
        most,
        threads,
    };
    let axes = lower::outer_axes(kernel);
    let products = target == Target::Cuda && axes.len() > 1 && drawn.parts.is_none() && pick(&[0, 1]) == 1;
    if products { matrices(kernel, axes, drawn, &mut pick) } else { drawn }
}

/// A schedule like another one, in which lanes have products of matrices.
fn matrices(kernel: &Kernel, axes: Vec<String>, like: Schedule, pick: &mut impl FnMut(&[usize]) -> usize) -> Schedule {
    let rows = pick(&(0..axes.len()).collect::<Vec<_>>());
    let columns = (rows + pick(&(1..axes.len()).collect::<Vec<_>>())) % axes.len();
    let (lanes, columns) = (axes[rows].clone(), axes[columns].clone());
    let mut split = vec![lanes.clone(), columns.clone()];
    split.rotate_left(pick(&[0, 1]));
    split.extend(axes.into_iter().filter(|axis| ![&lanes, &columns].contains(&axis) && pick(&[0, 1]) == 1));
    let tile = [&lanes, &columns].map(|axis| (axis.clone(), pick(&[1, 1, 2, 3])));
    let (mut members, mut stage, mut most) = (BTreeMap::new(), like.stage, like.most);
    if like.team > 1 && pick(&[0, 1]) == 1 {
        let of_rows = pick(&[1, 2, like.team]);
        let of_rows = if like.team.is_multiple_of(of_rows) { of_rows } else { 1 };
        members = [(lanes.clone(), of_rows), (columns.clone(), like.team / of_rows)].into();
        let blocks = kernel.buffers.iter().filter(|b| !b.written && !b.fields.is_empty() && b.shape.len() == 2);
        stage = blocks.filter(|_| pick(&[0, 1]) == 1).map(|b| b.name.clone()).collect();
        most = BTreeMap::new();
    }
    let drawn = Schedule {
        width: 32,
        dot: None,
        dot2: None,
        early: false,
        ahead: 0,
        split,
        layout: layouts(kernel, 16, pick),
        tile: tile.into_iter().filter(|(_, n)| *n > 1).collect(),
        threads: if like.team > 1 { like.team * 32 } else { like.threads },
        lanes: Some(lanes),
        columns: Some(columns),
        split_scales: pick(&[0, 1]) == 1,
        wide: false,
        abreast: pick(&[0, 1, 2]),
        members,
        stage,
        most,
        ..like
    };
    if pick(&[0, 0, 1]) == 1 { wide(kernel, drawn) } else { drawn }
}

/// The same with products of all columns of a tile at once.
fn wide(kernel: &Kernel, like: Schedule) -> Schedule {
    let (rows, columns) = (like.lanes.clone().unwrap_or_default(), like.columns.clone().unwrap_or_default());
    let blocks = kernel.buffers.iter().filter(|b| !b.written && !b.fields.is_empty() && b.shape.len() == 2);
    Schedule {
        split_scales: true,
        wide: true,
        abreast: 0,
        tile: [(columns, matrix_wide::COLUMNS / matrix::COLUMNS)].into(),
        team: matrix_wide::TOGETHER,
        threads: matrix_wide::TOGETHER * matrix::LANES,
        members: [(rows, matrix_wide::TOGETHER)].into(),
        stage: blocks.map(|b| b.name.clone()).collect(),
        most: BTreeMap::new(),
        ..like
    }
}

/// Layouts of some of the weights: `rows` rows side by side, in pieces that fields can be cut into.
fn layouts(kernel: &Kernel, rows: usize, pick: &mut impl FnMut(&[usize]) -> usize) -> BTreeMap<String, SideBySide> {
    let mut layouts = BTreeMap::new();
    for buffer in kernel.buffers.iter().filter(|b| !b.written && !b.fields.is_empty() && b.shape.len() > 1) {
        let cut = |f: &Field, piece: usize| (f.scalar.bytes() * f.len.unwrap_or(1)).is_multiple_of(piece);
        let mut pieces = BTreeMap::new();
        for field in &buffer.fields {
            let piece = field.scalar.bytes() * pick(&[1, 2, 4, 4, 16]);
            pieces.extend(cut(field, piece).then(|| (field.name.clone(), piece)));
        }
        layouts.extend((pick(&[0, 1, 1]) == 1).then(|| (buffer.name.clone(), SideBySide { rows, pieces, piece: 0 })));
    }
    layouts
}

/// Buffers whose rows are copied, and bounds for the sizes that their lengths are made of.
fn rows(kernel: &Kernel, pick: &mut impl FnMut(&[usize]) -> usize) -> (Vec<String>, BTreeMap<String, i32>) {
    let (mut stage, mut most) = (Vec::new(), BTreeMap::new());
    for buffer in kernel.buffers.iter().filter(|b| !b.written) {
        if pick(&[0, 1]) == 1 {
            stage.push(buffer.name.clone());
            let sizes = walk::mentioned(&[], buffer.shape.last());
            let sizes = kernel.dims.iter().filter(|v| sizes.contains(v));
            let names = sizes.map(|v| kernel.vars[v.0 as usize].name.clone());
            most.extend(names.map(|size| (size, pick(&[8, 64, 2100]) as i32)));
        }
    }
    (stage, most)
}
