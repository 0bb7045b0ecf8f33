//! `GET /v1/usage`: what was used, by whatever the roll-up knows.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use super::{AppState, cursor, problem::Problem, range};
use crate::calendar::{self, WindowKind};
use crate::store::{Dimension, KeyPart, Sums, UsageFilter, UsageQuery, UsageRow};

/// Rows in a page unless asked for otherwise, and the most that can be asked for.
const PAGE: usize = 1000;
const PAGE_MAX: usize = 10_000;

/// What may be asked.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UsageParams {
    /// Only this consumer.
    consumer: Option<String>,
    /// Only this team.
    team: Option<String>,
    /// Only this project.
    project: Option<String>,
    /// Only this tier.
    tier: Option<String>,
    /// Only this provider.
    provider: Option<String>,
    /// Only this model.
    model: Option<String>,
    /// Only this action.
    action: Option<String>,
    /// Only this workflow.
    workflow: Option<String>,
    /// Only this tool.
    tool: Option<String>,
    /// Only this interface.
    interface: Option<String>,
    /// `day` or `month` (default): the windows to add up, in UTC.
    #[param(value_type = Option<WindowKind>)]
    window: Option<String>,
    /// First day, as 2026-11-01 in UTC. A month counts when its first day does.
    from: Option<String>,
    /// Last day, included.
    to: Option<String>,
    /// Comma-separated: window, consumer, team, project, tier, provider, model, action, workflow, tool,
    /// interface. Default: consumer,model.
    group_by: Option<String>,
    /// Rows in the page, 1 to 10000. Default: 1000.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// One page of usage.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsagePage {
    /// The windows added up.
    pub window: WindowKind,
    /// What the rows are grouped by.
    pub group_by: Vec<Dimension>,
    /// The groups, ordered by what they are grouped by.
    pub rows: Vec<UsageGroup>,
    /// Sums over everything that matches, not only this page.
    pub totals: Sums,
    /// Cursor of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Usage of one group. Only what was grouped by is there.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsageGroup {
    /// First day of the window, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Who pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// What the group used.
    #[serde(flatten)]
    pub sums: Sums,
}

/// Usage by consumer, model, team, window and so on, from the roll-up by day or month.
#[utoipa::path(
    get, path = "/v1/usage", tag = "reports", params(UsageParams), security(("bearer" = [])),
    responses(
        (status = 200, description = "A page of usage", body = UsagePage),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "No or another token", body = Problem),
        (status = 403, description = "No token is configured", body = Problem),
        (status = 503, description = "Try again", body = Problem),
    )
)]
pub(super) async fn usage(
    State(app): State<AppState>,
    params: Result<Query<UsageParams>, QueryRejection>,
) -> Result<Json<UsagePage>, Problem> {
    let Query(params) = params.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let query = query(params)?;
    let (kind, limit, group_by) = (query.kind, query.limit - 1, query.group_by.clone());
    let mut report = app.store.usage(query).await?;
    let more = report.rows.len() > limit;
    report.rows.truncate(limit);
    let next = report.rows.last().filter(|_| more).and_then(|row| cursor::encode(&row.key));
    let rows = report.rows.into_iter().map(|row| group(&group_by, row)).collect();
    Ok(Json(UsagePage { window: kind, group_by, rows, totals: report.totals, next }))
}

fn query(params: UsageParams) -> Result<UsageQuery, Problem> {
    let kind = match params.window.as_deref() {
        None | Some("month") => WindowKind::Month,
        Some("day") => WindowKind::Day,
        Some(_) => return Err(Problem::bad_request("window is day or month")),
    };
    let group_by = dimensions(params.group_by.as_deref().unwrap_or("consumer,model"))?;
    let after: Option<Vec<KeyPart>> = params.cursor.as_deref().map(cursor::decode).transpose()?;
    if after.as_ref().is_some_and(|key| !fits(key, &group_by)) {
        return Err(Problem::bad_request("the cursor belongs to a question that was grouped otherwise"));
    }
    let equals = [
        (Dimension::Consumer, params.consumer),
        (Dimension::Team, params.team),
        (Dimension::Project, params.project),
        (Dimension::Tier, params.tier),
        (Dimension::Provider, params.provider),
        (Dimension::Model, params.model),
        (Dimension::Action, params.action),
        (Dimension::Workflow, params.workflow),
        (Dimension::Tool, params.tool),
        (Dimension::Interface, params.interface),
    ];
    let filter = UsageFilter {
        from_ms: range::from_ms(params.from.as_deref())?.map(|ms| kind.start_ms(ms)),
        before_ms: range::before_ms(params.to.as_deref())?,
        equals: equals.into_iter().filter_map(|(dimension, value)| Some((dimension, value?))).collect(),
    };
    Ok(UsageQuery { kind, filter, group_by, after, limit: page_size(params.limit, PAGE, PAGE_MAX)? + 1 })
}

/// How many rows a page has.
pub(super) fn page_size(asked: Option<usize>, usual: usize, most: usize) -> Result<usize, Problem> {
    match asked {
        None => Ok(usual),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::bad_request(format!("limit is 1 to {most}"))),
    }
}

fn dimensions(names: &str) -> Result<Vec<Dimension>, Problem> {
    let mut group_by = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let dimension = Dimension::from_name(name).ok_or_else(|| {
            let known = Dimension::ALL.map(Dimension::as_str).join(", ");
            Problem::bad_request(format!("group_by has {name}, which is none of {known}"))
        })?;
        if !group_by.contains(&dimension) {
            group_by.push(dimension);
        }
    }
    Ok(group_by)
}

fn fits(key: &[KeyPart], group_by: &[Dimension]) -> bool {
    key.len() == group_by.len()
        && key
            .iter()
            .zip(group_by)
            .all(|(part, dimension)| matches!(part, KeyPart::Window(_)) == (*dimension == Dimension::Window))
}

fn group(group_by: &[Dimension], row: UsageRow) -> UsageGroup {
    let mut group = UsageGroup { sums: row.sums, ..UsageGroup::default() };
    for (dimension, part) in group_by.iter().zip(row.key) {
        let value = match part {
            KeyPart::Window(start_ms) => calendar::date_of(start_ms).to_string(),
            KeyPart::Text(text) => text,
        };
        *group.place(*dimension) = Some(value);
    }
    group
}

impl UsageGroup {
    fn place(&mut self, dimension: Dimension) -> &mut Option<String> {
        match dimension {
            Dimension::Window => &mut self.window,
            Dimension::Consumer => &mut self.consumer,
            Dimension::Team => &mut self.team,
            Dimension::Project => &mut self.project,
            Dimension::Tier => &mut self.tier,
            Dimension::Provider => &mut self.provider,
            Dimension::Model => &mut self.model,
            Dimension::Action => &mut self.action,
            Dimension::Workflow => &mut self.workflow,
            Dimension::Tool => &mut self.tool,
            Dimension::Interface => &mut self.interface,
        }
    }

    /// The group's value of a dimension; empty when it was not grouped by.
    pub fn value(&self, dimension: Dimension) -> &str {
        let value = match dimension {
            Dimension::Window => &self.window,
            Dimension::Consumer => &self.consumer,
            Dimension::Team => &self.team,
            Dimension::Project => &self.project,
            Dimension::Tier => &self.tier,
            Dimension::Provider => &self.provider,
            Dimension::Model => &self.model,
            Dimension::Action => &self.action,
            Dimension::Workflow => &self.workflow,
            Dimension::Tool => &self.tool,
            Dimension::Interface => &self.interface,
        };
        value.as_deref().unwrap_or_default()
    }
}
