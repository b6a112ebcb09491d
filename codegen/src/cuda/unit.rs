//! Translation units: the code of a kernel with an entry, or of several that are one launch.
use super::{PRELUDE, PRELUDE_FILE, ROOT, Source};
use std::fmt::Write;

/// The code of a kernel in a launch: the parts of a [`Source`].
#[derive(Clone, Debug)]
pub struct Part<'s> {
    /// Type and name of each parameter.
    pub parameters: Vec<(&'s str, &'s str)>,
    /// What CTA `cta` of `ctas` does.
    pub body: &'s str,
}

impl Source {
    /// The translation unit with this kernel alone.
    pub fn text(&self) -> String {
        let parameters = self.parameters.iter().map(|(ty, name)| (&**ty, &**name)).collect();
        unit(&self.entry, (self.threads, self.resident), &[Part { parameters, body: &self.body }])
    }
}

/// A translation unit with the entry `extern "C" __global__ void ENTRY(..)` for CTAs of `threads`, of which a multiprocessor should
/// have registers for `resident`, where that is not 0.
///
/// The entry takes the parameters of all parts, one after the other. Of several, each is followed by an `int`, the number of its
/// CTAs: the first CTAs of the launch do the first part, and so on.
pub fn unit(entry: &str, (threads, resident): (usize, usize), parts: &[Part]) -> String {
    let head = format!("#line 1 \"{ROOT}{PRELUDE_FILE}\"\n{PRELUDE}\n#line 1 \"{ROOT}{entry}.cu\"\n");
    let (parameters, body) = match parts {
        [part] => {
            let own = part.parameters.iter().map(|(ty, name)| format!("{ty} {name}")).collect::<Vec<_>>();
            (own, format!("    const int cta = blockIdx.x, ctas = gridDim.x;\n{}", part.body))
        }
        parts => beside(parts),
    };
    let bounds = if resident > 0 { format!("{threads}, {resident}") } else { threads.to_string() };
    let begin = format!("extern \"C\" __global__ void __launch_bounds__({bounds}) {entry}(\n    ");
    head + &begin + &parameters.join(",\n    ") + "\n) {\n" + &body + "}\n"
}

/// The parameters of all, and all bodies, of which each CTA does one.
fn beside(parts: &[Part]) -> (Vec<String>, String) {
    let (mut parameters, mut body) = (Vec::new(), "    int first = 0;\n".to_string());
    for (i, part) in parts.iter().enumerate() {
        for (ty, name) in &part.parameters {
            parameters.push(format!("{ty} {name}_of_{i}"));
        }
        parameters.push(format!("int ctas_of_{i}"));
        let _ = writeln!(body, "    if ((int)blockIdx.x < first + ctas_of_{i}) {{");
        let _ = writeln!(body, "    const int cta = (int)blockIdx.x - first, ctas = ctas_of_{i};");
        for (ty, name) in &part.parameters {
            let _ = writeln!(body, "    {ty} {name} = {name}_of_{i};");
        }
        let _ = writeln!(body, "{}    return;\n    }}\n    first += ctas_of_{i};", part.body);
    }
    (parameters, body)
}
