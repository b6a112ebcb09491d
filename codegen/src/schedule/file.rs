//! Files of schedules as text: one schedule a line, and in it only what differs from plain code.
use super::Schedule;
use serde_json::{Map, Value};

/// Which of a file's entries a kernel has: that of its name, else of those like `matvec_*` the longest that its name begins with.
pub fn entry<'n>(names: impl Iterator<Item = &'n str>, kernel: &str) -> Option<&'n str> {
    let fits = |name: &&str| *name == kernel || name.strip_suffix('*').is_some_and(|start| kernel.starts_with(start));
    names.filter(fits).max_by_key(|name| (*name == kernel, name.len()))
}

/// A file with another schedule in place `number` of a kernel's list. All else stays: what it shared with others becomes its own.
pub fn replace(text: &str, kernel: &str, number: usize, schedule: &Schedule) -> Result<String, String> {
    let mut all: Map<String, Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let shared = entry(all.keys().map(String::as_str), kernel).and_then(|name| all.get(name).cloned());
    let shared = shared.ok_or_else(|| format!("there is no schedule of `{kernel}`"))?;
    let list = all.entry(kernel).or_insert(shared);
    let place = match list {
        Value::Array(list) => list.get_mut(number),
        one => (number == 0).then_some(one),
    };
    *place.ok_or_else(|| format!("`{kernel}` has no schedule {number}"))? = compact(schedule)?;
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
    fn a_kernel_has_its_own_entry_or_the_longest_that_it_begins_with() {
        let names = ["a_*", "a_b", "a_b*", "a_b_*", "*c"];
        let found = |kernel| entry(names.into_iter(), kernel);
        assert_eq!([found("a_b"), found("a_bc"), found("a_b_c")], [Some("a_b"), Some("a_b*"), Some("a_b_*")]);
        assert_eq!([found("a_c"), found("a"), found("c")], [Some("a_*"), None, None]);
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
        let shared = text.replace("\"b\"", "\"b_*\"");
        let own: Map<String, Value> = serde_json::from_str(&replace(&shared, "b_1", 1, &schedule).unwrap()).unwrap();
        assert_eq!((&own["b_1"][0], own["b_*"].as_array().map(Vec::len)), (&own["b_*"][0], Some(2)));
        assert_eq!(serde_json::from_value::<Schedule>(own["b_1"][1].clone()).unwrap(), schedule);
        assert!(replace(text, "c", 0, &schedule).is_err() && replace(text, "a", 1, &schedule).is_err());
        assert!(replace("[", "a", 0, &schedule).is_err());
    }
}
