use serde_json::{Value, json};
use tollgate_wire::UnixNanos;

use super::*;
use crate::limiter::Why;
use crate::policy::LimitId;
use crate::time::NANOS_PER_SECOND;

fn policy() -> Policy {
    Policy::from_json(json!({
        "identity": {"default_tier": "free"},
        "tiers": {"free": {"upgrade_hint": "Buy more.", "limits": [
            {"name": "rpm", "meter": "requests", "rate": {"amount": 3, "per": "minute"}},
            {"name": "tpm", "meter": "tokens", "rate": {"amount": 40000, "per": "minute"}},
            {"name": "day", "meter": "cost", "quota": {"amount": 0.25, "per": "day"}},
        ]}},
    }))
    .unwrap()
}

fn now() -> Now {
    Now { mono_ns: 0, wall: UnixNanos(1_795_305_600 * NANOS_PER_SECOND) }
}

fn refusal(limit: u16, wait_ns: Option<u64>) -> Refusal {
    let why = if wait_ns.is_some() { Why::Exhausted } else { Why::TooLarge };
    Refusal {
        account: 0,
        queueable: false,
        limit: LimitId(limit),
        why,
        wait_ns,
        requested: 1,
        most: 3,
        remaining: 0,
        reset_ns: 60 * NANOS_PER_SECOND,
    }
}

const SOON: Option<u64> = Some(3_890_000_000);
const LATE: Option<u64> = Some(3600 * NANOS_PER_SECOND);

fn answer(shape: Shape, rejection: Rejection<'_>) -> (Answer, Value) {
    let request = Attributes { tier: "free", model: "gpt", ..Attributes::default() };
    let asker = Asker { shape, rpc_id: Some("7") };
    let answer = refuse(&policy(), asker, &request, rejection, now(), 0);
    let body = serde_json::from_str(&answer.body).unwrap();
    (answer, body)
}

fn refused(shape: Shape, refusal: Refusal) -> (Answer, Value) {
    answer(shape, Rejection::Limit(&refusal))
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
}

/// The body without its message, and the message.
fn split(shape: Shape, refusal: Refusal) -> (Value, String) {
    let (_, mut body) = refused(shape, refusal);
    let place = match shape {
        Shape::OpenAi | Shape::Anthropic | Shape::Gemini | Shape::JsonRpc => "/error/message",
        Shape::Bedrock | Shape::Cohere | Shape::Mistral => "/message",
        Shape::Ollama | Shape::Tgi => "/error",
        Shape::Problem => "/detail",
    };
    let message = body.pointer_mut(place).unwrap().take().as_str().unwrap().to_owned();
    (body, message)
}

#[test]
fn each_api_gets_its_own_error() {
    let bodies = [
        (
            Shape::OpenAi,
            json!({"error": {"message": null, "type": "requests", "param": null, "code": "rate_limit_exceeded"}}),
        ),
        (Shape::Anthropic, json!({"type": "error", "error": {"type": "rate_limit_error", "message": null}})),
        (
            Shape::Gemini,
            json!({"error": {"code": 429, "message": null, "status": "RESOURCE_EXHAUSTED", "details": [
                {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{
                    "quotaMetric": "tollgate/requests", "quotaId": "rpm",
                    "quotaDimensions": {"model": "gpt"}, "quotaValue": "3",
                }]},
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.890s"},
            ]}}),
        ),
        (Shape::Bedrock, json!({"message": null})),
        (Shape::Cohere, json!({"message": null})),
        (
            Shape::Mistral,
            json!({"object": "error", "message": null, "type": "rate_limited", "param": null, "code": "1300",
                   "raw_status_code": 429}),
        ),
        (Shape::Ollama, json!({"error": null})),
        (Shape::Tgi, json!({"error": null, "error_type": "overloaded"})),
        (
            Shape::JsonRpc,
            json!({"jsonrpc": "2.0", "id": 7, "error": {
                "code": -32000, "message": null, "data": {"status": 429, "limit": "rpm", "retryAfterMs": 3890},
            }}),
        ),
        (
            Shape::Problem,
            json!({"type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
                   "title": "Request cannot be satisfied as assigned quota has been exceeded",
                   "status": 429, "detail": null, "violated-policies": ["rpm"]}),
        ),
    ];
    assert_eq!(bodies.each_ref().map(|(shape, _)| *shape), Shape::ALL);
    for (shape, expected) in bodies {
        let (body, message) = split(shape, refusal(0, SOON));
        assert_eq!(body, expected, "{shape:?}");
        assert_eq!(
            message,
            "Rate limit reached. Limit rpm: 3 of 3 used, 1 requested. Please try again in 3.89s. Buy more.",
            "{shape:?}"
        );
    }
}

