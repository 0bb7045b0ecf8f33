//! Which places of a document are wanted, as paths from its root.

/// Rules one set may have: the rules still possible at a place are one bit each in a `u64`.
pub const RULES_MAX: usize = 64;
/// Steps a path may have. The longest in use is `choices[].message.tool_calls[].function.arguments`, seven.
pub const STEPS_MAX: usize = 8;
/// Bytes of a key that a path may name. The longest in use, `cache_creation_input_tokens`, has 27.
pub const KEY_BYTES_MAX: usize = 40;

/// One step down from a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into the member of an object with this key, after unescaping.
    Key(&'static str),
    /// Into any element of an array.
    Item,
}

/// A wanted place and the field it fills.
#[derive(Clone, Copy, Debug)]
pub struct Rule<F: 'static> {
    path: &'static [Step],
    reach: Reach,
    field: F,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Here,
    Within,
    WithinAndKeys,
}

impl<F: Copy> Rule<F> {
    /// The value at the path.
    pub const fn at(path: &'static [Step], field: F) -> Self {
        Self { path, reach: Reach::Here, field }
    }

    /// The value at the path and everything inside it.
    pub const fn within(path: &'static [Step], field: F) -> Self {
        Self { path, reach: Reach::Within, field }
    }

    /// The value at the path and everything inside it, the keys of its objects too.
    pub const fn within_and_keys(path: &'static [Step], field: F) -> Self {
        Self { path, reach: Reach::WithinAndKeys, field }
    }

    const fn goes_deeper(&self) -> bool {
        !matches!(self.reach, Reach::Here)
    }
}

/// A set of rules. Where several fit one place, the first in the set wins.
pub type Rules<F> = [Rule<F>];

/// The rules that still fit at a place, one bit for each, and the number of steps taken to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alive(u64);

impl Alive {
    /// At the root every rule is possible.
    pub const fn at_root<F>(rules: &Rules<F>) -> Self {
        match rules.len() {
            0 => Self(0),
            RULES_MAX.. => Self(u64::MAX),
            count => Self((1 << count) - 1),
        }
    }

    /// True when nothing at or inside the place is wanted.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The rules left after one more step, from a place `level` steps below the root. `None` is a step into an array;
    /// a key that is too long to be in any rule is `Some` of bytes no rule has.
    pub fn step<F: Copy>(self, rules: &Rules<F>, level: usize, key: Option<&[u8]>) -> Self {
        let mut left = self.0;
        let mut bits = self.0;
        while bits != 0 {
            let lowest = bits & bits.wrapping_neg();
            bits ^= lowest;
            let fits = rules.get(lowest.trailing_zeros() as usize).is_some_and(|rule| {
                match (rule.path.get(level), key) {
                    (Some(Step::Key(wanted)), Some(key)) => wanted.as_bytes() == key,
                    (Some(Step::Item), None) => true,
                    (Some(_), _) => false,
                    (None, _) => rule.goes_deeper(),
                }
            });
            if !fits {
                left ^= lowest;
            }
        }
        Self(left)
    }

    /// The field of the first rule that wants the value `level` steps below the root.
    pub fn field<F: Copy>(self, rules: &Rules<F>, level: usize) -> Option<F> {
        self.first(rules, |rule| rule.path.len() == level || (rule.path.len() < level && rule.goes_deeper()))
    }

    /// The field of the first rule that wants the keys of the object `level` steps below the root.
    pub fn key_field<F: Copy>(self, rules: &Rules<F>, level: usize) -> Option<F> {
        self.first(rules, |rule| rule.path.len() <= level && rule.reach == Reach::WithinAndKeys)
    }

    fn first<F: Copy>(self, rules: &Rules<F>, wanted: impl Fn(&Rule<F>) -> bool) -> Option<F> {
        let mut bits = self.0;
        while bits != 0 {
            let rule = rules.get(bits.trailing_zeros() as usize)?;
            if wanted(rule) {
                return Some(rule.field);
            }
            bits &= bits - 1;
        }
        None
    }
}

/// True when a set keeps its bounds; every dialect's sets are tested with it.
#[cfg(test)]
pub fn is_within_bounds<F>(rules: &Rules<F>) -> bool {
    let key_fits = |step: &Step| match step {
        Step::Key(key) => key.len() <= KEY_BYTES_MAX,
        Step::Item => true,
    };
    rules.len() <= RULES_MAX
        && rules.iter().all(|rule| rule.path.len() <= STEPS_MAX && rule.path.iter().all(key_fits))
}
