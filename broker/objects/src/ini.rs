//! The files of the AWS tools, as far as sections and lines go.
//!
//! ```text
//! [default]                          a section, until the next one
//! region = eu-central-1              # a comment
//! s3 =
//!   endpoint_url = https://here      said of what stands before it: `s3.endpoint_url`
//! ```

use std::collections::BTreeMap;

/// Names that are longer are no names. Errors show them.
const NAME_MAX_BYTES: usize = 128;

/// What a section says of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// A section by its name, blanks in it being one, and without quotes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) name: String,
    /// By names in lower case. Where one is said twice the later one counts.
    pub(crate) says: BTreeMap<String, Value>,
}

/// A line that is none. It is not shown: it may be a secret.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) line: usize,
    pub(crate) why: &'static str,
}

/// The sections of a file, in its order.
pub(crate) fn sections(text: &str) -> Result<Vec<Section>, Wrong> {
    let mut reading = Reading::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, text) in (1..).zip(text.lines()) {
        let told = reading.line(line, text);
        told.map_err(|why| Wrong { line, why })?;
    }
    Ok(reading.sections)
}

#[derive(Default)]
struct Reading {
    sections: Vec<Section>,
    /// The name that was said last in this section, and how far it is from the line's beginning.
    last: Option<(String, usize)>,
}

impl Reading {
    fn line(&mut self, line: usize, text: &str) -> Result<(), &'static str> {
        let words = text.trim();
        if words.is_empty() || words.starts_with(['#', ';']) {
            return Ok(());
        }
        let depth = text.len() - text.trim_start().len();
        if let Some(rest) = words.strip_prefix('[') {
            let (name, behind) = rest.split_once(']').ok_or("a section without its `]`")?;
            let behind = behind.trim();
            if !behind.is_empty() && !behind.starts_with(['#', ';']) {
                return Err("something behind a section's `]`");
            }
            let name = plain(name);
            if name.len() > NAME_MAX_BYTES {
                return Err("a section's name is longer than 128 bytes");
            }
            self.sections.push(Section {
                name,
                says: BTreeMap::new(),
            });
            self.last = None;
            return Ok(());
        }
        let section = self.sections.last_mut();
        let says = &mut section.ok_or("it stands before the first [section]")?.says;
        let deeper = self.last.as_ref().filter(|(_, outer)| depth > *outer);
        if let Some((outer, _)) = deeper
            && let Some(above) = says.get_mut(outer)
            && !above.text.is_empty()
        {
            above.text.push('\n');
            above.text.push_str(words);
            return Ok(());
        }
        let (name, text) = words.split_once('=').ok_or("no `name = value`")?;
        let name = name.trim().to_ascii_lowercase();
        if name.is_empty() {
            return Err("no name before the `=`");
        }
        if name.len() > NAME_MAX_BYTES {
            return Err("a name is longer than 128 bytes");
        }
        let text = without_comment(text.trim()).to_owned();
        match deeper {
            Some((outer, _)) => {
                says.insert(format!("{outer}.{name}"), Value { text, line });
            }
            None => {
                says.insert(name.clone(), Value { text, line });
                self.last = Some((name, depth));
            }
        }
        Ok(())
    }
}

/// A section's name; parts of it may be in quotes.
fn plain(name: &str) -> String {
    let name = name.replace(['"', '\''], " ");
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands before a comment. One begins behind a blank: keys have `#` in them sometimes.
fn without_comment(text: &str) -> &str {
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if matches!(c, '#' | ';') && before.is_whitespace() {
            return text[..at].trim_end();
        }
        before = c;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    type Line = (String, String, usize);

    fn read(text: &str) -> Vec<(String, Vec<Line>)> {
        let sections = sections(text).unwrap().into_iter();
        let said = |(name, Value { text, line })| (name, text, line);
        sections
            .map(|it| (it.name, it.says.into_iter().map(said).collect()))
            .collect()
    }

    fn own(name: &str, text: &str, line: usize) -> Line {
        (name.to_owned(), text.to_owned(), line)
    }

    #[test]
    fn sections_have_names_and_values() {
        let text = "\u{feff}# mine\r\n[ default ] ; first\r\nRegion=eu-1 # here\r\n\r\n[profile \"a  b\"]\n\
                    \ttoken = a#b;c\n\ttoken = d\n[x]\n empty =\n";
        let expected = [
            ("default", vec![own("region", "eu-1", 3)]),
            ("profile a b", vec![own("token", "d", 7)]),
            ("x", vec![own("empty", "", 9)]),
        ];
        assert_eq!(
            read(text),
            expected.map(|(name, says)| (name.to_owned(), says))
        );
        assert_eq!(read("[a]\nk = a#b;c ;d")[0].1, [own("k", "a#b;c", 2)]);
    }

    #[test]
    fn what_is_deeper_belongs_to_what_is_before_it() {
        let text = "[services s]\ns3 =\n  endpoint_url = http://a=b\n  other = 1\nlong = one\n  two\nnext = 3\n";
        let expected = [
            own("long", "one\ntwo", 5),
            own("next", "3", 7),
            own("s3", "", 2),
            own("s3.endpoint_url", "http://a=b", 3),
            own("s3.other", "1", 4),
        ];
        assert_eq!(read(text)[0].1, expected);
        // All of it may be indented.
        let all = read("[a]\n  b = 1\n  c = 2\n");
        assert_eq!(all[0].1, [own("b", "1", 2), own("c", "2", 3)]);
    }

    #[test]
    fn a_bad_line_is_told_and_not_shown() {
        for (text, line, why) in [
            ("a = b", 1, "before the first"),
            ("[a]\n\n[b\n", 3, "without its `]`"),
            ("[a] TOPSECRET\n", 1, "behind a section"),
            ("[a]\nTOPSECRET\n", 2, "no `name = value`"),
            ("[a]\n = TOPSECRET\n", 2, "no name"),
            ("[a]\ns3 =\n  TOPSECRET\n", 3, "no `name = value`"),
        ] {
            let wrong = sections(text).unwrap_err();
            assert!(wrong.line == line && wrong.why.contains(why), "{wrong:?}");
            assert!(!wrong.why.contains("TOPSECRET"));
        }
        assert_eq!(sections(""), Ok(Vec::new()));
    }

    #[test]
    fn names_are_bounded() {
        for (bytes, is_read) in [(128, true), (129, false)] {
            let name = "n".repeat(bytes);
            for text in [
                format!("[{name}]\n"),
                format!("[a]\n{name}=b\n"),
                format!("[a]\ns3=\n {name}=b\n"),
            ] {
                assert_eq!(sections(&text).is_ok(), is_read, "{text}");
            }
        }
    }

    #[test]
    fn whatever_is_in_a_file_is_read_or_refused() {
        // All texts of seven of these: each kind of line before and behind each other one.
        let parts = ["[", "]", "a", "=", " ", "\n", "#", "\u{e9}", "\r"];
        let mut count = 0_u32;
        for n in 0..9_usize.pow(6) {
            let digits = (0..6_u32).map(|place| parts[n / 9_usize.pow(place) % 9]);
            let text: String = digits.collect();
            count += u32::from(sections(&format!("[s]\n{text}")).is_ok());
        }
        assert!((1..9_u32.pow(6)).contains(&count), "{count}");
    }
}
