//! Prints docs/apis.md: `cargo xtask docs` keeps it fresh.

fn main() {
    print!("{}", freshet_server::reference_markdown());
}