#[test]
fn every_rejection_has_its_status_in_every_shape() {
    let (soon, never) = (refusal(0, SOON), refusal(0, None));
    let rejections = [
        (Rejection::Limit(&soon), 429),
        (Rejection::Limit(&never), 429),
        (Rejection::Unidentified, 401),
        (Rejection::Suspended("unpaid bill"), 403),
        (Rejection::NotEntitled { what: "model", name: "gpt" }, 403),
        (Rejection::UnknownModel("gpt"), 400),
        (Rejection::BodyTooLarge(1_048_576), 413),
        (Rejection::Shed(NANOS_PER_SECOND), 503),
        (Rejection::Undecided, 503),
    ];
    for shape in Shape::ALL {
        for (rejection, status) in rejections {
            let (answer, body) = answer(shape, rejection);
            let own = if shape == Shape::Anthropic && status == 503 { 529 } else { status };
            assert_eq!(answer.status, own, "{shape:?} {rejection:?}");
            assert!(body.is_object(), "{shape:?} {rejection:?}");
            let problem = shape == Shape::Problem;
            let content_type = if problem { "application/problem+json" } else { "application/json" };
            assert_eq!(header(&answer, "content-type"), Some(content_type));
            let told = answer.body.contains("unpaid bill");
            assert_eq!(told, matches!(rejection, Rejection::Suspended(_)), "{}", answer.body);
            let waits = matches!(rejection, Rejection::Shed(_) | Rejection::Undecided) || status == 429;
            let waits = waits && rejection != Rejection::Limit(&never);
            assert_eq!(header(&answer, "retry-after-ms").is_some(), waits, "{shape:?} {rejection:?}");
            let should_retry = if waits { "true" } else { "false" };
            assert_eq!(header(&answer, "x-should-retry"), Some(should_retry));
        }
    }
}

#[test]
fn a_short_wait_is_told_in_every_unit_and_never_as_zero() {
    let (short, _) = refused(Shape::OpenAi, refusal(0, SOON));
    assert_eq!((header(&short, "retry-after"), header(&short, "retry-after-ms")), (Some("4"), Some("3890")));
    let (least, _) = refused(Shape::OpenAi, refusal(0, Some(1)));
    assert_eq!((header(&least, "retry-after"), header(&least, "retry-after-ms")), (Some("1"), Some("1")));
    let (aws, _) = refused(Shape::Bedrock, refusal(0, SOON));
    assert_eq!(header(&aws, "x-amz-retry-after"), Some("3890"));
    assert_eq!(header(&aws, "x-amzn-errortype"), Some("ThrottlingException"));
}

