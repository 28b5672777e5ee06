//! The command line.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use freshet_settings::{StaticSettings, StaticSettingsBuilder, Warning};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

const EXAMPLES: &str = "\
Examples:
  freshet-broker
      Kafka on 127.0.0.1:9092, health and metrics on 127.0.0.1:9644, data in ./freshet-data
  freshet-broker --set log.dirs=/var/lib/freshet --set num.partitions=6
  freshet-broker --config server.properties
  freshet-broker --set listeners=PLAINTEXT://127.0.0.1:0 --ready-file ready.json
      any free port; ready.json tells which, once requests are served

All settings: docs/settings.md. Logging: FRESHET_LOG=debug, or FRESHET_LOG=freshet_log=trace";

/// Event streaming that speaks Kafka's protocol.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Settings, one NAME=VALUE a line, as in Kafka's server.properties; ${env:NAME} is a variable of the environment
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// One setting, by Kafka's name; wins over the file; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,

    /// There while requests are served: {"kafka": "host:port", "http": "host:port", "listeners": {..}}
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,

    /// Stop when the process that started this one ends; PID is its number
    #[arg(long, value_name = "PID")]
    pub(crate) with_parent: Option<u32>,

    /// How log lines look
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// The environment variable that says what is logged.
const FILTER: &str = "FRESHET_LOG";

/// The quorum's engine tells each of its steps; what matters of them is said by the quorum itself.
const ENGINE: &str = "openraft";

/// Reads a filter. A single word that is neither a level nor a crate would be taken for a target,
/// and silence everything.
fn filter(asked: &str) -> Result<EnvFilter, String> {
    let is_word = !asked.contains(['=', ',', '[', ':']);
    if is_word && !asked.starts_with("freshet") && asked.parse::<LevelFilter>().is_err() {
        return Err(
            "expected a level (off, error, warn, info, debug, trace) or TARGET=LEVEL".into(),
        );
    }
    let quiet = format!("{asked},{ENGINE}=off");
    let asked = if asked.contains(ENGINE) {
        asked
    } else {
        &quiet
    };
    EnvFilter::try_new(asked).map_err(|error| error.to_string())
}

impl Args {
    /// Log lines go to stderr; stdout is for what was asked for.
    pub(crate) fn start_logging(&self) {
        let asked = std::env::var_os(FILTER).filter(|asked| !asked.is_empty());
        let asked = asked.map(|asked| asked.to_string_lossy().into_owned());
        let filter = filter(asked.as_deref().unwrap_or("info"));
        let (filter, bad) = match filter {
            Ok(filter) => (filter, None),
            Err(why) => (EnvFilter::from("info"), Some(why)),
        };
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Text => {
                let colours = std::io::stderr().is_terminal();
                lines.with_target(false).with_ansi(colours).init();
            }
            LogFormat::Json => lines.json().init(),
        }
        if let Some(why) = bad {
            tracing::warn!(value = asked, %why, "{FILTER} is not understood: logging at info");
        }
    }

    /// Reads file and command line.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one file named on the command line"
    )]
    pub(crate) fn settings(&self) -> Result<(StaticSettings, Vec<Warning>)> {
        let mut builder = StaticSettingsBuilder::default();
        if let Some(path) = &self.config {
            let place = path.display().to_string();
            let text = std::fs::read(path).with_context(|| format!("cannot read {place}"))?;
            let text = String::from_utf8(text).with_context(|| format!("{place} is not UTF-8"))?;
            let text = filled_in(&text, |name| std::env::var(name).ok())
                .map_err(|why| anyhow::anyhow!("{place}: {why}"))?;
            builder = builder.file(&place, &text)?;
        }
        for argument in &self.set {
            builder = builder.set(argument)?;
        }
        Ok(builder.finish()?)
    }
}

/// Puts variables of the environment in where a file says `${env:NAME}`, as Kafka's
/// `EnvVarConfigProvider` does (KIP-887): an address or a zone that only the machine knows.
fn filled_in(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    const BEGIN: &str = "${env:";
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let end = after
            .find(['}', '\n'])
            .filter(|end| after[*end..].starts_with('}'));
        let end = end.ok_or_else(|| format!("{BEGIN} without a closing bracket"))?;
        let name = &after[..end];
        let value = variable(name).ok_or_else(|| {
            format!("${{env:{name}}}: there is no such variable in the environment")
        })?;
        // What a variable holds is a value, never a line or an escape of its own.
        if value.contains(['\n', '\r', '\\']) {
            return Err(format!("${{env:{name}}} holds a line break or a backslash"));
        }
        filled.push_str(before);
        filled.push_str(&value);
        rest = &after[end + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_ask_the_environment() {
        let variable = |name: &str| match name {
            "HOST" => Some("10.0.0.1".to_owned()),
            "EMPTY" => Some(String::new()),
            "TWO" => Some("a\nnode.id=7".to_owned()),
            _ => None,
        };
        let filled = |text| filled_in(text, variable);
        assert_eq!(
            filled("a=${env:HOST}:1,${env:HOST}:2\nb=${env:EMPTY}\n").unwrap(),
            "a=10.0.0.1:1,10.0.0.1:2\nb=\n"
        );
        assert_eq!(filled("a=$HOME ${x}").unwrap(), "a=$HOME ${x}");
        for wrong in [
            "a=${env:NONE}",
            "a=${env:HOST\nb=}",
            "a=${env:TWO}",
            "${env:",
        ] {
            assert!(filled(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_filter_that_means_nothing_is_told() {
        for good in [
            "debug",
            "WARN",
            "off",
            "info,freshet_log=trace",
            "freshet_log",
        ] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["debgu", "freshet_log=loud", "a=b=c"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
