//! The schedules around one: each differs in one field. Which of them are legal, the lowering says.
use crate::ir::Kernel;
use crate::lower;
use crate::schedule::Schedule;
use crate::target::Target;

/// The fields that are varied, in this order. `layout` is not among them, as all kernels that read a weight share it; `most` says
/// what a schedule is for.
pub const FIELDS: [&str; 22] = [
    "team",
    "members",
    "split_scales",
    "abreast",
    "threads",
    "resident",
    "ahead",
    "early",
    "stage",
    "in_flight",
    "strided",
    "parts",
    "width",
    "tile",
    "unroll",
    "dot",
    "dot2",
    "rolled",
    "jam",
    "prefetch",
    "lanes",
    "split",
];

/// The schedules that differ from `from` in a field, and in what has to change with it: legal ones and others.
pub fn around(kernel: &Kernel, target: Target, from: &Schedule, field: &str) -> Vec<Schedule> {
    let cuda = target == Target::Cuda;
    let mut all = match field {
        "team" if cuda => vary(from, &[1, 2, 3, 4, 6, 8, 12, 16, 32], |s, team| {
            (s.team, s.threads) = (team, if team > 1 { team * s.width } else { 128 });
            // Only a team copies rows.
            s.stage.retain(|_| team > 1);
        }),
        "members" if from.columns.is_some() => members(from),
        "split_scales" if from.columns.is_some() => vary(from, &[false, true], |s, on| s.split_scales = on),
        "abreast" if from.columns.is_some() => vary(from, &[0, 1, 2, 4], |s, n| s.abreast = n),
        "threads" if cuda && from.team == 1 => vary(from, &[32, 64, 128, 256, 512], |s, n| s.threads = n),
        "resident" if cuda => vary(from, &[0, 1, 2, 3, 4, 6, 8, 12, 16], |s, n| s.resident = n),
        "ahead" => vary(from, &[0, 1, 2, 3, 4], |s, n| s.ahead = n),
        "early" if cuda => vary(from, &[false, true], |s, on| s.early = on),
        "strided" if cuda => vary(from, &[false, true], |s, on| s.strided = on),
        "in_flight" if cuda => vary(from, &[1, 2, 4, 8, 16, 32, 64], |s, n| s.in_flight = n),
        "stage" if cuda => staged(kernel, from),
        "parts" if cuda => parts(kernel, from),
        "width" => vary(from, target.widths(), |s, width| {
            s.width = width;
            s.threads = if s.team > 1 { s.team * width } else { s.threads };
        }),
        "tile" => tiles(kernel, from),
        "unroll" => vary(from, &[0, 4, 8, 16, 32], |s, n| s.unroll = n),
        "dot" => vary(from, &named(target.dots(from.width)), |s, name| s.dot = name),
        "dot2" => vary(from, &named(target.dots2(from.width)), |s, name| s.dot2 = name),
        "rolled" => toggled(from, lower::reductions(kernel), |s| &mut s.rolled),
        "jam" => vary(from, &[1, 2, 4], |s, n| s.jam = n),
        "prefetch" if !cuda => vary(from, &[0, 1024, 2048, 4096, 8192], |s, n| s.prefetch = n),
        "lanes" => {
            let axes = std::iter::once(None).chain(from.split.iter().cloned().map(Some)).collect::<Vec<_>>();
            vary(from, &axes, |s, axis| {
                // Only where lanes do rows, weights are asked for before they are needed.
                if axis.is_none() {
                    (s.ahead, s.early, s.prefetch) = (0, false, 0);
                }
                s.lanes = axis;
            })
        }
        "split" => splits(kernel, from),
        _ => Vec::new(),
    };
    all.retain(|schedule| schedule != from);
    all
}

fn vary<T: Clone>(from: &Schedule, values: &[T], set: impl Fn(&mut Schedule, T)) -> Vec<Schedule> {
    let with = |value: &T| {
        let mut schedule = from.clone();
        set(&mut schedule, value.clone());
        schedule
    };
    values.iter().map(with).collect()
}

fn named(names: Vec<&'static str>) -> Vec<Option<String>> {
    std::iter::once(None).chain(names.into_iter().map(|name| Some(name.to_string()))).collect()
}

