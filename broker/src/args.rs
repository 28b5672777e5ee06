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
    /// Settings, one NAME=VALUE a line, as in Kafka's server.properties
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
            builder = builder.file(&place, &text)?;
        }
        for argument in &self.set {
            builder = builder.set(argument)?;
        }
        Ok(builder.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
