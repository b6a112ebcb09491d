//! Schedules that `kgen tune --keep` has found faster on a user's GPU: kernels are lowered with them when a program starts, and come
//! before those that were built in. No schedule can change a bit, so only time depends on the file.
use crate::{Cuda, INLINED, KERNELS, Kernel, generated};
use kgen::{
    cuda,
    diagnostic::Source,
    library::{Library, parse_schedules},
    places::Places,
    schedule::Schedule,
    target::Target,
};
use std::{collections::HashMap, sync::OnceLock};

/// The codes of kernels that have such schedules, by name.
static TUNED: OnceLock<HashMap<&'static str, &'static [Cuda]>> = OnceLock::new();

/// Takes the schedules of a file, for the rest of the process. Only the first call counts.
///
/// # Errors
/// What is wrong with the text: no JSON, kernels or sizes that are not there, schedules that are not legal.
pub fn take(text: &str) -> Result<(), String> {
    let all = codes(text)?.into_iter().map(|(name, codes)| (name, &*codes.leak())).collect();
    let _ = TUNED.set(all);
    Ok(())
}

/// The names of the kernels that have such schedules.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = TUNED.get().into_iter().flat_map(|tuned| tuned.keys().copied()).collect();
    names.sort_unstable();
    names
}

/// The codes of a kernel, where some of them are tuned.
pub(crate) fn of(kernel: &str) -> Option<&'static [Cuda]> {
    TUNED.get()?.get(kernel).copied()
}

/// The codes of each kernel of the file.
fn codes(text: &str) -> Result<Vec<(&'static str, Vec<Cuda>)>, String> {
    let entries: HashMap<String, Vec<Schedule>> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let source = |&(name, text): &(&str, &str)| Source { name: name.into(), text: text.into() };
    let sources = generated::SOURCES.iter().map(source).collect();
    let library = Library::of(sources, generated::INLINED_SPECS).map_err(|e| e.to_string())?;
    let shipped = parse_schedules(generated::CUDA_SCHEDULES, "built in").map_err(|e| e.to_string())?;
    let places = Places::new(&library.sources);
    let mut all: Vec<_> = entries.into_iter().collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let mut found = Vec::new();
    for (name, schedules) in all {
        let failed = |what: String| format!("`{name}`: {what}");
        let kernel = kernel(&name).ok_or_else(|| failed("there is no such kernel".into()))?;
        let own = kgen::schedule::file::entry(shipped.keys().map(String::as_str), &name).map(|entry| &shipped[entry]);
        let own = own.ok_or_else(|| failed("it has no schedules".into()))?;
        let mut codes = kernel.shipped.to_vec();
        for schedule in &schedules {
            let place = own.iter().position(|own| own.most == schedule.most);
            let place = place.ok_or_else(|| failed(format!("no schedule is for the sizes {:?}", schedule.most)))?;
            if own[place].layout != schedule.layout {
                return Err(failed("weights would lie in another way than for other kernels".into()));
            }
            let source = library.kernel(&name).map_err(|e| failed(e.to_string()))?;
            let func = Target::Cuda.lower(source, schedule).map_err(failed)?;
            let emitted = cuda::emit(&func, schedule.threads, &places).map_err(|e| failed(e.to_string()))?;
            codes[place] = Cuda::tuned(&codes[place], emitted, func.sizes());
        }
        found.push((kernel.name, codes));
    }
    Ok(found)
}

fn kernel(name: &str) -> Option<&'static Kernel> {
    let inlined = INLINED.iter().map(|inlined| &inlined.kernel);
    KERNELS.iter().chain(inlined).find(|kernel| kernel.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_have_the_code_of_their_schedules() {
        let swiglu = r#"{"swiglu": [{"width": 1, "split": ["t", "n"], "threads": 64}]}"#;
        let found = codes(swiglu).unwrap();
        let [(name, codes)] = &found[..] else { panic!("one kernel") };
        let shipped = crate::kernel("swiglu").unwrap().shipped;
        assert_eq!((*name, codes.len(), codes[0].threads), ("swiglu", shipped.len(), 64));
        assert_eq!((codes[0].entry, codes[0].allowed), (shipped[0].entry, shipped[0].allowed));
        // Three tokens of 700 numbers each, a number an item.
        assert_eq!((codes[0].work(&[3, 700]), codes[0].counters(&[3, 700])), (2100, 0));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str, told: &str| {
            let error = codes(text).map(drop).unwrap_err();
            assert!(error.contains(told), "{error}");
        };
        wrong("{", "EOF");
        wrong(r#"{"swigul": []}"#, "`swigul`: there is no such kernel");
        wrong(r#"{"swiglu": [{"most": {"T": 3}, "width": 1, "split": ["t", "n"]}]}"#, "no schedule is for the sizes");
        wrong(r#"{"swiglu": [{"width": 1, "split": []}]}"#, "no axis is split");
        wrong(r#"{"matvec_q4k": [{"width": 16, "split": ["n"], "lanes": "n"}]}"#, "weights would lie in another way");
    }
}