/// With each of these names where it was not, and without it where it was.
fn toggled(from: &Schedule, names: Vec<String>, list: fn(&mut Schedule) -> &mut Vec<String>) -> Vec<Schedule> {
    vary(from, &names, |s, name| {
        let list = list(s);
        match list.iter().position(|n| *n == name) {
            Some(at) => drop(list.remove(at)),
            None => list.push(name),
        }
    })
}

/// Members that share the rows and the columns of products, so many each.
fn members(from: &Schedule) -> Vec<Schedule> {
    let axes = [&from.lanes, &from.columns].map(|axis| axis.clone().unwrap_or_default());
    let counts = [1, 2, 3, 4, 6, 8];
    let all: Vec<[usize; 2]> = counts.iter().flat_map(|rows| counts.map(|columns| [*rows, columns])).collect();
    vary(from, &all, |s, counts| {
        s.team = counts[0] * counts[1];
        s.threads = s.team * s.width;
        s.members = axes.iter().cloned().zip(counts).collect();
        if s.team == 1 {
            s.members.clear();
            s.stage.clear();
        }
    })
}

fn staged(kernel: &Kernel, from: &Schedule) -> Vec<Schedule> {
    let read = kernel.buffers.iter().filter(|b| !b.written).map(|b| b.name.clone());
    toggled(from, read.collect(), |s| &mut s.stage)
}

/// A merge in parts takes all outer axes.
fn parts(kernel: &Kernel, from: &Schedule) -> Vec<Schedule> {
    let axes = lower::outer_axes(kernel);
    let all = std::iter::once(None).chain(lower::merge_axes(kernel).into_iter().map(Some));
    vary(from, &all.collect::<Vec<_>>(), |s, axis| {
        if axis.is_some() {
            let rest = axes.iter().filter(|axis| !s.split.contains(axis)).cloned().collect::<Vec<_>>();
            s.split.extend(rest);
        }
        s.parts = axis;
    })
}

fn tiles(kernel: &Kernel, from: &Schedule) -> Vec<Schedule> {
    let of_axis = |axis: &String| {
        vary(from, &[1, 2, 3, 4, 5, 6, 8], |s, n: usize| match n {
            1 => drop(s.tile.remove(axis)),
            n => drop(s.tile.insert(axis.clone(), n)),
        })
    };
    lower::outer_axes(kernel).iter().flat_map(of_axis).collect()
}

/// The first outer axes, more or fewer of them.
fn splits(kernel: &Kernel, from: &Schedule) -> Vec<Schedule> {
    let axes = lower::outer_axes(kernel);
    let counts: Vec<usize> = (1..=axes.len()).collect();
    vary(from, &counts, |s, n| s.split = axes[..n].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;

    fn kernel() -> Kernel {
        let text = "#[kernel]
            fn f<T: Dim, N: Dim, K: Dim>(x: &Ten<f32, T, K>, w: &Ten<f32, N, K>, y: &mut Ten<f32, T, N>) {
                for n in par(N) {
                    for t in par(T) {
                        y[t][n] = sum(0..K, lanes(16), |acc, k| fma(x[t][k], w[n][k], acc));
                    }
                }
            }";
        crate::compile(&[Source { name: "f.rs".into(), text: text.into() }]).unwrap().remove(0)
    }

    #[test]
    fn neighbours_differ_in_one_field_and_some_are_legal() {
        let (kernel, from) = (kernel(), Schedule { width: 16, ..Schedule::plain(&["n"]) });
        for target in Target::ALL {
            let from = Schedule { width: *target.widths().last().unwrap(), ..from.clone() };
            let all: Vec<Schedule> = FIELDS.iter().flat_map(|field| around(&kernel, target, &from, field)).collect();
            assert!(all.iter().all(|s| *s != from && s.layout == from.layout && s.most == from.most));
            let legal = all.iter().filter(|s| target.legal(&kernel, s).is_ok()).count();
            assert!(legal >= 5, "{target}: {legal} of {}", all.len());
            if target == Target::Cuda {
                let teams = around(&kernel, target, &from, "team");
                assert!(teams.iter().all(|s| s.threads == s.team * s.width || s.team == 1));
            } else {
                assert!(all.iter().all(|s| s.team == 1 && s.in_flight == 1 && !s.early && s.parts.is_none()));
            }
        }
    }
}
