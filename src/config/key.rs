//! What a key is: name, type, default and valid values; and how its text becomes a value, by the rules of Kafka's
//! `ConfigDef`.

use super::ConfigError;

/// A `ConfigDef.Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`, whatever their case.
    Boolean,
    /// Text, trimmed.
    String,
    /// 32-bit integer.
    Int,
    /// 16-bit integer.
    Short,
    /// 64-bit integer.
    Long,
    /// Floating point number.
    Double,
    /// Comma-separated texts, each trimmed; empty text is the empty list.
    List,
    /// Name of a Java class, or what stands for it.
    Class,
    /// Text that is never shown.
    Password,
}

impl Kind {
    /// `ConfigDef`'s name of the type, as Connect's REST API shows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }
}

/// What a key that is not set means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// It must be set.
    Required,
    /// It has no value.
    Null,
    /// As if this text were set.
    Value(&'static str),
}

/// Which values a key takes, beyond its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Valid {
    /// All of the type.
    Any,
    /// Text with at least one character.
    NonEmpty,
    /// Text with at least one character and no control characters: names of connectors.
    Name,
    /// A number not below this.
    AtLeast(i64),
    /// A number within these, both included.
    Between(i64, i64),
    /// A number within the first two, both included, or the third.
    BetweenOr(i64, i64, i64),
    /// −1, which leaves the choice to the broker, or a number from 1 to the second one.
    BrokersChoiceOrUpTo(i64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts, whatever its case.
    OneOfIgnoringCase(&'static [&'static str]),
    /// One of these classes, by full name or by what follows its last dot.
    Classes(&'static [&'static str]),
    /// The word, or text that is a number of type LONG and not below this.
    WordOrAtLeast(&'static str, i64),
}

impl std::fmt::Display for Valid {
    /// What is allowed, for people; empty where all of the type is.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::NonEmpty => f.write_str("not empty"),
            Self::Name => f.write_str("not empty, no control characters"),
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::Between(least, most) => write!(f, "{least} to {most}"),
            Self::BetweenOr(least, most, or) => write!(f, "{least} to {most}, or {or}"),
            Self::BrokersChoiceOrUpTo(most) => write!(f, "1 to {most}, or -1 for the broker's default"),
            Self::OneOf(allowed) => f.write_str(&allowed.join(", ")),
            Self::OneOfIgnoringCase(allowed) => write!(f, "{} (in any case)", allowed.join(", ")),
            Self::Classes(allowed) => write!(f, "{}, or the name without its package", allowed.join(", ")),
            Self::WordOrAtLeast(word, least) => write!(f, "{word}, or a number of at least {least}"),
        }
    }
}

/// `ConfigDef.Importance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    /// `HIGH`
    High,
    /// `MEDIUM`
    Medium,
    /// `LOW`
    Low,
}

impl Importance {
    /// `ConfigDef`'s name, as Connect's REST API shows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
        }
    }
}

/// `ConfigDef.Width`: how wide a form's field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// `NONE`: not told.
    None,
    /// `SHORT`
    Short,
    /// `MEDIUM`
    Medium,
    /// `LONG`
    Long,
}

impl Width {
    /// `ConfigDef`'s name, as Connect's REST API shows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Short => "SHORT",
            Self::Medium => "MEDIUM",
            Self::Long => "LONG",
        }
    }
}

/// One key of the registry. Validation, the REST API's `…/config` and the documentation come from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Name, as written in a file or JSON.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// Meaning when it is not set.
    pub default: Default,
    /// Which values it takes.
    pub valid: Valid,
    /// Importance, for lists of keys.
    pub importance: Importance,
    /// Group of Connect's framework keys; MirrorMaker's keys have none.
    pub group: Option<&'static str>,
    /// Place within its group; −1 without one.
    pub order: i32,
    /// How wide a form's field is.
    pub width: Width,
    /// Connect's name for forms; the key's own name where Connect has none.
    pub display_name: &'static str,
    /// What it is for, with units.
    pub doc: &'static str,
    /// Former name that is still read, where this one is not set.
    pub alias: Option<&'static str>,
}

