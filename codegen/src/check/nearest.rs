//! The name in scope that a mistyped one was probably meant to be.
use super::Checker;
use crate::nearest::nearest;

impl Checker<'_> {
    /// The known name that is closest to a mistyped one.
    pub(super) fn nearest(&self, name: &str) -> Option<String> {
        let known = self.scopes.iter().flat_map(|s| s.keys()).chain(self.program.constants.keys());
        let functions = self.program.functions.keys().filter(|f| !f.contains("::"));
        let names = known.chain(functions).map(String::as_str).chain(super::builtin::NAMES.iter().copied());
        nearest(name, names).map(String::from)
    }
}
