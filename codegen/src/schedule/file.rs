//! Files of schedules as text: one schedule a line, and in it only what differs from plain code.
use super::Schedule;
use serde_json::{Map, Value};

/// A file with another schedule in place `entry` of a kernel's list. All else stays.
pub fn replace(text: &str, kernel: &str, entry: usize, schedule: &Schedule) -> Result<String, String> {
    let mut all: Map<String, Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let list = all.get_mut(kernel).ok_or_else(|| format!("there is no schedule of `{kernel}`"))?;
    let place = match list {
        Value::Array(list) => list.get_mut(entry),
        one => (entry == 0).then_some(one),
    };
    *place.ok_or_else(|| format!("`{kernel}` has no schedule {entry}"))? = compact(schedule)?;
    Ok(format(&all))
}

/// A schedule without the fields that plain code has, `most` first.
pub fn compact(schedule: &Schedule) -> Result<Value, String> {
    let fields = |schedule: &Schedule| match serde_json::to_value(schedule) {
        Ok(Value::Object(fields)) => Ok(fields),
        other => Err(format!("a schedule is no object: {other:?}")),
    };
    let (mut all, plain) = (fields(schedule)?, fields(&Schedule::plain(&[]))?);
    all.retain(|name, value| ["width", "split"].contains(&name.as_str()) || plain.get(name) != Some(value));
    let most = all.shift_remove_entry("most");
    Ok(Value::Object(most.into_iter().chain(all).collect()))
}

/// The text of a file, from a schedule or a list for each kernel.
pub fn format(all: &Map<String, Value>) -> String {
    let kernels: Vec<String> =
        all.iter().map(|(name, entry)| format!("  {}: {}", quoted(name), lines(entry))).collect();
    format!("{{\n{}\n}}\n", kernels.join(",\n"))
}

/// A schedule, or a list of them on a line each.
fn lines(entry: &Value) -> String {
    let Value::Array(list) = entry else { return line(entry) };
    let list: Vec<String> = list.iter().map(|schedule| format!("    {}", line(schedule))).collect();
    format!("[\n{}\n  ]", list.join(",\n"))
}

fn line(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("[{}]", list.iter().map(line).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, v)| format!("{}: {}", quoted(name), line(v))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

fn quoted(name: &str) -> String {
    Value::from(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn shipped_files_are_written_as_they_would_be() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("kernels-gen").join("schedules");
        for name in ["scalar.json", "avx2.json", "avx512.json", "sm_90.json"] {
            let text = std::fs::read_to_string(folder.join(name)).unwrap();
            assert!(format(&serde_json::from_str(&text).unwrap()) == text, "{name} is not as `format` writes it");
        }
    }

    #[test]
    fn one_schedule_is_replaced_and_reads_back() {
        let text = "{\n  \"b\": [\n    {\"most\": {\"T\": 1}, \"width\": 4, \"split\": [\"t\"]},\n    {\"width\": 1, \
                    \"split\": []}\n  ],\n  \"a\": {\"width\": 8, \"split\": [\"t\"]}\n}\n";
        let schedule = Schedule { width: 16, team: 2, ahead: 1, ..Schedule::plain(&["t", "n"]) };
        let schedule = Schedule { most: [("T".to_string(), 1)].into(), threads: 32, ..schedule };
        let new = replace(text, "b", 0, &schedule).unwrap();
        let line = "    {\"most\": {\"T\": 1}, \"width\": 16, \"split\": [\"t\", \"n\"], \"team\": 2, \"ahead\": 1, \
                    \"threads\": 32},\n";
        assert_eq!(new, text.replace("    {\"most\": {\"T\": 1}, \"width\": 4, \"split\": [\"t\"]},\n", line));
        let back: Map<String, Value> = serde_json::from_str(&new).unwrap();
        assert_eq!(serde_json::from_value::<Schedule>(back["b"][0].clone()).unwrap(), schedule);
        assert!(replace(text, "c", 0, &schedule).is_err() && replace(text, "a", 1, &schedule).is_err());
        assert!(replace("[", "a", 0, &schedule).is_err());
    }
}