#[test]
fn a_wait_that_is_not_worth_it_is_not_encouraged() {
    for shape in Shape::ALL {
        let (long, body) = refused(shape, refusal(2, LATE));
        assert_eq!(header(&long, "x-should-retry"), Some("false"), "{shape:?}");
        assert_eq!(header(&long, "retry-after-ms"), None, "{shape:?}");
        assert_eq!(header(&long, "x-amz-retry-after"), None, "{shape:?}");
        // These clients would sleep through it.
        let sleeps = matches!(shape, Shape::Cohere | Shape::Mistral | Shape::Bedrock);
        assert_eq!(header(&long, "retry-after"), (!sleeps).then_some("3600"), "{shape:?}");
        assert!(!body.to_string().contains("retry"), "{shape:?}: {body}");
        let (never, _) = refused(shape, refusal(2, None));
        assert_eq!(header(&never, "x-should-retry"), Some("false"), "{shape:?}");
        assert_eq!(header(&never, "retry-after"), None, "{shape:?}");
    }
    let (_, spent) = refused(Shape::OpenAi, refusal(2, LATE));
    assert_eq!(
        (&spent["error"]["type"], &spent["error"]["code"]),
        (&json!("insufficient_quota"), &json!("insufficient_quota"))
    );
    // What is larger than the limit is no matter of the budget.
    let (_, larger) = refused(Shape::OpenAi, refusal(1, None));
    assert_eq!(
        (&larger["error"]["type"], &larger["error"]["code"]),
        (&json!("tokens"), &json!("rate_limit_exceeded"))
    );
    let (aws, _) = refused(Shape::Bedrock, refusal(2, LATE));
    assert_eq!(header(&aws, "x-amzn-errortype"), Some("ServiceQuotaExceededException"));
    // A wait beyond what clients can turn into milliseconds is not told at all.
    let (far, _) = refused(Shape::OpenAi, refusal(2, Some(2_147_483 * NANOS_PER_SECOND)));
    assert_eq!(header(&far, "retry-after"), None);
}

#[test]
fn an_rpc_error_answers_the_request_it_is_about() {
    for (id, expected) in
        [(Some("7"), json!(7)), (Some("\"a\""), json!("a")), (Some("{"), json!(null)), (None, json!(null))]
    {
        let asker = Asker { shape: Shape::JsonRpc, rpc_id: id };
        let answer = refuse(&policy(), asker, &Attributes::default(), Rejection::Undecided, now(), 0);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["id"], expected);
    }
}

#[test]
fn the_words_are_the_configured_ones() {
    let mut raw = json!({
        "messages": {
            "quota_exceeded": "Q.", "approaching": "A.", "rate_limited": "R.", "busy": "B.", "too_large": "L.",
            "unidentified": "U.", "suspended": "S.", "not_entitled": "N.", "unknown_model": "M.",
            "body_too_large": "P.", "overloaded": "O.", "undecided": "D.",
        },
    });
    raw["limits"] = json!([
        {"name": "rate", "meter": "requests", "rate": {"amount": 3, "per": "minute"}},
        {"name": "day", "meter": "requests", "quota": {"amount": 3, "per": "day"}},
        {"name": "few", "concurrency": 3},
    ]);
    let policy = Policy::from_json(raw).unwrap();
    let (rate, day, large) = (refusal(0, SOON), refusal(1, LATE), refusal(0, None));
    let busy = Refusal { why: Why::Busy, ..refusal(2, SOON) };
    for (rejection, start) in [
        (Rejection::Limit(&rate), "R. Limit rate: 3 of 3 used, 1 requested. Please"),
        (Rejection::Limit(&day), "Q. Limit day: 3 of 3 used, 1 requested. Please"),
        (Rejection::Limit(&large), "L. Limit rate"),
        (Rejection::Limit(&busy), "B. Limit few"),
        (Rejection::Unidentified, "U."),
        (Rejection::Suspended(""), "S."),
        (Rejection::Suspended("why"), "S. Reason: why"),
        (Rejection::NotEntitled { what: "tool", name: "rm" }, "N. The tool is `rm`."),
        (Rejection::UnknownModel("m"), "M. The model is `m`."),
        (Rejection::BodyTooLarge(10), "P. The most is 10 bytes."),
        (Rejection::Shed(1), "O."),
        (Rejection::Undecided, "D."),
    ] {
        let asker = Asker { shape: Shape::Cohere, rpc_id: None };
        let answer = refuse(&policy, asker, &Attributes::default(), rejection, now(), 0);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert!(body["message"].as_str().unwrap().starts_with(start), "{rejection:?}: {body}");
    }
}
