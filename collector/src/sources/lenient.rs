//! Words of a JSON answer that are taken if they are what we expect, and are unknown if not: a daemon's odd field never costs its neighbours.
//!
//! Nothing that is not kept is allocated: what we do not name is skipped in the text.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A text of at most 512 bytes; a longer one is cut at a character. Empty, null and everything else is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text(pub(super) Option<Arc<str>>);

/// A whole number; everything else is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Number(pub(super) Option<i64>);

/// A whole number from 0 up, counters of the kernel's full width among them; everything else is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count(pub(super) Option<u64>);

/// A number, whole or not; everything else is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Real(pub(super) Option<f64>);

/// True or false; everything else is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flag(pub(super) Option<bool>);

/// An object; everything else is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object<T>(pub(super) Option<T>);

/// The texts of an array, at most 16; everything else is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Texts(pub(super) Vec<Arc<str>>);

/// The objects of an array, at most [`MOST_ROWS`]; other elements are left out. Everything else is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rows<T>(pub(super) Option<Vec<T>>);

/// 170 block devices with six words each.
pub(super) const MOST_ROWS: usize = 1024;

/// The objects of an array; other elements are left out. Not an array: an error.
#[derive(Debug)]
pub(super) struct Objects<T> {
    /// At most [`MOST_OBJECTS`].
    pub(super) held: Vec<T>,
    /// How many there were beyond.
    pub(super) more: u64,
}

/// Ten times the containers that are shown. An answer of empty objects would take a hundred times its size.
pub(super) const MOST_OBJECTS: usize = 50_000;

/// No name, image or label we show needs more. Docker itself bounds none of them.
const TEXT_LIMIT: usize = 512;

impl Text {
    pub(super) fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or("")
    }
}

impl<T> Default for Object<T> {
    fn default() -> Self {
        Object(None)
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Rows(None)
    }
}

impl<T> Object<T> {
    pub(super) fn as_ref(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

/// What a value turns out to be, for the one visitor below.
pub(super) trait Take<'de>: Default {
    fn text(_: &str) -> Self {
        Self::default()
    }
    fn number(_: i64) -> Self {
        Self::default()
    }
    fn count(value: u64) -> Self {
        i64::try_from(value).map_or_else(|_| Self::default(), Self::number)
    }
    fn real(_: f64) -> Self {
        Self::default()
    }
    fn flag(_: bool) -> Self {
        Self::default()
    }
    fn array<A: SeqAccess<'de>>(mut array: A) -> Result<Self, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

pub(super) struct Any<T>(pub(super) PhantomData<T>);

impl<'de, T: Take<'de>> Visitor<'de> for Any<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::default())
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        Ok(T::flag(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        Ok(T::number(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        Ok(T::count(value))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        Ok(T::real(value))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
        Ok(T::text(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<T, A::Error> {
        T::array(array)
    }
    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::object(object)
    }
}

macro_rules! deserialize {
    ($($word:ty),*) => {$(
        impl<'de> Deserialize<'de> for $word {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any(Any(PhantomData))
            }
        }
    )*};
}

deserialize!(Text, Number, Count, Real, Flag, Texts);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Rows<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any(PhantomData))
    }
}

impl Take<'_> for Text {
    fn text(value: &str) -> Text {
        let cut = &value[..value.floor_char_boundary(TEXT_LIMIT)];
        Text((!cut.is_empty()).then(|| cut.into()))
    }
}

impl Take<'_> for Number {
    fn number(value: i64) -> Number {
        Number(Some(value))
    }
}

impl Take<'_> for Count {
    fn number(value: i64) -> Count {
        Count(u64::try_from(value).ok())
    }
    fn count(value: u64) -> Count {
        Count(Some(value))
    }
}

impl Take<'_> for Real {
    fn number(value: i64) -> Real {
        Real(Some(value as f64))
    }
    fn real(value: f64) -> Real {
        Real(value.is_finite().then_some(value))
    }
}

impl<'de, T: Deserialize<'de>> Take<'de> for Rows<T> {
    fn array<A: SeqAccess<'de>>(mut array: A) -> Result<Rows<T>, A::Error> {
        let mut rows = Vec::new();
        while let Some(Object(row)) = array.next_element()? {
            rows.extend(row.filter(|_| rows.len() < MOST_ROWS));
        }
        Ok(Rows(Some(rows)))
    }
}

