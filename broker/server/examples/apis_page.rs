//! Prints the reference page of all served APIs, `docs/apis.md`.

fn main() {
    print!("{}", freshet_server::reference_markdown());
}
