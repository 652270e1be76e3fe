//! Java's `.properties` syntax, as `java.util.Properties.load` reads it.

use std::{collections::BTreeMap, fs, iter::Peekable, path::Path, str::Chars};

use super::{ConfigError, ConfigErrors};

/// Raw key → value, as written: values are not trimmed beyond what the file syntax drops.
pub type Properties = BTreeMap<String, String>;

/// Reads Java `.properties` text: comments (`#`, `!`), continuation lines, `=`, `:` or blanks as separator, the escapes
/// `\n \t \r \f \uXXXX`. Of a key that occurs twice the last value counts.
///
/// # Errors
/// A `\u` without four hexadecimal digits behind it; the line is named.
pub fn read_properties(text: &str) -> Result<Properties, ConfigErrors> {
    let mut properties = Properties::new();
    let mut errors = Vec::new();
    for (number, line) in logical_lines(text) {
        match read_line(&line) {
            Ok((key, value)) => {
                properties.insert(key, value);
            }
            Err(escape) => errors.push(ConfigError {
                key: String::new(),
                message: format!("line {number}: {escape} is not an escape; \\u takes four hexadecimal digits"),
            }),
        }
    }
    ConfigErrors::or(errors, properties)
}

/// Reads a `.properties` file; `what` says in errors which one it is, such as `the worker's properties file`.
///
/// # Errors
/// As [`read_properties`], or the file cannot be read; each message begins with the file's name.
pub fn load_properties(path: &Path, what: &str) -> Result<Properties, ConfigErrors> {
    let named = |message: String| ConfigError { key: String::new(), message: format!("{}: {message}", path.display()) };
    let bytes = fs::read(path).map_err(|error| named(format!("can't read {what}: {error}")))?;
    // Kafka reads these files as ISO-8859-1. Only UTF-8 tells an editor's file from a damaged one.
    let text = String::from_utf8(bytes).map_err(|_| named(format!("{what} is not UTF-8 text")))?;
    read_properties(&text)
        .map_err(|ConfigErrors(errors)| ConfigErrors(errors.into_iter().map(|error| named(error.message)).collect()))
}

/// Blanks of the syntax; more than these belong to keys and values.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Lines without comments and empty ones, continuations joined, each with the number of its first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (i, line) in unified.split('\n').enumerate() {
        let line = line.trim_start_matches(is_blank);
        // Only a line of its own can be a comment or empty; a continuation may begin with `#`.
        if open.is_none() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let (number, mut joined) = open.take().unwrap_or((i + 1, String::new()));
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            joined.push_str(&line[..line.len() - 1]);
            open = Some((number, joined));
        } else {
            joined.push_str(line);
            lines.push((number, joined));
        }
    }
    lines.extend(open);
    lines
}

/// Key and value of a logical line, or the escape that is none.
fn read_line(line: &str) -> Result<(String, String), String> {
    let mut chars = line.chars().peekable();
    let mut key = String::new();
    while let Some(&c) = chars.peek() {
        if is_blank(c) || c == '=' || c == ':' {
            break;
        }
        chars.next();
        key.push(if c == '\\' { unescape(&mut chars)? } else { c });
    }
    skip_blanks(&mut chars);
    if chars.next_if(|c| matches!(c, '=' | ':')).is_some() {
        skip_blanks(&mut chars);
    }
    let mut value = String::new();
    while let Some(c) = chars.next() {
        value.push(if c == '\\' { unescape(&mut chars)? } else { c });
    }
    Ok((key, value))
}

fn skip_blanks(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| is_blank(*c)).is_some() {}
}

/// The character after a backslash. A surrogate pair is two `\u` escapes that make one character.
fn unescape(chars: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    Ok(match chars.next() {
        Some('n') => '\n',
        Some('t') => '\t',
        Some('r') => '\r',
        Some('f') => '\u{c}',
        Some('u') => {
            let (first, mut written) = code_unit(chars)?;
            let mut units = vec![first];
            if (0xD800..0xDC00).contains(&first)
                && chars.next_if_eq(&'\\').is_some()
                && chars.next_if_eq(&'u').is_some()
            {
                let (second, more) = code_unit(chars)?;
                units.push(second);
                written.push_str(&more);
            }
            return match char::decode_utf16(units).next() {
                Some(Ok(c)) => Ok(c),
                _ => Err(written),
            };
        }
        Some(c) => c,
        // A backslash at the very end of the file.
        None => return Err("\\".to_owned()),
    })
}

