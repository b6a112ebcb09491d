//! The report as tables for other programs: CSV and Markdown, with the same columns.
use super::report::Report;
use std::fmt::Write;

/// A table: the names of its columns, and its rows.
struct Table {
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

const SPEEDS: &[&str] = &[
    "model",
    "device",
    "threads",
    "test",
    "tokens",
    "depth",
    "repetitions",
    "median_tokens_s",
    "min_tokens_s",
    "max_tokens_s",
    "weight_bytes_a_token",
    "cache_bytes_a_token",
    "gb_s",
    "read_rate_gb_s",
    "min_read_rate_gb_s",
    "max_read_rate_gb_s",
    "percent_of_read_rate",
    "min_percent_of_read_rate",
    "max_percent_of_read_rate",
    "memory_bytes",
    "ids_compared",
    "ids_equal",
];
const STAGES: &[&str] = &["test", "stage", "kernel", "number", "us", "percent"];

/// Comma-separated values (RFC 4180), a line a measurement. Stages, where they were measured, are a table of their own after an
/// empty line.
pub fn csv(report: &Report) -> String {
    let tables = tables(report).into_iter().map(|table| {
        let header = table.columns.join(",");
        let lines = table.rows.into_iter().map(|row| row.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(","));
        [header].into_iter().chain(lines).map(|line| line + "\n").collect::<String>()
    });
    tables.collect::<Vec<_>>().join("\n")
}

/// The same as Markdown.
pub fn markdown(report: &Report) -> String {
    let mut out = Vec::new();
    for table in tables(report) {
        let mut text = format!("| {} |\n|{}\n", table.columns.join(" | "), "---|".repeat(table.columns.len()));
        for row in table.rows {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        out.push(text);
    }
    out.join("\n")
}

fn tables(report: &Report) -> Vec<Table> {
    let speeds = Table { columns: SPEEDS, rows: speeds(report) };
    let stages = Table { columns: STAGES, rows: stages(report) };
    [speeds, stages].into_iter().filter(|table| !table.rows.is_empty()).collect()
}

fn speeds(report: &Report) -> Vec<Vec<String>> {
    let row = |(_, test, speed): (String, &str, &super::report::Speed)| {
        let ids = Some(&report.ids).filter(|_| test == "decode");
        let (traffic, read_rate) = (&speed.traffic, &report.figures.read_rate);
        let percent = |part: Option<f64>| or_empty(part.map(|part| rounded(100.0 * part)));
        vec![
            report.model.clone(),
            report.device.clone(),
            or_empty(report.threads),
            test.into(),
            speed.tokens.to_string(),
            report.depth.to_string(),
            report.repetitions.to_string(),
            rounded(speed.median),
            rounded(speed.min),
            rounded(speed.max),
            or_empty(traffic.weight_bytes),
            or_empty(traffic.cache_bytes),
            or_empty(traffic.gb_a_second.map(rounded)),
            rounded(read_rate.gb_a_second),
            rounded(read_rate.gb_a_second_min),
            rounded(read_rate.gb_a_second_max),
            percent(traffic.of_read_rate),
            percent(traffic.of_read_rate_min),
            percent(traffic.of_read_rate_max),
            or_empty(report.figures.memory.as_ref().map(|memory| memory.bytes)),
            or_empty(ids.map(|ids| ids.compared)),
            or_empty(ids.map(|ids| ids.equal)),
        ]
    };
    report.tests().map(row).collect()
}

fn stages(report: &Report) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (test, stages) in report.stage_tables() {
        rows.extend(stages.iter().map(|stage| {
            let (us, percent) = (rounded(1e6 * stage.seconds), rounded(100.0 * stage.share));
            vec![test.into(), stage.op.clone(), stage.kernel.clone(), stage.stages.to_string(), us, percent]
        }));
    }
    rows
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn rounded(value: f64) -> String {
    format!("{value:.2}")
}

/// A cell with quotes where it needs them.
fn quoted(cell: &str) -> String {
    match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_would_end_a_cell_are_quoted() {
        assert_eq!(quoted("a b"), "a b");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
