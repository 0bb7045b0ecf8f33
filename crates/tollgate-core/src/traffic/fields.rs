//! What can be wanted of a request or a response, whatever its dialect calls it.

/// Names that a dialect may have for the output cap.
pub const CAP_NAMES_MAX: usize = 8;

/// Names that a dialect may have for the number of answers.
pub const CHOICES_NAMES_MAX: usize = 2;

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestField {
    /// The model's name.
    Model,
    /// The most tokens that each choice may have, by one of the names it goes under: a number below
    /// [`CAP_NAMES_MAX`]. Servers differ in which of them they obey.
    OutputCap(usize),
    /// How many answers are asked for, by one of the names it goes under: a number below [`CHOICES_NAMES_MAX`].
    Choices(usize),
    /// Text for the model that gets answers of its own: a list of such multiplies them.
    Prompt,
    /// Whether the answer shall come as a stream.
    Stream,
    /// The object that holds [`RequestField::IncludeUsage`]: when it is repeated, what the first one said is gone.
    StreamOptions,
    /// Whether the stream shall end with the usage.
    IncludeUsage,
    /// The model's name in each of several requests.
    ModelOfMany,
    /// The most tokens that an answer to one of several requests may have: the largest counts.
    CapOfMany,
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
    /// A JSON-RPC call, or one of a batch.
    Call,
    /// The id of a JSON-RPC call.
    CallId,
    /// The method of a JSON-RPC call.
    Method,
    /// What is called when the method is that of tools, and the object that holds it: when that is repeated, what the
    /// first one said is gone.
    Tool,
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
    /// How far the answer is: `queued` and `in_progress` mean that there is none yet.
    Status,
    /// What says that the answer is complete, unless it is `false` or `null`.
    End,
    /// Vectors in place of text: there is no output to be counted.
    Vectors,
    /// Text from the model.
    Text,
    /// The whole text of a stream that has told it in parts before, or of an answer that has not.
    WholeText,
    /// Text from the model in which keys count as well.
    Structure,
    /// Part of the form, not of the text.
    Form,
    /// A counter of the usage.
    Count(Counter),
    /// A part of a counter, of which there are several.
    Add(Counter),
    /// A counter that holds where no [`ResponseField::Count`] is told.
    CountElse(Counter),
    /// The same, told before the answer: it holds until [`ResponseField::Count`] says otherwise.
    CountAtStart(Counter),
}

/// A counter of the usage, by what it includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Input; with or without what caches served, which the names of the others tell.
    Input,
    /// Input beside [`Counter::Input`]: what the server's own tools put into the prompt.
    InputOfTools,
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
    /// Output, with reasoning unless that is beside it.
    Output,
    /// The part of [`Counter::Output`] that was reasoning.
    Reasoning,
    /// Reasoning beside [`Counter::Output`].
    ReasoningBeside,
    /// Input and output together, which tells the output where it is not listed.
    Total,
}