/// The UTF-16 unit of a `\uXXXX`, and the escape as written.
fn code_unit(chars: &mut Peekable<Chars<'_>>) -> Result<(u16, String), String> {
    let digits: String = chars.by_ref().take(4).collect();
    let written = format!("\\u{digits}");
    let is_hex = digits.len() == 4 && digits.chars().all(|c| c.is_ascii_hexdigit());
    match u16::from_str_radix(&digits, 16) {
        Ok(unit) if is_hex => Ok((unit, written)),
        _ => Err(written),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_read_as_java_reads_them() {
        let table: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("# a=b\n! c=d\n  # e=f\n\n   \n", &[]),
            ("a=b", &[("a", "b")]),
            ("a = b", &[("a", "b")]),
            ("a:b\nc : d", &[("a", "b"), ("c", "d")]),
            ("a b", &[("a", "b")]),
            ("a\tb c", &[("a", "b c")]),
            ("a", &[("a", "")]),
            ("a=", &[("a", "")]),
            ("=a", &[("", "a")]),
            ("a==b", &[("a", "=b")]),
            ("a= =b", &[("a", "=b")]),
            ("a=b  ", &[("a", "b  ")]),
            ("  a=b", &[("a", "b")]),
            ("a=b\na=c", &[("a", "c")]),
            ("a=b\\\n   c\\\n d", &[("a", "bcd")]),
            ("a=b\\\n#c", &[("a", "b#c")]),
            ("a=b\\\n\nc=d", &[("a", "b"), ("c", "d")]),
            ("a=b\\\\\nc=d", &[("a", "b\\"), ("c", "d")]),
            ("a=b\r\nc=d\re=f", &[("a", "b"), ("c", "d"), ("e", "f")]),
            (r"a\=b\:c\ d=e", &[("a=b:c d", "e")]),
            (r"a=\n\t\r\f\x\\", &[("a", "\n\t\r\u{c}x\\")]),
            (r"a=\u00e9\u0041", &[("a", "éA")]),
            (r"a=\ud83d\ude00", &[("a", "😀")]),
            ("topics=^(?!foo).*", &[("topics", "^(?!foo).*")]),
            (r"topics=^ExampleTopic[\\w]*", &[("topics", r"^ExampleTopic[\w]*")]),
            ("a=b\\", &[("a", "b")]),
            (
                "sasl.jaas.config = x required username=\"u\" password=\"p=:\" ;",
                &[("sasl.jaas.config", "x required username=\"u\" password=\"p=:\" ;")],
            ),
        ];
        for (text, expected) in table {
            let read = read_properties(text).unwrap_or_else(|errors| panic!("{text:?}: {errors}"));
            let expected: Properties = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            assert_eq!(read, expected, "{text:?}");
        }
    }

    #[test]
    fn bad_escapes_name_their_line() {
        let errors = read_properties("a=b\nc=\\u12g4\nd=\\\n\\u12\ne=\\ud83d").unwrap_err();
        let lines: Vec<_> = errors.0.iter().map(|e| e.message.split(':').next().unwrap()).collect();
        assert_eq!(lines, ["line 2", "line 3", "line 5"]);
        assert!(errors.0[0].message.contains("\\u12g4"), "{errors}");
    }

    #[test]
    fn file_errors_name_the_file() {
        let missing = load_properties(Path::new("no/such.properties"), "the worker's properties file").unwrap_err();
        let text = "no/such.properties: can't read the worker's properties file: No such file or directory";
        assert!(missing.0[0].message.starts_with(text), "{missing}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(\\PC|[\\\\\n\r\t =:#!u]){0,60}") {
            let _ = read_properties(&text);
        }
    }
}
