//! `sasl.jaas.config`: a login module of Java's and its options,
//! `MODULE required username="alice" password="secret";`.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// A login module and what it is told.
#[derive(PartialEq, Eq)]
pub(super) struct Module {
    /// The class.
    pub(super) class: String,
    /// Its options by name.
    pub(super) options: BTreeMap<String, String>,
}

const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

/// Reads one module. What is wrong is told without any word of it.
pub(super) fn parse(text: &str) -> Result<Module, String> {
    let mut letters = text.chars().peekable();
    let class = word(&mut letters)?;
    let flag = word(&mut letters)?;
    if class.is_empty() || !FLAGS.contains(&flag.to_ascii_lowercase().as_str()) {
        return Err("must have the form MODULE required username=\"…\" password=\"…\";".to_owned());
    }
    let mut options = BTreeMap::new();
    loop {
        blanks(&mut letters);
        if letters.next_if_eq(&';').is_some() {
            break;
        }
        let name = word(&mut letters)?;
        if name.is_empty() {
            return Err("does not end with a semicolon after its options".to_owned());
        }
        blanks(&mut letters);
        if letters.next_if_eq(&'=').is_none() {
            let number = options.len() + 1;
            return Err(format!("has an option {number} without a value"));
        }
        options.insert(name, word(&mut letters)?);
    }
    blanks(&mut letters);
    if letters.next().is_some() {
        return Err("has more after its first semicolon: one login module is enough".to_owned());
    }
    Ok(Module { class, options })
}

fn blanks(letters: &mut Peekable<Chars<'_>>) {
    while letters.next_if(|c| c.is_whitespace()).is_some() {}
}

/// A word, in quotes or without; empty at the end and before a sign.
fn word(letters: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    blanks(letters);
    let mut word = String::new();
    let Some(quote) = letters.next_if(|c| matches!(c, '"' | '\'')) else {
        let ends = |c: &char| c.is_whitespace() || matches!(c, ';' | '=' | '"' | '\'');
        while let Some(letter) = letters.next_if(|c| !ends(c)) {
            word.push(letter);
        }
        return Ok(word);
    };
    loop {
        match letters.next() {
            Some(end) if end == quote => return Ok(word),
            Some('\\') => match letters.next() {
                Some('n') => word.push('\n'),
                Some('t') => word.push('\t'),
                Some('r') => word.push('\r'),
                Some(other) => word.push(other),
                None => return Err("ends within quotes".to_owned()),
            },
            Some(other) => word.push(other),
            None => return Err("ends within quotes".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn options_are_found() {
        let text =
            " a.b.Module  required\n username=\"al;ice\" password = 'x\\'\\\\=\"' plain=1;\n";
        let module = parse(text).expect("it is fine");
        assert_eq!(module.class, "a.b.Module");
        let expected = [
            ("username", "al;ice"),
            ("password", "x'\\=\""),
            ("plain", "1"),
        ];
        let expected = expected.map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(module.options, BTreeMap::from(expected));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for (text, why) in [
            ("", "form"),
            ("M", "form"),
            ("M username=\"a\" password=\"hunter2\";", "form"),
            ("M required password=\"hunter2\"", "semicolon"),
            ("M required password=\"hunter2", "quotes"),
            ("M required password=\"hunter2\\", "quotes"),
            ("M required hunter2;", "without a value"),
            ("M required password=\"hunter2\"; N required;", "one login"),
        ] {
            let told = parse(text).err().expect("it is wrong");
            assert!(
                told.contains(why) && !told.contains("hunter2"),
                "{text}: {told}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_password_can_be_said(password in "\\PC{0,40}") {
            let escaped = password.replace('\\', "\\\\").replace('"', "\\\"");
            let module = parse(&format!("M required password=\"{escaped}\";"));
            prop_assert_eq!(&module.expect("it is fine").options["password"], &password);
        }

        #[test]
        fn nothing_that_is_read_panics(text in "[a-z \"'\\\\=;\n]{0,60}") {
            let _ = parse(&text);
        }
    }
}
