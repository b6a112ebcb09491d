//! `kgen explain`: what an error code means, with an example of it and of the way out.
use super::{Done, Failure};
use kgen::diagnostic::Code;
use std::io::Write;

/// Arguments of `kgen explain`.
#[derive(clap::Args)]
pub struct Args {
    /// The code, as `K0006`; without it, all codes are listed
    code: Option<String>,
}

/// Writes the explanation.
pub fn run(args: &Args, out: &mut impl Write) -> Done {
    let Some(given) = &args.code else {
        for code in Code::ALL {
            writeln!(out, "{code}  {}", code.title())?;
        }
        return Ok(());
    };
    let found = Code::ALL.into_iter().find(|code| code.to_string().eq_ignore_ascii_case(given));
    let code = found.ok_or_else(|| {
        Failure::Usage(format!("there is no code `{given}`; there are {} to {}", Code::ALL[0], Code::ALL[17]))
    })?;
    Ok(write!(out, "{}", code.explanation())?)
}
