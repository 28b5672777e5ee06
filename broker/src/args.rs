//! The command line.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use freshet_settings::{StaticSettings, StaticSettingsBuilder, Warning};
use tracing_subscriber::EnvFilter;

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

    /// Written once requests are served: {"kafka": "host:port", "http": "host:port"}
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,

    /// How log lines look
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl Args {
    /// Log lines go to stderr; stdout is for what was asked for.
    pub(crate) fn start_logging(&self) {
        let filter = EnvFilter::try_from_env("FRESHET_LOG").unwrap_or_else(|_| "info".into());
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
