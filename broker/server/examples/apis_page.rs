//! Prints the reference page of all served APIs, `docs/apis.md`.

use freshet_server::served;

fn main() {
    println!("# APIs\n");
    println!("Written by `cargo xtask docs` from the registry in `broker/server`.\n");
    println!("| key | name | versions | flexible from |");
    println!("|---:|---|---|---:|");
    let mut apis: Vec<_> = served().collect();
    apis.sort_by_key(|api| api.key.code());
    for api in apis {
        let (first, last) = (api.versions.start(), api.versions.end());
        let (key, name) = (api.key.code(), api.key.name());
        println!("| {key} | {name} | {first}–{last} | {} |", api.flexible);
    }
}
