//! `kgen list`: every kernel instance with its parameters, and the pairs that can be one launch.
use super::{Done, open};
use kgen::diagnostic::place;
use kgen::fused::Pair;
use kgen::ir::{Buffer, Kernel, Ty, Var, print};
use kgen::recomputed::Spec;
use kgen::{library::Library, target::Target, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Arguments of `kgen list`.
#[derive(clap::Args)]
pub struct Args {
    /// Print one JSON array, with an object for each kernel and each pair
    #[arg(long)]
    json: bool,
}

/// Writes the list.
pub fn run(args: &Args, folder: &Path, out: &mut impl Write) -> Done {
    let library = open(folder)?;
    if args.json {
        let mut kernels: Vec<Value> = library.kernels_on(Target::Cuda).map(|k| record(&library, k)).collect();
        kernels.extend(library.recomputed_specs()?.iter().map(|r| json!({"name": r.name, "rows": r})));
        kernels.extend(library.pairs()?.iter().map(|p| json!({"name": p.name(), "pair": p})));
        serde_json::to_writer_pretty(&mut *out, &kernels).map_err(std::io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    for (i, kernel) in library.kernels_on(Target::Cuda).enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        write_kernel(&library, kernel, out)?;
    }
    for Spec { name, consumer, producer, most, .. } in library.recomputed_specs()? {
        writeln!(out, "\n{name}\n  {consumer}, of which each team computes its rows by {producer}")?;
        writeln!(out, "  one launch on CUDA{}", sizes(&most))?;
    }
    for pair in library.pairs()? {
        let Pair { producer, consumer, edge: [from, to], .. } = &pair;
        writeln!(out, "\n{}\n  {producer}, then {consumer}, whose {to} is {from}", pair.name())?;
        writeln!(out, "  one launch on CUDA{}", sizes(&pair.most))?;
    }
    Ok(())
}

/// The sizes up to which something is used.
fn sizes(most: &BTreeMap<String, i32>) -> String {
    let sizes: Vec<String> = most.iter().map(|(size, most)| format!("{size} <= {most}")).collect();
    if sizes.is_empty() { String::new() } else { format!(" where {}", sizes.join(", ")) }
}

fn write_kernel(library: &Library, k: &Kernel, out: &mut impl Write) -> Done {
    let dims: Vec<&str> = k.dims.iter().map(|v| name(k, *v)).collect();
    writeln!(out, "{}<{}>  {}", k.name, dims.join(", "), place(&library.sources, k.span))?;
    for b in &k.buffers {
        let way = if b.written { "out" } else { "in " };
        let below = b.index_below.as_ref().map(|e| format!(" below {}", print::expr(e, &k.vars)));
        writeln!(out, "  {way} {}: {}[{}]{}", b.name, b.elem, shape(k, b).join(", "), below.unwrap_or_default())?;
    }
    for v in &k.scalars {
        writeln!(out, "  in  {}: {}", name(k, *v), text::ty(ty(k, *v)))?;
    }
    for (_, condition) in &k.requires {
        writeln!(out, "  requires {condition}")?;
    }
    Ok(())
}

fn record(library: &Library, k: &Kernel) -> Value {
    let at = kgen::diagnostic::locate(&library.sources, k.span);
    let scalars = k.scalars.iter().map(|v| match ty(k, *v) {
        Ty::Int { lo, hi } => json!({"name": name(k, *v), "type": "i32", "lo": lo, "hi": hi}),
        _ => json!({"name": name(k, *v), "type": "f32"}),
    });
    let buffers = k.buffers.iter().map(|b| {
        json!({
            "name": b.name, "elem": b.elem, "elem_bytes": b.elem_bytes, "shape": shape(k, b), "written": b.written,
            "below": b.index_below.as_ref().map(|e| print::expr(e, &k.vars)),
        })
    });
    json!({
        "name": k.name,
        "file": at.file, "line": at.line,
        "dims": k.dims.iter().map(|v| name(k, *v)).collect::<Vec<_>>(),
        "scalars": scalars.collect::<Vec<_>>(),
        "buffers": buffers.collect::<Vec<_>>(),
        "requires": k.requires.iter().map(|(_, text)| text).collect::<Vec<_>>(),
    })
}

fn name(k: &Kernel, v: Var) -> &str {
    &k.vars[v.0 as usize].name
}

fn ty(k: &Kernel, v: Var) -> Ty {
    k.vars[v.0 as usize].ty
}

fn shape(k: &Kernel, b: &Buffer) -> Vec<String> {
    b.shape.iter().map(|e| print::expr(e, &k.vars)).collect()
}
