//! The calls of a JSON-RPC request: one, or a batch of them.

use super::super::fields::RequestField as Field;
use super::super::json::Event;
use super::super::short::Short;
use super::MODEL_BYTES_MAX;

/// The method that calls a tool.
const TOOL_METHOD: &[u8] = b"tools/call";
/// Stands for the tool of a batch that calls several: none of them may hide behind another.
pub const SEVERAL_TOOLS: &str = "several";
/// Longer ids are not repeated; a UUID has 36 bytes.
const ID_BYTES_MAX: usize = 128;

/// What was found.
#[derive(Debug, Default)]
pub struct Called {
    /// Calls of tools.
    pub calls: u64,
    /// The tool called, or [`SEVERAL_TOOLS`].
    pub tool: Option<String>,
    /// The request's id as JSON; a batch has none.
    pub id: Option<String>,
}

/// The calls while they are being read.
#[derive(Debug, Default)]
pub struct Calls {
    method: Short<{ TOOL_METHOD.len() }>,
    name: Short<MODEL_BYTES_MAX>,
    id: Id,
    /// Calls that began.
    begun: u64,
    called: Called,
}

/// The id of the call being read.
#[derive(Debug, Default)]
enum Id {
    #[default]
    Nothing,
    Text(Short<ID_BYTES_MAX>),
    Number(u64),
}

impl Calls {
    /// Takes what stands at a place of a call.
    pub fn visit(&mut self, field: Field, event: Event<'_>) {
        match field {
            Field::Call if matches!(event, Event::Object) => {
                self.end();
                self.begun = self.begun.saturating_add(1);
            }
            Field::CallId => self.id.visit(event),
            Field::Method => keep(&mut self.method, event),
            Field::Tool => keep(&mut self.name, event),
            _ => {}
        }
    }

    /// What was read is all of one call.
    fn end(&mut self) {
        if self.method.whole() == Some(TOOL_METHOD) {
            self.called.calls = self.called.calls.saturating_add(1);
            let name = String::from_utf8_lossy(self.name.kept());
            match &self.called.tool {
                None => self.called.tool = Some(name.into_owned()),
                Some(other) if *other != name => self.called.tool = Some(SEVERAL_TOOLS.to_owned()),
                Some(_) => {}
            }
        }
        self.method.clear();
        self.name.clear();
    }

    /// What was found, after the last byte.
    pub fn ended(mut self) -> Called {
        self.end();
        let id = if self.begun > 1 { None } else { self.id.json() };
        Called { id, ..self.called }
    }
}

impl Id {
    fn visit(&mut self, event: Event<'_>) {
        match (event, &mut *self) {
            (Event::Text(piece), Self::Text(text)) => text.extend(piece),
            (Event::TextEnd, _) => {}
            (Event::TextStart, _) => *self = Self::Text(Short::new()),
            (Event::Number(number), _) => *self = number.amount().map_or(Self::Nothing, Self::Number),
            _ => *self = Self::Nothing,
        }
    }

    fn json(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Number(number) => Some(number.to_string()),
            Self::Text(text) => {
                let text = core::str::from_utf8(text.whole()?).ok()?;
                serde_json::to_string(text).ok()
            }
        }
    }
}

/// Keeps the last string at a place, and nothing when it is no string.
fn keep<const N: usize>(text: &mut Short<N>, event: Event<'_>) {
    match event {
        Event::Text(piece) => text.extend(piece),
        Event::TextEnd => {}
        _ => text.clear(),
    }
}