impl Take<'_> for Flag {
    fn flag(value: bool) -> Flag {
        Flag(Some(value))
    }
}

impl<'de> Take<'de> for Texts {
    fn array<A: SeqAccess<'de>>(mut array: A) -> Result<Texts, A::Error> {
        let mut texts = Vec::new();
        while let Some(Text(text)) = array.next_element()? {
            texts.extend(text.filter(|_| texts.len() < 16));
        }
        Ok(Texts(texts))
    }
}

impl<'de, T: Deserialize<'de>> Take<'de> for Object<T> {
    fn object<A: MapAccess<'de>>(object: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object)).map(|object| Object(Some(object)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Objects<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Array<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Array<T> {
            type Value = Objects<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Objects<T>, A::Error> {
                let mut objects = Objects { held: Vec::new(), more: 0 };
                while objects.held.len() < MOST_OBJECTS {
                    let Some(Object(object)) = array.next_element()? else { return Ok(objects) };
                    objects.held.extend(object);
                }
                while array.next_element::<IgnoredAny>()?.is_some() {
                    objects.more += 1;
                }
                Ok(objects)
            }
        }
        from.deserialize_seq(Array(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::from_str;

    #[test]
    fn a_word_is_what_we_expect_or_unknown() {
        for odd in ["null", "true", "7", "-7", "1.5", "18446744073709551615", "[1, [2]]", "{\"a\": {\"b\": 1}}", "\"\""] {
            assert_eq!(from_str::<Text>(odd).unwrap(), Text(None), "{odd}");
        }
        for odd in ["null", "true", "1.5", "18446744073709551615", "[1]", "{}", "\"7\""] {
            assert_eq!(from_str::<Number>(odd).unwrap(), Number(None), "{odd}");
        }
        for odd in ["null", "1", "\"true\"", "[]", "{}"] {
            assert_eq!(from_str::<Flag>(odd).unwrap(), Flag(None), "{odd}");
        }
        for odd in ["null", "1", "\"x\"", "{\"a\": 1}", "[null, 1, \"\"]"] {
            assert_eq!(from_str::<Texts>(odd).unwrap(), Texts(vec![]), "{odd}");
        }
        assert_eq!(from_str::<Number>("-7").unwrap(), Number(Some(-7)));
        for (text, count) in [("18446744073709551615", Some(u64::MAX)), ("0", Some(0)), ("-7", None), ("1.5", None), ("null", None), ("\"7\"", None)] {
            assert_eq!(from_str::<Count>(text).unwrap(), Count(count), "{text}");
        }
        assert_eq!(from_str::<Rows<IgnoredAny>>("null").unwrap().0.map(|rows| rows.len()), None);
        assert_eq!(from_str::<Rows<IgnoredAny>>("[{}, null, 7]").unwrap().0.map(|rows| rows.len()), Some(1));
        assert_eq!(from_str::<Texts>("[\"/a\", 1, \"/b\"]").unwrap().0.len(), 2);
        assert_eq!(from_str::<Objects<IgnoredAny>>("[{}, null, 7, \"x\", {}]").unwrap().held.len(), 2);
        assert!(from_str::<Objects<IgnoredAny>>("{\"message\": \"no\"}").is_err());
    }

    #[test]
    fn no_more_objects_are_held_than_the_bound() {
        let Objects { held, more } = from_str::<Objects<IgnoredAny>>(&format!("[{}{{}}]", "{},".repeat(MOST_OBJECTS + 6))).unwrap();
        assert_eq!((held.len(), more), (MOST_OBJECTS, 7));
    }

    #[test]
    fn a_huge_text_is_cut_at_a_character() {
        let text = from_str::<Text>(&format!("\"{}\"", "é".repeat(40_000))).unwrap();
        assert_eq!(text.as_str().len(), TEXT_LIMIT);
        let text = from_str::<Text>(&format!("\"a{}\"", "é".repeat(40_000))).unwrap();
        assert_eq!(text.as_str().len(), TEXT_LIMIT - 1);
    }
}
