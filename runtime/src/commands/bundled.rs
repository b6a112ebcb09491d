//! The model that is used where none is named.
use crate::Error;
use std::{
    env,
    path::{Path, PathBuf},
};

/// The file name of the bundled model.
const BUNDLED: &str = "abacus-42m-q4_k_m.gguf";

/// The model that is named, else the default one, of which standard error is told.
pub fn or_default(model: Option<PathBuf>) -> Result<PathBuf, Error> {
    match model {
        Some(path) => Ok(path),
        None => {
            let path = default_model()?;
            eprintln!("{}", announce(&path));
            Ok(path)
        }
    }
}

/// The model that is used where none is named: `APR_MODEL`, else the bundled one beside the program or in the source
/// tree that it was built from.
fn default_model() -> Result<PathBuf, Error> {
    if let Some(model) = env::var_os("APR_MODEL").filter(|model| !model.is_empty()) {
        return Ok(model.into());
    }
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_path_buf()));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf);
    let places = [beside.clone(), beside.map(|dir| dir.join("models")), source.map(|dir| dir.join("models"))];
    places.into_iter().flatten().map(|dir| dir.join(BUNDLED)).find(|path| path.is_file()).ok_or_else(|| {
        let message = format!("no MODEL given, and the bundled {BUNDLED} is not beside the program");
        Error::usage(message, "give the path of a .gguf file, or set APR_MODEL to it")
    })
}

/// What is said of the model that was chosen for the user.
fn announce(model: &Path) -> String {
    if model.file_name().is_some_and(|name| name == BUNDLED) {
        "model: the bundled abacus-42m (42 million weights, Q4_K_M): it can answer sums, comparisons, capitals, \
         spelling, counting, and short functions in code, and little else; name a .gguf file to run your own"
            .into()
    } else {
        format!("model: {}, from APR_MODEL", model.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_model_says_what_it_can_do() {
        assert!(announce(Path::new("/x/abacus-42m-q4_k_m.gguf")).contains("sums"));
        assert!(announce(Path::new("/x/other.gguf")).contains("other.gguf"));
    }
}
