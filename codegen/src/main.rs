//! temporary
fn main() {
    let sources: Vec<_> = std::env::args()
        .skip(1)
        .map(|f| kgen::diagnostic::Source { text: std::fs::read_to_string(&f).unwrap(), name: f })
        .collect();
    match kgen::compile(&sources) {
        Ok(k) => {
            for k in k {
                println!("{}", kgen::ir::print::kernel(&k))
            }
        }
        Err(e) => eprintln!("{}", kgen::diagnostic::render(&e, &sources, false)),
    }
}
