//! What `kgen inspect` finds, for people.
use super::report::{Asked, Code, Report};
use kgen::inspect::mix::Access;
use kgen::inspect::occupancy::Sm;
use kgen::inspect::roofline::{Bound, Gpu};
use kgen::text::count;
use std::io::{Result, Write};

/// Writes it.
pub fn write(report: &Report, out: &mut impl Write) -> Result<()> {
    match &report.sm {
        Ok(Sm { ctas, warps, shared_kib, .. }) => {
            writeln!(out, "{}: an SM holds {ctas} CTAs, {warps} warps, {shared_kib} KiB of shared memory", report.arch)?
        }
        Err(unknown) => writeln!(out, "{unknown}")?,
    }
    for code in &report.codes {
        writeln!(out)?;
        write_code(code, report, out)?;
    }
    for asked in &report.asked {
        writeln!(out)?;
        write_asked(asked, report.gpu.as_ref(), out)?;
    }
    Ok(())
}

fn write_code(code: &Code, report: &Report, out: &mut impl Write) -> Result<()> {
    let most: Vec<String> = code.most.iter().map(|(name, most)| format!("{name} <= {most}")).collect();
    let most = if most.is_empty() { String::new() } else { format!("  for {}", most.join(", ")) };
    let serves = if code.serves == Some(true) { "  (serves these sizes)" } else { "" };
    writeln!(out, "{}{most}{serves}", code.entry)?;
    let r = &code.resources;
    let bound = r.max_threads.map(|most| format!(", {most} at most")).unwrap_or_default();
    writeln!(out, "  threads       {} a CTA{bound}", code.threads)?;
    let spills = match code.spills {
        Some(spills) => format!("{} bytes of spill stores, {} of spill loads", spills.stores, spills.loads),
        None => "spills are not known".into(),
    };
    writeln!(out, "  registers     {} a thread; a stack of {} bytes; {spills}", r.registers, r.stack)?;
    writeln!(out, "  shared        {} bytes, and {} that a launch adds", r.shared, code.dynamic_shared)?;
    let banks: Vec<String> = r.constant.iter().map(|(bank, bytes)| format!("{bytes} bytes in bank {bank}")).collect();
    let parameters = r.parameters.map(|bytes| format!("; parameters take {bytes}")).unwrap_or_default();
    writeln!(out, "  constant      {}{parameters}", if banks.is_empty() { "none".into() } else { banks.join(", ") })?;
    if let (Some(o), Ok(sm)) = (&code.occupancy, &report.sm) {
        let (ctas, limits) = (count(o.ctas as usize, "CTA"), o.limits().join(", "));
        writeln!(
            out,
            "  occupancy     {:.1} %: {ctas}, {} of {} warps; {limits} set the limit",
            o.percent, o.warps, sm.warps
        )?;
        let [r, s, w, c] = [o.by_registers, o.by_shared, o.by_warps, o.by_ctas];
        writeln!(out, "                registers allow {r} CTAs, shared memory {s}, warps {w}, places {c}")?;
    }
    writeln!(out, "  instructions  {} of PTX", code.mix.all)?;
    let accesses = code.mix.accesses.iter().map(|(access, n)| (name(access), *n));
    let classes = code.mix.classes.iter().map(|(class, n)| (class.name().to_string(), *n));
    accesses.chain(classes).try_for_each(|(name, n)| writeln!(out, "    {n:>6}  {name}"))
}

fn name(Access { way, space, bytes }: &Access) -> String {
    let bytes = bytes.map(|bytes| format!(" of {}", count(bytes as usize, "byte"))).unwrap_or_default();
    format!("{way} {space}{bytes}")
}

fn write_asked(asked: &Asked, gpu: Option<&Gpu>, out: &mut impl Write) -> Result<()> {
    let sizes: Vec<String> = asked.sizes.iter().map(|(name, n)| format!("{name}={n}")).collect();
    writeln!(out, "{} at {}", asked.kernel, sizes.join(", "))?;
    writeln!(out, "  bytes         {} read, {} written, each at least once", asked.read_bytes, asked.written_bytes)?;
    for b in &asked.buffers {
        let way = if b.written { "out" } else { "in " };
        let part = if b.bytes < b.all_bytes { format!(" of {}", b.all_bytes) } else { String::new() };
        writeln!(out, "    {way} {}: {}{part}", b.name, b.bytes)?;
    }
    let (bytes, others) = (asked.byte_products, asked.products);
    writeln!(out, "  integers      {bytes} products of bytes, {others} other products")?;
    let floats: Vec<String> = asked.floats.iter().map(|(name, n)| format!("{n} {name}")).collect();
    writeln!(out, "  floats        {}", if floats.is_empty() { "none".into() } else { floats.join(", ") })?;
    if let (Some(gpu), Some(Bound { memory_us, integer_us, float_us, least_us, by })) = (gpu, asked.bound) {
        writeln!(out, "  bound         {least_us:.3} us on {} ({}), by {by}", gpu.name, gpu.product)?;
        writeln!(
            out,
            "                memory {memory_us:.3} us, integers {integer_us:.3} us, floats {float_us:.3} us"
        )?;
    }
    Ok(())
}
