//! Kafka's own Java classes read what we write, and write the same bytes again.
//!
//! The helper is `tests/peers/java/oracle/MessageOracle.java`; its jars are what `cargo xtask peers`
//! installs, and the environment says where: `FRESHET_PEERS`. By hand:
//!
//! ```text
//! cargo xtask peers java
//! FRESHET_PEERS=~/.cache/freshet/peers cargo test -p freshet-wire --test java_oracle -- --ignored
//! ```

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use freshet_codec::{Message, Sample, Sampler, Writer};
use freshet_wire::{ApiKey, Request, RequestHeader, ResponseHeader};

const MESSAGES_PER_VERSION: u64 = 40;

/// What is sent, and what must come back.
struct Question {
    line: String,
    answer: String,
    about: String,
}

#[test]
#[ignore = "needs Java and its jars: cargo xtask test runs it"]
fn kafkas_java_classes_write_the_same_bytes() {
    let mut questions = Vec::new();
    macro_rules! each {
        ($($module:ident $request:ident $response:ident,)*) => {
            $(ask::<freshet_wire::$request>(&mut questions);)*
        };
    }
    freshet_wire::for_each_api!(each);

    let answers = answers(&questions);
    assert_eq!(
        answers.len(),
        questions.len(),
        "the helper has stopped early"
    );
    let mut absent = BTreeSet::new();
    for (question, answer) in questions.iter().zip(&answers) {
        if answer == "absent" {
            absent.insert(question.about.as_str());
        } else {
            let asked = &question.line;
            assert_eq!(answer, &question.answer, "{}: {asked:.300}", question.about);
        }
    }
    // The oracle is Kafka 4.3; these are new in 4.4, and held by `golden.rs`.
    let newer = [
        "ApiVersionsRequest v5",
        "ApiVersionsResponse v5",
        "DeleteGroupsRequest v3",
        "DeleteGroupsResponse v3",
        "UnregisterControllerRequest v0",
        "UnregisterControllerResponse v0",
    ];
    assert!(
        absent.iter().eq(&newer),
        "unknown to the oracle: {absent:?}"
    );
}

/// Adds questions about all versions of an API.
fn ask<R: Request + Sample>(questions: &mut Vec<Question>)
where
    R::Response: Sample,
{
    for version in R::VERSIONS {
        for seed in 0..MESSAGES_PER_VERSION {
            let header = RequestHeader::version(R::FLEXIBLE, version);
            questions.push(question::<R>("request", R::KEY, version, seed, header));
            let header = ResponseHeader::version(R::KEY, R::FLEXIBLE, version);
            questions.push(question::<R::Response>(
                "response",
                R::KEY,
                version,
                seed,
                header,
            ));
        }
    }
}

fn question<M: Message + Sample>(
    side: &str,
    key: ApiKey,
    version: i16,
    seed: u64,
    header: i16,
) -> Question {
    let message = M::sample(&mut Sampler::new(seed), M::shape(version));
    let mut writer = Writer::new();
    message.encode(&mut writer, version).unwrap();
    let mut hex = String::new();
    for byte in writer.finish().into_bytes() {
        write!(hex, "{byte:02x}").unwrap();
    }
    Question {
        line: format!("{side} {} {version} {hex}", key.code()),
        answer: format!("{header} {hex}"),
        about: format!("{} v{version}", M::NAME),
    }
}

fn answers(questions: &[Question]) -> Vec<String> {
    let mut helper = helper();
    let mut input = helper.stdin.take().unwrap();
    let output = BufReader::new(helper.stdout.take().unwrap());
    // Both directions at once, or full pipes would block both sides.
    let answers = std::thread::scope(|scope| {
        scope.spawn(move || {
            for question in questions {
                if writeln!(input, "{}", question.line).is_err() {
                    return;
                }
            }
        });
        output.lines().map(|line| line.unwrap()).collect()
    });
    assert!(helper.wait().unwrap().success());
    answers
}

fn helper() -> Child {
    let peers = std::env::var("FRESHET_PEERS").expect("FRESHET_PEERS: run `cargo xtask test`");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/peers/java/oracle/MessageOracle.java");
    Command::new("java")
        .args(["-Xmx256m", "-cp", &format!("{peers}/java/*")])
        .arg(source)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("java starts")
}
