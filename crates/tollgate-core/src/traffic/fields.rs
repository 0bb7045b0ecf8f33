//! What can be wanted of a request or a response, whatever its dialect calls it.

/// Names that a dialect may have for the output cap.
pub const CAP_NAMES_MAX: usize = 6;

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestField {
    /// The model's name.
    Model,
    /// The most tokens that each choice may have, by one of the names it goes under: a number below
    /// [`CAP_NAMES_MAX`]. Servers differ in which of them they obey.
    OutputCap(usize),
    /// How many answers are asked for.
    Choices,
    /// Whether the answer shall come as a stream.
    Stream,
    /// The object that holds [`RequestField::IncludeUsage`]: when it is repeated, what the first one said is gone.
    StreamOptions,
    /// Whether the stream shall end with the usage.
    IncludeUsage,
    /// One message of the conversation.
    Message,
    /// Text for the model; numbers are tokens already.
    Text,
    /// Text for the model in which keys count as well.
    Structure,
    /// An image, a sound or a document: a link, or the encoded bytes.
    Media,
    /// A string that may be text or encoded media: the dialect does not tell.
    Unknown,
    /// Part of the form, not of the text.
    Form,
}

/// A part of a response, or of one event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseField {
    /// The model that answered.
    Model,
    /// The event's type.
    Type,
    /// What is there when something went wrong.
    Error,
    /// Text from the model.
    Text,
    /// Text from the model in which keys count as well.
    Structure,
    /// Part of the form, not of the text.
    Form,
    /// A counter of the usage.
    Count(Counter),
    /// The same, told before the answer: it holds until [`ResponseField::Count`] says otherwise.
    CountAtStart(Counter),
}

/// A counter of the usage, by what it includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Input; with or without what caches served, which the names of the others tell.
    Input,
    /// Read from a cache, and part of [`Counter::Input`].
    CacheReadWithin,
    /// Written to a cache, and part of [`Counter::Input`].
    CacheWriteWithin,
    /// Read from a cache, beside [`Counter::Input`].
    CacheRead,
    /// Written to a cache, beside [`Counter::Input`].
    CacheWrite,
    /// The part of [`Counter::CacheWrite`] that is kept for five minutes, in case the sum is missing.
    CacheWriteShort,
    /// The part of [`Counter::CacheWrite`] that is kept for an hour.
    CacheWriteLong,
    /// Output, with reasoning.
    Output,
    /// The part of [`Counter::Output`] that was reasoning.
    Reasoning,
    /// Input and output together, which tells the output where it is not listed.
    Total,
}
