//! Which places of a document are wanted: a tree in the shape of the document, made at compile time.

/// Containers that a tree may nest. The deepest wanted place, `choices[].message.tool_calls[].function.arguments`, is
/// in six.
pub const LEVELS_MAX: usize = 8;
/// Bytes of a key that a tree may name. The longest in use, `cache_creation_input_tokens`, has 27.
pub const KEY_BYTES_MAX: usize = 40;

/// A place of a document: which field its value fills, and what is wanted inside it.
#[derive(Clone, Copy, Debug)]
pub struct Place<F: 'static> {
    field: Option<F>,
    members: &'static [(&'static str, Place<F>)],
    items: Option<&'static Place<F>>,
    rest: Option<Rest<F>>,
}

/// The field of everything that a tree does not list, down to any depth.
#[derive(Clone, Copy, Debug)]
struct Rest<F> {
    field: F,
    keys: bool,
}

impl<F: Copy + 'static> Place<F> {
    const NOTHING: Self = Self { field: None, members: &[], items: None, rest: None };

    /// A value that fills a field.
    pub const fn value(field: F) -> Self {
        Self { field: Some(field), ..Self::NOTHING }
    }

    /// An object with wanted members.
    pub const fn object(members: &'static [(&'static str, Self)]) -> Self {
        Self { members, ..Self::NOTHING }
    }

    /// An array whose elements are all wanted alike.
    pub const fn array(item: &'static Self) -> Self {
        Self { items: Some(item), ..Self::NOTHING }
    }

    /// The value and everything inside it.
    pub const fn all(field: F) -> Self {
        Self::NOTHING.rest(field)
    }

    /// The value and everything inside it, the keys of its objects too.
    pub const fn all_and_keys(field: F) -> Self {
        Self { rest: Some(Rest { field, keys: true }), ..Self::NOTHING }
    }

    /// The same, and the value itself fills a field.
    pub const fn filling(self, field: F) -> Self {
        Self { field: Some(field), ..self }
    }

    /// The same, and elements of an array are wanted, should there be one instead.
    pub const fn or_array(self, item: &'static Self) -> Self {
        Self { items: Some(item), ..self }
    }

    /// The same, and everything here and inside that is not listed fills a field.
    pub const fn rest(self, field: F) -> Self {
        Self { rest: Some(Rest { field, keys: false }), ..self }
    }
}

/// Where in the tree the scanner is; below the tree's leaves only what the rest is, if anything.
#[derive(Clone, Copy, Debug)]
pub struct Here<F: 'static> {
    place: Option<&'static Place<F>>,
    rest: Option<Rest<F>>,
}

impl<F: Copy + 'static> Here<F> {
    /// At the document's root.
    pub const fn root(place: &'static Place<F>) -> Self {
        Self { place: Some(place), rest: place.rest }
    }

    /// The field that the value here fills.
    pub fn field(&self) -> Option<F> {
        self.place.and_then(|place| place.field).or(self.rest.map(|rest| rest.field))
    }

    /// The field that the keys of the object here fill, and so all that is in it: such a place lists nothing.
    pub fn key_field(&self) -> Option<F> {
        self.rest.filter(|rest| rest.keys).map(|rest| rest.field)
    }

    /// True when nothing inside the value here is wanted.
    pub fn is_leaf(&self) -> bool {
        self.rest.is_none()
            && self.place.is_none_or(|place| place.members.is_empty() && place.items.is_none())
    }

    /// The member of the object here. A key too long to be in any tree is `None`.
    pub fn member(&self, key: Option<&[u8]>) -> Self {
        let named = self.place.zip(key).and_then(|(place, key)| {
            place.members.iter().find(|(name, _)| name.as_bytes() == key).map(|(_, place)| place)
        });
        self.at(named)
    }

    /// An element of the array here.
    pub fn item(&self) -> Self {
        self.at(self.place.and_then(|place| place.items))
    }

    fn at(&self, place: Option<&'static Place<F>>) -> Self {
        Self { place, rest: place.and_then(|place| place.rest).or(self.rest) }
    }
}

/// True when a tree keeps the bounds; every dialect's trees are tested with it.
#[cfg(test)]
pub fn is_within_bounds<F>(place: &Place<F>) -> bool {
    fn fits<F>(place: &Place<F>, levels: usize) -> bool {
        let leaf = place.members.is_empty() && place.items.is_none();
        (leaf || levels > 0)
            && place.members.iter().all(|(key, inner)| key.len() <= KEY_BYTES_MAX && fits(inner, levels - 1))
            && place.items.is_none_or(|inner| fits(inner, levels - 1))
    }
    fits(place, LEVELS_MAX)
}
