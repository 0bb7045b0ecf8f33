//! What clients read when they are warned or refused: the sentences, in your own words or language.

use serde::Deserialize;

config! {
    /// What clients read. The names and numbers that belong to a sentence follow it.
    #[serde(default)]
    pub struct Messages {
        /// A quota is used up.
        pub quota_exceeded: String,
        /// A warning threshold was passed.
        pub approaching: String,
        /// A rate is used up.
        pub rate_limited: String,
        /// Too many requests are in flight.
        pub busy: String,
        /// The request is larger than its limit.
        pub too_large: String,
        /// Nobody could be identified.
        pub unidentified: String,
        /// The consumer is suspended.
        pub suspended: String,
        /// The tier does not list the model or tool.
        pub not_entitled: String,
        /// The model has no price, and such models are refused.
        pub unknown_model: String,
        /// The body is larger than what is read.
        pub body_too_large: String,
        /// There is too much load for this request.
        pub overloaded: String,
        /// No decision was reached.
        pub undecided: String,
        /// An answer was ended in mid-stream; why follows.
        pub ended: String,
    }
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            quota_exceeded: "Quota exceeded. Upgrade your plan or wait for the reset.".into(),
            approaching: "Approaching the limit.".into(),
            rate_limited: "Rate limit reached.".into(),
            busy: "Too many requests in flight.".into(),
            too_large: "The request is larger than its limit. Waiting will not help.".into(),
            unidentified: "No consumer could be identified from this request.".into(),
            suspended: "This consumer is suspended.".into(),
            not_entitled: "Your plan does not include this.".into(),
            unknown_model: "This model has no price and is not allowed.".into(),
            body_too_large: "The request body is too large.".into(),
            overloaded: "There is too much load at the moment. Try again.".into(),
            undecided: "The limits could not be checked. Try again.".into(),
            ended: "The answer was ended before it was complete.".into(),
        }
    }
}

impl Messages {
    /// Every sentence with the name of its field.
    pub fn all(&self) -> [(&'static str, &str); 13] {
        [
            ("quota_exceeded", &self.quota_exceeded),
            ("approaching", &self.approaching),
            ("rate_limited", &self.rate_limited),
            ("busy", &self.busy),
            ("too_large", &self.too_large),
            ("unidentified", &self.unidentified),
            ("suspended", &self.suspended),
            ("not_entitled", &self.not_entitled),
            ("unknown_model", &self.unknown_model),
            ("body_too_large", &self.body_too_large),
            ("overloaded", &self.overloaded),
            ("undecided", &self.undecided),
            ("ended", &self.ended),
        ]
    }
}
