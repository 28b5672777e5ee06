//! `freshet group list`.

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::Context;
use crate::output::Rows;

#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  freshet group list
  freshet group list --state Stable
  freshet group list --output json")]
pub(crate) struct List {
    /// Only groups in this state, for example Stable or Empty.
    #[arg(long, value_enum, ignore_case = true, hide_possible_values = true)]
    state: Option<State>,
}

/// A group's state, by Kafka's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum State {
    Stable,
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Assigning,
    Reconciling,
    NotReady,
    Dead,
}

impl State {
    fn is_named(self, name: &str) -> bool {
        self.to_possible_value()
            .is_some_and(|value| value.matches(name, true))
    }
}

#[derive(Debug, Serialize)]
struct Listed {
    group: String,
    state: String,
    r#type: String,
    protocol: String,
    coordinator: i32,
}

pub(super) async fn run(context: &Context, args: List) -> anyhow::Result<()> {
    let groups = context
        .patience
        .with("listing groups", context.client.admin().list_groups())
        .await?;
    let wanted = |state: &str| args.state.is_none_or(|wanted| wanted.is_named(state));
    let listed: Vec<_> = groups
        .into_iter()
        .filter(|group| wanted(&group.state))
        .map(|group| Listed {
            group: group.id,
            state: group.state,
            r#type: group.kind,
            protocol: group.protocol_type,
            coordinator: group.coordinator.0,
        })
        .collect();
    context.output.show(&listed, table)
}

fn table(groups: &Vec<Listed>) -> Rows {
    let mut rows = Rows::new(
        &["GROUP", "STATE", "TYPE", "PROTOCOL", ">COORDINATOR"],
        "no groups",
    );
    for group in groups {
        rows.push([
            group.group.clone(),
            group.state.clone(),
            group.r#type.clone(),
            group.protocol.clone(),
            group.coordinator.to_string(),
        ]);
    }
    rows
}