impl Key {
    /// A key of low importance that takes all values of its type.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            default,
            valid: Valid::Any,
            importance: Importance::Low,
            group: None,
            order: -1,
            width: Width::None,
            display_name: name,
            doc,
            alias: None,
        }
    }

    /// With these valid values.
    #[must_use]
    pub const fn valid(mut self, valid: Valid) -> Self {
        self.valid = valid;
        self
    }

    /// With this importance.
    #[must_use]
    pub const fn importance(mut self, importance: Importance) -> Self {
        self.importance = importance;
        self
    }

    /// In a group of Connect's, at this place, with its name for forms.
    #[must_use]
    pub const fn shown(mut self, group: &'static str, order: i32, width: Width, display_name: &'static str) -> Self {
        self.group = Some(group);
        self.order = order;
        self.width = width;
        self.display_name = display_name;
        self
    }

    /// With a former name.
    #[must_use]
    pub const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    /// The default's text, absent where the key is required or null by default.
    #[must_use]
    pub fn default_text(&self) -> Option<&'static str> {
        match self.default {
            Default::Value(text) => Some(text),
            Default::Required | Default::Null => None,
        }
    }

    /// Reads a value that was written under the name `as_written` (the key's own, or its alias).
    ///
    /// # Errors
    /// The text is not of the type or not a valid value; in `ConfigDef`'s words.
    pub fn parse(&self, as_written: &str, text: &str) -> Result<Value, ConfigError> {
        let value = self.parse_type(as_written, text)?;
        match self.refusal(&value) {
            None => Ok(value),
            Some(reason) => {
                let shown = if self.kind == Kind::Password { "[hidden]" } else { text.trim() };
                Err(ConfigError::invalid(as_written, shown, reason))
            }
        }
    }

    /// Reads a value by its type alone.
    ///
    /// # Errors
    /// The text is not of the type.
    pub(super) fn parse_type(&self, as_written: &str, text: &str) -> Result<Value, ConfigError> {
        let trimmed = text.trim();
        let not_a_number =
            || ConfigError::invalid(as_written, text, format_args!("Not a number of type {}", self.kind.name()));
        Ok(match self.kind {
            Kind::Boolean if trimmed.eq_ignore_ascii_case("true") => Value::Boolean(true),
            Kind::Boolean if trimmed.eq_ignore_ascii_case("false") => Value::Boolean(false),
            Kind::Boolean => {
                return Err(ConfigError::invalid(as_written, text, "Expected value to be either true or false"));
            }
            Kind::String | Kind::Class | Kind::Password => Value::Text(trimmed.to_owned()),
            Kind::Int => Value::Number(trimmed.parse::<i32>().map_err(|_| not_a_number())?.into()),
            Kind::Short => Value::Number(trimmed.parse::<i16>().map_err(|_| not_a_number())?.into()),
            Kind::Long => Value::Number(trimmed.parse::<i64>().map_err(|_| not_a_number())?),
            Kind::Double => {
                trimmed.parse::<f64>().map_err(|_| not_a_number())?;
                Value::Text(trimmed.to_owned())
            }
            Kind::List => Value::List(parse_list(trimmed)),
        })
    }

    /// Why a value of the right type is not allowed; the words are those of `ConfigDef`'s validators.
    fn refusal(&self, value: &Value) -> Option<String> {
        match (self.valid, value) {
            (Valid::NonEmpty, Value::Text(text)) => text.is_empty().then(|| "String must be non-empty".to_owned()),
            (Valid::Name, Value::Text(text)) => refusal_of_name(text),
            (Valid::AtLeast(least), Value::Number(number)) if *number < least => {
                Some(format!("Value must be at least {least}"))
            }
            (Valid::Between(least, _), Value::Number(number)) if *number < least => {
                Some(format!("Value must be at least {least}"))
            }
            (Valid::Between(_, most), Value::Number(number)) if *number > most => {
                Some(format!("Value must be no more than {most}"))
            }
            (Valid::BetweenOr(least, most, or), Value::Number(number)) => {
                let allowed = *number == or || (least..=most).contains(number);
                (!allowed).then(|| format!("Value must be between {least} and {most} or equal to {or}"))
            }
            (Valid::BrokersChoiceOrUpTo(most), Value::Number(number)) => {
                let allowed = *number == -1 || (1..=most).contains(number);
                (!allowed).then(|| format!("Value must be -1, for the broker's default, or from 1 to {most}"))
            }
            (Valid::OneOf(allowed), Value::Text(text)) => {
                (!allowed.contains(&text.as_str())).then(|| format!("String must be one of: {}", allowed.join(", ")))
            }
            (Valid::OneOfIgnoringCase(allowed), Value::Text(text)) => {
                (!allowed.iter().any(|one| one.eq_ignore_ascii_case(text)))
                    .then(|| format!("String must be one of (case insensitive): {}", allowed.join(", ")))
            }
            (Valid::WordOrAtLeast(word, least), Value::Text(text)) => {
                let allowed = text == word || text.parse::<i64>().is_ok_and(|number| number >= least);
                (!allowed).then(|| format!("Value must be {word}, or a number of at least {least}"))
            }
            (Valid::Classes(allowed), Value::Text(text)) => full_class_name(allowed, text)
                .is_none()
                .then(|| format!("Class {text} could not be found. There are: {}", allowed.join(", "))),
            _ => None,
        }
    }
}

