//! Whose usage or entries a command is about: the filters that both have.

use clap::Args;

/// Each keeps only what has exactly this value.
#[derive(Debug, Args)]
pub(super) struct NamesArgs {
    /// Only this consumer
    #[arg(long)]
    consumer: Option<String>,
    /// Only this team
    #[arg(long)]
    team: Option<String>,
    /// Only this project
    #[arg(long)]
    project: Option<String>,
    /// Only this tier
    #[arg(long)]
    tier: Option<String>,
    /// Only this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only this model
    #[arg(long)]
    model: Option<String>,
    /// Only this action
    #[arg(long)]
    action: Option<String>,
    /// Only this workflow
    #[arg(long)]
    workflow: Option<String>,
    /// Only this tool
    #[arg(long)]
    tool: Option<String>,
    /// Only this interface
    #[arg(long)]
    interface: Option<String>,
}

impl NamesArgs {
    /// As the ledger's API takes them.
    pub(super) fn query(&self) -> [(&'static str, Option<&str>); 10] {
        [
            ("consumer", self.consumer.as_deref()),
            ("team", self.team.as_deref()),
            ("project", self.project.as_deref()),
            ("tier", self.tier.as_deref()),
            ("provider", self.provider.as_deref()),
            ("model", self.model.as_deref()),
            ("action", self.action.as_deref()),
            ("workflow", self.workflow.as_deref()),
            ("tool", self.tool.as_deref()),
            ("interface", self.interface.as_deref()),
        ]
    }
}
