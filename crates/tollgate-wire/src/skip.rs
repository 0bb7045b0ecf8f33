//! What is left out of messages: what a peer reads from nothing anyway.

pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}

pub(crate) fn is_zero(count: &u32) -> bool {
    *count == 0
}

pub(crate) fn is_empty(text: &impl AsRef<str>) -> bool {
    text.as_ref().is_empty()
}
