//! A JSON value that is read into a type, and says where it was when that failed.
//!
//! Only errors carry a path, put together on their way up: nothing is kept on the way down. That is all that a general
//! library does for twice the code of every type, which was a sixth of the filter's module.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde_json::Value;

/// A value to be read.
pub(crate) struct Tree(pub Value);

/// What is wrong, and where. In a box: it is carried through everything that is read, and hardly ever there.
#[derive(Debug)]
pub(crate) struct Wrong(Box<Problem>);

#[derive(Debug)]
struct Problem {
    what: String,
    /// The way to it, the last step first.
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Field(String),
    Index(usize),
}

impl Wrong {
    #[cold]
    #[inline(never)]
    fn under(mut self, step: Step) -> Self {
        self.0.steps.push(step);
        self
    }

    #[cold]
    #[inline(never)]
    fn new(what: String) -> Self {
        Self(Box::new(Problem { what, steps: Vec::new() }))
    }

    /// The path, as `tiers.free.limits[0]`, `.` for the whole document; and the problem.
    pub fn split(self) -> (String, String) {
        let mut path = String::new();
        for step in self.0.steps.iter().rev() {
            match step {
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Field(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
            }
        }
        // A field whose name is empty has no path of its own.
        (if path.is_empty() { ".".into() } else { path }, self.0.what)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.what)
    }
}

impl std::error::Error for Wrong {}

impl Error for Wrong {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self::new(problem.to_string())
    }
}

