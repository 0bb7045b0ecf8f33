//! What models are called besides the names they are listed under.

/// Where Bedrock's inference profiles route to, in front of the model's id.
const REGIONS: [&str; 7] = ["us.", "eu.", "apac.", "global.", "us-gov.", "jp.", "au."];

/// The names that are left of a model's when ever more is taken away: the provider, the region, the revision, the
/// version, the vendor. Some may be the same.
pub(super) fn shortened(model: &str) -> [&str; 6] {
    let name = without_region(model.rsplit_once('/').map_or(model, |(_, name)| name));
    let unrevised = without_revision(name);
    let unversioned = without_version(unrevised);
    [
        name,
        without_version(model),
        unrevised,
        unversioned,
        without_vendor(unversioned),
        without_vendor(unrevised),
    ]
}

fn without_region(model: &str) -> &str {
    REGIONS.iter().find_map(|region| model.strip_prefix(region)).unwrap_or(model)
}

/// `-v1:0` of Bedrock's ids, and any other tag behind a colon.
fn without_revision(model: &str) -> &str {
    let Some((name, _)) = model.rsplit_once(':') else { return model };
    match name.rsplit_once("-v") {
        Some((name, digits)) if is_number(digits) => name,
        _ => name,
    }
}

/// `anthropic.` of Bedrock's ids: letters only, so that the dot of a version is none.
fn without_vendor(model: &str) -> &str {
    match model.split_once('.') {
        Some((vendor, name)) if vendor.bytes().all(|byte| byte.is_ascii_lowercase()) => name,
        _ => model,
    }
}

fn without_version(model: &str) -> &str {
    if let Some(name) = model.strip_suffix("-latest") {
        return name;
    }
    let is_version = |version: &str| match version.len() {
        3 | 8 => is_number(version),
        4 => is_year_and_month(version) || is_month_and_day(version),
        _ => false,
    };
    let cut = model.rsplit_once(['-', '@']).filter(|(_, version)| is_version(version));
    if let Some((name, _)) = cut {
        return name;
    }
    let mut parts = model.rsplitn(4, '-');
    let of = |part: &str, length: usize| part.len() == length && is_number(part);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(day), Some(month), Some(year), Some(name)) if of(day, 2) && of(month, 2) && of(year, 4) => name,
        _ => model,
    }
}

/// `2506`, as Mistral dates its models; nobody had models to sell before 2020.
fn is_year_and_month(text: &str) -> bool {
    number_pair(text).is_some_and(|(year, month)| (20..=49).contains(&year) && (1..=12).contains(&month))
}

/// `0613`, as OpenAI dated its first ones.
fn is_month_and_day(text: &str) -> bool {
    number_pair(text).is_some_and(|(month, day)| (1..=12).contains(&month) && (1..=31).contains(&day))
}

fn number_pair(text: &str) -> Option<(u8, u8)> {
    let (first, second) = text.split_at_checked(2)?;
    (is_number(text)).then_some((first.parse().ok()?, second.parse().ok()?))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_dates_and_counters() {
        for (model, name) in [
            ("gpt-5-2026-03-17", "gpt-5"),
            ("claude-20251001", "claude"),
            ("claude@20251001", "claude"),
            ("gemini-001", "gemini"),
            ("mistral-latest", "mistral"),
            ("mistral-small-2506", "mistral-small"),
            ("gpt-4-0613", "gpt-4"),
            ("model-2513", "model-2513"),
            ("model-1999", "model-1999"),
            ("model-8192", "model-8192"),
            ("gpt-5", "gpt-5"),
            ("gpt-5-1", "gpt-5-1"),
            ("llama-70b", "llama-70b"),
            ("-latest", ""),
            ("", ""),
        ] {
            assert_eq!(without_version(model), name, "{model}");
        }
    }

    #[test]
    fn revisions_and_vendors_are_those_of_bedrock() {
        assert_eq!(without_revision("amazon.nova-pro-v1:0"), "amazon.nova-pro");
        assert_eq!(without_revision("openai.gpt-oss-20b-1:0"), "openai.gpt-oss-20b-1");
        assert_eq!(without_revision("llama3.1:8b"), "llama3.1");
        assert_eq!(without_vendor("anthropic.claude"), "claude");
        assert_eq!(without_vendor("gpt-5.4"), "gpt-5.4");
        assert_eq!(without_region("us.anthropic.claude"), "anthropic.claude");
    }
}
