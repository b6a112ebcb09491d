//! JSON as Python's `json.dumps` writes it, for `tojson` in templates.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// Containers deeper than this are refused.
const DEEPEST: usize = 64;

struct Writer {
    out: String,
    /// Spaces a level; `None` writes one line.
    indent: Option<usize>,
}

/// `value` in JSON: `", "` and `": "` between, keys in their order, no escape of HTML or of other scripts.
///
/// # Errors
/// Values nested too deep or that are no data.
pub(super) fn dumps(value: &Value, indent: Option<usize>) -> Result<String, Error> {
    let mut writer = Writer { out: String::new(), indent };
    writer.value(value, 0)?;
    Ok(writer.out)
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(Error::new(ErrorKind::InvalidOperation, "tojson: the value is nested too deep"));
        }
        match value.kind() {
            ValueKind::Undefined | ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&value.to_string()),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                self.container(['[', ']'], value.try_iter()?, depth, |w, item| w.value(&item, depth + 1))?;
            }
            ValueKind::Map => {
                self.container(['{', '}'], value.try_iter()?, depth, |w, key| {
                    w.string(&key.to_string());
                    w.out.push_str(": ");
                    w.value(&value.get_item(&key)?, depth + 1)
                })?;
            }
            kind => return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson: a {kind} is not data"))),
        }
        Ok(())
    }

    fn string(&mut self, text: &str) {
        // serde_json escapes what Python does: quotes, backslashes and control characters. Text cannot fail.
        self.out.push_str(&serde_json::to_string(text).unwrap_or_default());
    }

    fn container(
        &mut self,
        [open, close]: [char; 2],
        items: impl Iterator<Item = Value>,
        depth: usize,
        mut item: impl FnMut(&mut Self, Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        let mut empty = true;
        for value in items {
            if !empty {
                self.out.push(',');
            }
            match self.indent {
                Some(_) => self.line(depth + 1),
                None if !empty => self.out.push(' '),
                None => (),
            }
            item(self, value)?;
            empty = false;
        }
        if !empty {
            self.line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    /// The expected texts are what Python's json.dumps(x, ensure_ascii=False) prints.
    #[test]
    fn the_layout_is_pythons() {
        let value = context! { a => vec![1, 2], b => "<é>\n\"", c => context! { d => Value::from(()) }, e => Vec::<i32>::new() };
        assert_eq!(dumps(&value, None).unwrap(), r#"{"a": [1, 2], "b": "<é>\n\"", "c": {"d": null}, "e": []}"#);
        let value = context! { a => vec![true], b => 1.5 };
        assert_eq!(dumps(&value, Some(4)).unwrap(), "{\n    \"a\": [\n        true\n    ],\n    \"b\": 1.5\n}");
    }

    #[test]
    fn deep_values_are_refused() {
        let deep = (0..100).fold(Value::from(1), |inner, _| Value::from(vec![inner]));
        assert!(dumps(&deep, None).unwrap_err().to_string().contains("too deep"));
    }
}
