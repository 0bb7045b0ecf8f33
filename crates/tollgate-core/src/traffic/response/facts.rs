//! What the documents of an answer told.

use super::super::fields::ResponseField as Field;
use super::super::json::{Event, Visitor};
use super::super::meter::Meter;
use super::super::request::MODEL_BYTES_MAX;
use super::super::short::Short;
use super::super::sse::EVENT_BYTES_MAX;
use super::super::usage::{Counters, Usage};

#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Told before the answer.
    start: Counters,
    /// Told last.
    pub last: Counters,
    /// Told in headers, or where nothing better is.
    pub otherwise: Counters,
    /// The answer is vectors: it has no output.
    vectors: bool,
    pub text: Meter,
    /// The text being read repeats what was told in parts.
    repeats: bool,
    model: Short<MODEL_BYTES_MAX>,
    kind: Short<EVENT_BYTES_MAX>,
    pub error: bool,
    pub deferred: bool,
    pub ended: bool,
    /// What was read said that more will come.
    pub goes_on: bool,
}

impl Facts {
    pub fn new() -> Self {
        Self {
            start: Counters::default(),
            last: Counters::default(),
            otherwise: Counters::default(),
            vectors: false,
            text: Meter::of_answer(),
            repeats: false,
            model: Short::new(),
            kind: Short::new(),
            error: false,
            deferred: false,
            ended: false,
            goes_on: false,
        }
    }

    pub fn model(&self) -> Option<String> {
        let name = self.model.kept();
        (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
    }

    /// The usage, and whether it is a report: at least of the output, and not only the guess it starts with.
    pub fn usage(&self, uses_model: bool) -> (Usage, bool) {
        if !uses_model {
            return (Usage { input: Some(0), output: Some(0), ..Usage::default() }, true);
        }
        let told = self.last.or(self.otherwise).usage();
        let reported = told.output.is_some() || self.vectors && told.total_input().is_some();
        let mut usage = told.or_at_start(self.start.usage());
        if self.vectors {
            usage.output = usage.output.or(Some(0));
        }
        (usage, reported)
    }

    /// An event by its name or its type: servers send either or both.
    pub fn event(&mut self, name: &[u8]) {
        match name {
            // Of Anthropic, of OpenAI, of Bedrock, of Cohere's two versions.
            b"message_stop"
            | b"response.completed"
            | b"response.incomplete"
            | b"metadata"
            | b"message-end"
            | b"stream-end" => self.ended = true,
            b"response.failed" => {
                self.ended = true;
                self.error = true;
            }
            b"error" => self.error = true,
            _ => {}
        }
    }

    fn text(&mut self, event: Event<'_>) {
        match event {
            // Texts follow each other without a cut: a stream breaks words anywhere.
            Event::Text(piece) | Event::Key(piece) => self.text.feed(piece),
            Event::Number(_) | Event::Bool(_) => self.text.add(1),
            _ => {}
        }
    }

    fn end(&mut self, event: Event<'_>) {
        match event {
            Event::TextStart | Event::Object | Event::Bool(true) => self.ended = true,
            Event::Bool(false) | Event::Null => self.goes_on = true,
            _ => {}
        }
    }
}

impl Visitor<Field> for Facts {
    fn visit(&mut self, field: Field, event: Event<'_>) {
        match (field, event) {
            (Field::Text | Field::Structure, event) => self.text(event),
            (Field::WholeText, event) => {
                if matches!(event, Event::TextStart) {
                    self.repeats = self.text.tokens().0 > 0;
                }
                self.end(event);
                if !self.repeats {
                    self.text(event);
                }
            }
            (Field::End, event) => self.end(event),
            (Field::Vectors, Event::Array | Event::Object | Event::TextStart) => self.vectors = true,
            (Field::Model, Event::TextStart) => self.model.clear(),
            (Field::Model, Event::Text(piece)) => self.model.extend(piece),
            (Field::Type, Event::TextStart) => self.kind.clear(),
            (Field::Type, Event::Text(piece)) => self.kind.extend(piece),
            (Field::Type, Event::TextEnd) => {
                let kind = self.kind;
                self.event(kind.whole().unwrap_or_default());
            }
            (Field::Status, Event::TextStart) => self.kind.clear(),
            (Field::Status, Event::Text(piece)) => self.kind.extend(piece),
            (Field::Status, Event::TextEnd) => {
                self.deferred = matches!(self.kind.whole(), Some(b"queued" | b"in_progress"));
            }
            (Field::Error, Event::Object | Event::Text(_)) => self.error = true,
            (
                Field::Count(_) | Field::CountAtStart(_) | Field::CountElse(_) | Field::Add(_),
                Event::Number(number),
            ) => {
                if let Some(amount) = number.amount() {
                    self.count(field, amount);
                }
            }
            _ => {}
        }
    }
}

impl Facts {
    fn count(&mut self, field: Field, amount: u64) {
        match field {
            Field::Count(counter) => self.last.set(counter, amount),
            Field::CountAtStart(counter) => self.start.set(counter, amount),
            Field::CountElse(counter) => self.otherwise.set(counter, amount),
            Field::Add(counter) => self.last.add(counter, amount),
            _ => {}
        }
    }
}