/// A key's value, typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of a BOOLEAN.
    Boolean(bool),
    /// Of an INT, SHORT or LONG, within the range of its type.
    Number(i64),
    /// Of a STRING, CLASS, PASSWORD or DOUBLE, trimmed.
    Text(String),
    /// Of a LIST.
    List(Vec<String>),
}

impl std::fmt::Display for Value {
    /// As `ConfigDef.convertToString`; whoever shows a PASSWORD has to hide it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
            Self::List(items) => f.write_str(&items.join(",")),
        }
    }
}

/// The items of a LIST. Empty items within are kept, as `ConfigDef` keeps them.
pub(super) fn parse_list(text: &str) -> Vec<String> {
    let trimmed = text.trim();
    if trimmed.is_empty() { Vec::new() } else { trimmed.split(',').map(|item| item.trim().to_owned()).collect() }
}

/// The full name of a class that is written in full or without its package.
pub(super) fn full_class_name(known: &[&'static str], written: &str) -> Option<&'static str> {
    known
        .iter()
        .find(|full| **full == written || full.rsplit_once('.').is_some_and(|(_, simple)| simple == written))
        .copied()
}

/// `NonEmptyStringWithoutControlChars`
fn refusal_of_name(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("String may not be empty".to_owned());
    }
    let controls: Vec<String> = text.chars().filter(|c| c.is_control()).map(|c| u32::from(c).to_string()).collect();
    (!controls.is_empty()).then(|| {
        format!("String may not contain control sequences but had the following ASCII chars: {}", controls.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: Kind, valid: Valid) -> Key {
        Key::new("k", kind, Default::Null, "").valid(valid)
    }

    #[test]
    fn texts_become_values_as_in_config_def() {
        let list = |items: &[&str]| Value::List(items.iter().map(|item| (*item).to_owned()).collect());
        let table = [
            (Kind::Boolean, " True ", Ok(Value::Boolean(true))),
            (Kind::Boolean, "FALSE", Ok(Value::Boolean(false))),
            (
                Kind::Boolean,
                "yes",
                Err("Invalid value yes for configuration k: Expected value to be either true or false"),
            ),
            (Kind::Boolean, "", Err("Invalid value  for configuration k: Expected value to be either true or false")),
            (Kind::Int, " 7 ", Ok(Value::Number(7))),
            (Kind::Int, "-1", Ok(Value::Number(-1))),
            (Kind::Int, "2147483648", Err("Invalid value 2147483648 for configuration k: Not a number of type INT")),
            (Kind::Int, " abc", Err("Invalid value  abc for configuration k: Not a number of type INT")),
            (Kind::Int, "1.0", Err("Invalid value 1.0 for configuration k: Not a number of type INT")),
            (Kind::Short, "40000", Err("Invalid value 40000 for configuration k: Not a number of type SHORT")),
            (Kind::Long, "2147483648", Ok(Value::Number(2_147_483_648))),
            (Kind::Long, "", Err("Invalid value  for configuration k: Not a number of type LONG")),
            (Kind::Double, "x", Err("Invalid value x for configuration k: Not a number of type DOUBLE")),
            (Kind::Double, "0.8", Ok(Value::Text("0.8".to_owned()))),
            (Kind::String, "  a b ", Ok(Value::Text("a b".to_owned()))),
            (Kind::Class, " org.X", Ok(Value::Text("org.X".to_owned()))),
            (Kind::List, "  ", Ok(list(&[]))),
            (Kind::List, " a , b,,c ", Ok(list(&["a", "b", "", "c"]))),
            (Kind::List, "a,", Ok(list(&["a", ""]))),
        ];
        for (kind, text, expected) in table {
            let read = key(kind, Valid::Any).parse("k", text).map_err(|error| error.message);
            assert_eq!(read, expected.map_err(str::to_owned), "{kind:?} {text:?}");
        }
    }

    #[test]
    fn valid_values_are_checked_in_config_defs_words() {
        const CLASSES: &[&str] = &["org.x.A", "org.x.B"];
        let table = [
            (Kind::Int, Valid::AtLeast(1), "1", None),
            (
                Kind::Int,
                Valid::AtLeast(1),
                " 0 ",
                Some("Invalid value 0 for configuration k: Value must be at least 1"),
            ),
            (
                Kind::Int,
                Valid::Between(0, 9),
                "10",
                Some("Invalid value 10 for configuration k: Value must be no more than 9"),
            ),
            (
                Kind::Int,
                Valid::Between(0, 9),
                "-1",
                Some("Invalid value -1 for configuration k: Value must be at least 0"),
            ),
            (Kind::Int, Valid::BetweenOr(1, 9, -1), "-1", None),
            (
                Kind::Int,
                Valid::BetweenOr(1, 9, -1),
                "0",
                Some("Invalid value 0 for configuration k: Value must be between 1 and 9 or equal to -1"),
            ),
            (Kind::Int, Valid::BrokersChoiceOrUpTo(9), "-1", None),
            (
                Kind::Int,
                Valid::BrokersChoiceOrUpTo(9),
                "0",
                Some("Invalid value 0 for configuration k: Value must be -1, for the broker's default, or from 1 to 9"),
            ),
            (Kind::String, Valid::OneOf(&["a", "b"]), " a", None),
            (
                Kind::String,
                Valid::OneOf(&["a", "b"]),
                "A",
                Some("Invalid value A for configuration k: String must be one of: a, b"),
            ),
            (Kind::String, Valid::OneOfIgnoringCase(&["SSL"]), "ssl", None),
            (
                Kind::String,
                Valid::OneOfIgnoringCase(&["SSL"]),
                "tls",
                Some("Invalid value tls for configuration k: String must be one of (case insensitive): SSL"),
            ),
            (Kind::String, Valid::NonEmpty, " ", Some("Invalid value  for configuration k: String must be non-empty")),
            (Kind::String, Valid::Name, "", Some("Invalid value  for configuration k: String may not be empty")),
            (
                Kind::String,
                Valid::Name,
                "a\u{7}b",
                Some(
                    "Invalid value a\u{7}b for configuration k: String may not contain control sequences but had the following ASCII chars: 7",
                ),
            ),
            (Kind::Class, Valid::Classes(CLASSES), "B", None),
            (Kind::Class, Valid::Classes(CLASSES), "org.x.A", None),
            (
                Kind::Class,
                Valid::Classes(CLASSES),
                "x.A",
                Some(
                    "Invalid value x.A for configuration k: Class x.A could not be found. There are: org.x.A, org.x.B",
                ),
            ),
            (Kind::String, Valid::WordOrAtLeast("never", 0), " never", None),
            (Kind::String, Valid::WordOrAtLeast("never", 0), "0", None),
            (
                Kind::String,
                Valid::WordOrAtLeast("never", 0),
                "-1",
                Some("Invalid value -1 for configuration k: Value must be never, or a number of at least 0"),
            ),
            (
                Kind::Password,
                Valid::NonEmpty,
                "",
                Some("Invalid value [hidden] for configuration k: String must be non-empty"),
            ),
        ];
        for (kind, valid, text, expected) in table {
            let error = key(kind, valid).parse("k", text).err().map(|error| error.message);
            assert_eq!(error.as_deref(), expected, "{valid:?} {text:?}");
        }
    }
}
