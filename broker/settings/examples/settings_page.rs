//! Prints the reference page of all settings, `docs/settings.md`.

fn main() {
    print!("{}", freshet_settings::reference_markdown());
}