impl<'de> Deserializer<'de> for Tree {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (_, _, Some(number)) => visitor.visit_f64(number),
                _ => Err(Wrong::custom("a number that can't be read")),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(all) => visitor.visit_seq(Elements { next: 0, rest: all.into_iter() }),
            Value::Object(all) => visitor.visit_map(Fields { rest: all.into_iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &str,
        _variants: &[&str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let chosen = match self.0 {
            Value::String(name) => Some((name, None)),
            Value::Object(all) if all.len() == 1 => {
                all.into_iter().next().map(|(name, value)| (name, Some(value)))
            }
            _ => None,
        };
        match chosen {
            Some((name, value)) => visitor.visit_enum(Choice { name, value }),
            None => Err(Wrong::custom("expected a name, or one name with its value")),
        }
    }

    // Each asks for what it wants and nothing else: what a visitor could do with other values is then no code at all.

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &str,
        _fields: &[&str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Object(all) => visitor.visit_map(Fields { rest: all.into_iter(), value: None }),
            other => Err(unexpected(&other, &visitor)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Array(all) => visitor.visit_seq(Elements { next: 0, rest: all.into_iter() }),
            other => Err(unexpected(&other, &visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Bool(value) => visitor.visit_bool(value),
            other => Err(unexpected(&other, &visitor)),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0.as_u64() {
            Some(number) => visitor.visit_u64(number),
            None => Err(unexpected(&self.0, &visitor)),
        }
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            other => Err(unexpected(&other, &visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_string(visitor)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct
        identifier ignored_any
    }
}

/// A value of another type than is wanted.
#[cold]
fn unexpected(value: &Value, wanted: &dyn Expected) -> Wrong {
    let found = match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Unexpected::Unsigned(number),
            (_, Some(number)) => Unexpected::Signed(number),
            _ => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    };
    Wrong::invalid_type(found, wanted)
}

struct Elements {
    next: usize,
    rest: std::vec::IntoIter<Value>,
}

impl<'de> SeqAccess<'de> for Elements {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let Some(value) = self.rest.next() else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(Tree(value)).map(Some).map_err(|wrong| wrong.under(Step::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

struct Fields {
    rest: serde_json::map::IntoIter,
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        let Some(name) = self.advance() else { return Ok(None) };
        let key: StrDeserializer<'_, Wrong> = name.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|wrong| wrong.under(Step::Field(name)))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (name, value) = self.value();
        seed.deserialize(Tree(value)).map_err(|wrong| wrong.under(Step::Field(name)))
    }
}

impl Fields {
    /// The next field's name.
    #[inline(never)]
    fn advance(&mut self) -> Option<String> {
        self.value = self.rest.next();
        self.value.as_ref().map(|(name, _)| name.clone())
    }

    /// The field whose name was read last.
    #[inline(never)]
    fn value(&mut self) -> (String, Value) {
        self.value.take().unwrap_or_default()
    }
}

/// One of several, by name, and what stands behind the name.
struct Choice {
    name: String,
    value: Option<Value>,
}

impl<'de> EnumAccess<'de> for Choice {
    type Error = Wrong;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Wrong> {
        let name: StrDeserializer<'_, Wrong> = self.name.as_str().into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        match self.value {
            None => Ok(()),
            Some(_) => Err(Wrong::custom("nothing stands behind this name").under(Step::Field(self.name))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Wrong> {
        let read = match self.value {
            Some(value) => seed.deserialize(Tree(value)),
            None => Err(Wrong::custom("the value behind this name is missing")),
        };
        read.map_err(|wrong| wrong.under(Step::Field(self.name)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, _visitor: V) -> Result<V::Value, Wrong> {
        Err(Wrong::custom("no configuration has such a value"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let value = Tree(self.value.unwrap_or_default());
        value.deserialize_any(visitor).map_err(|wrong| wrong.under(Step::Field(self.name)))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "snake_case")]
    struct Outer {
        name: String,
        #[serde(default)]
        list: Vec<Inner>,
        #[serde(default)]
        choice: Option<Choose>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        number: u8,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Choose {
        This,
        That(Inner),
        Both { one: i64, other: Option<bool> },
    }

    fn read(value: Value) -> Result<Outer, (String, String)> {
        Outer::deserialize(Tree(value)).map_err(Wrong::split)
    }

    #[test]
    fn what_is_right_is_read() {
        let list = vec![Inner { number: 1 }, Inner { number: 255 }];
        let outer = |choice| Outer { name: "n".into(), list: Vec::new(), choice };
        let both = json!({"name": "n", "list": [{"number": 1}, {"number": 255}]});
        assert_eq!(read(both), Ok(Outer { list, ..outer(None) }));
        let of = |choice: Value| read(json!({"name": "n", "choice": choice}));
        assert_eq!(of(Value::Null), Ok(outer(None)));
        assert_eq!(of(json!("this")), Ok(outer(Some(Choose::This))));
        assert_eq!(of(json!({"that": {"number": 7}})), Ok(outer(Some(Choose::That(Inner { number: 7 })))));
        let both = Choose::Both { one: -1, other: Some(true) };
        assert_eq!(of(json!({"both": {"one": -1, "other": true}})), Ok(outer(Some(both))));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_path() {
        let cases = [
            (json!(5), ".", "invalid type: integer `5`, expected struct Outer"),
            (json!({}), ".", "missing field `name`"),
            (json!({"name": 5}), "name", "invalid type: integer `5`, expected a string"),
            (json!({"nme": ""}), "nme", "unknown field `nme`, expected one of `name`, `list`, `choice`"),
            (json!({"": 1}), ".", "unknown field ``, expected one of `name`, `list`, `choice`"),
            (
                json!({"list": [{"number": 1}, {"number": 256}]}),
                "list[1].number",
                "invalid value: integer `256`, expected u8",
            ),
            (json!({"list": [{}]}), "list[0]", "missing field `number`"),
            (json!({"list": {"a": 1}}), "list", "invalid type: map, expected a sequence"),
            (
                json!({"choice": "those"}),
                "choice",
                "unknown variant `those`, expected one of `this`, `that`, `both`",
            ),
            (
                json!({"choice": {"that": {"number": 0.5}}}),
                "choice.that.number",
                "invalid type: floating point `0.5`, expected u8",
            ),
            (json!({"choice": "that"}), "choice.that", "the value behind this name is missing"),
            (json!({"choice": {"this": 1}}), "choice.this", "nothing stands behind this name"),
            (
                json!({"choice": {"both": {"one": true}}}),
                "choice.both.one",
                "invalid type: boolean `true`, expected i64",
            ),
            (
                json!({"choice": {"this": 1, "that": 2}}),
                "choice",
                "expected a name, or one name with its value",
            ),
        ];
        for (value, path, problem) in cases {
            assert_eq!(read(value.clone()), Err((path.into(), problem.into())), "{value}");
        }
    }
}
