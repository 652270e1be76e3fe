//! `value.literal` of `InsertHeader`: what a header holds in the end.
//!
//! Connect reads the text into a value of a type that it guesses (`Values.parseString`), and its SimpleHeaderConverter, the
//! default, writes that value as text again. Most texts come out as they went in; numbers, dates and times come out in
//! one form, and what stands behind them is lost. (With ByteArrayConverter each record fails, since no literal is read
//! as bytes.)

/// The header's value. `Err` is the reason why it can't be told.
pub(super) fn header_value(literal: &str) -> Result<Option<Vec<u8>>, String> {
    let tokens = tokens(literal);
    let text = match tokens.as_slice() {
        ["null"] => return Ok(None),
        ["[" | "{", ..] => {
            return Err("lists and maps, which Connect writes in a form of its own, are not supported".to_owned());
        }
        [first, ..] if first.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-')) => {
            let first = first.trim();
            // The colons of a time are tokens of their own.
            let five = tokens.get(1..5).map(|more| format!("{first}{}", more.concat()));
            let found = match five.as_deref().map(temporal).transpose()?.flatten() {
                Some(found) => Some(found),
                None => temporal(first)?,
            };
            match found {
                Some(found) => found,
                None => number(first)?.unwrap_or_else(|| literal.to_owned()),
            }
        }
        _ => literal.to_owned(),
    };
    Ok(Some(text.into_bytes()))
}

/// Delimiters are tokens, and so is what stands between them. A backslash takes its meaning from a delimiter.
fn tokens(literal: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in literal.char_indices() {
        match c {
            '\\' => escaped = !escaped,
            ':' | ',' | '{' | '}' | '[' | ']' | '"' if !escaped => {
                if start < at {
                    tokens.push(&literal[start..at]);
                }
                tokens.push(&literal[at..=at]);
                start = at + 1;
            }
            _ => escaped = false,
        }
    }
    if start < literal.len() {
        tokens.push(&literal[start..]);
    }
    tokens
}

/// Forms of a date and of a time, in which a 0 is any digit.
const DAY: &str = "0000-00-00";
const TIME: &str = "00:00:00.000Z";
const MIDNIGHT: &str = TIME;

/// A date, a time of day, or both, as Connect's three formats have them; none where it is neither. Each is written by how far
/// from 1970 it is, whichever it was read as.
fn temporal(token: &str) -> Result<Option<String>, String> {
    let token = token.replace("\\:", ":");
    let token = token.as_str();
    if !token.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(None);
    }
    let (date, time) = match token.len() {
        10 => (Some(token), None),
        13 => (None, Some(token)),
        24 => match token.split_once('T') {
            Some((date, time)) => (Some(date), Some(time)),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    if !date.is_none_or(|date| begins_like(date, DAY)) || !time.is_none_or(|time| begins_like(time, TIME)) {
        return Ok(None);
    }
    let is_date = |date: &str| {
        let (year, month, day) = (number_at(date, 0..4), number_at(date, 5..7), number_at(date, 8..10));
        let days = match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        has_form(date, DAY) && (1..=12).contains(&month) && (1..=days).contains(&day)
    };
    let is_time = |time: &str| has_form(time, TIME) && time[..2] < *"24" && time[3..5] < *"60" && time[6..8] < *"60";
    if !date.is_none_or(is_date) || !time.is_none_or(is_time) {
        return Err("Connect would take it for a date or time, and it is none".to_owned());
    }
    let time = time.unwrap_or(MIDNIGHT);
    let shown = match date {
        None => time,
        Some(date) if date < "1970-01-02" => time,
        Some(date) if time == MIDNIGHT => date,
        Some(_) => token,
    };
    Ok(Some(shown.to_owned()))
}

fn number_at(text: &str, at: std::ops::Range<usize>) -> u32 {
    text.get(at).and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// Whether the text is one of this form.
fn has_form(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(c, of_form)| match of_form {
            b'0' => c.is_ascii_digit(),
            other => c == other,
        })
}

/// Whether the text begins as one that Java's lenient parsing takes for the form: numbers of any length between the same
/// marks, and anything behind the last number or mark.
fn begins_like(text: &str, form: &str) -> bool {
    let mut rest = text;
    let mut form = form.chars().peekable();
    while let Some(mark) = form.next() {
        if mark != '0' {
            let Some(after) = rest.strip_prefix(mark) else { return false };
            rest = after;
            continue;
        }
        while form.next_if_eq(&'0').is_some() {}
        let digits = rest.trim_start_matches([' ', '\t']).trim_start_matches('-');
        rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() == digits.len() {
            return false;
        }
    }
    true
}

/// A number as Java writes it: a whole one if it has no fraction and 64 bits, else a float or double. None where it is no
/// `BigDecimal`.
fn number(token: &str) -> Result<Option<String>, String> {
    let Some(decimal) = Decimal::parse(token) else { return Ok(None) };
    if let Some(whole) = decimal.whole() {
        return Ok(Some(whole.to_string()));
    }
    if decimal.scale == 0 {
        let sign = if decimal.negative { "-" } else { "" };
        return Ok(Some(format!("{sign}{}", decimal.digits)));
    }
    let shown = match (token.parse::<f32>(), token.parse::<f64>()) {
        (Ok(float), _) if float.is_finite() => {
            java_float(&format!("{float:e}"), &format!("{float:.1e}"), |two| two.parse() == Ok(float))
        }
        (_, Ok(double)) if double.is_finite() => {
            java_float(&format!("{double:e}"), &format!("{double:.1e}"), |two| two.parse() == Ok(double))
        }
        _ => return Err("a number beyond those of 64 bits".to_owned()),
    };
    Ok(Some(shown))
}

/// `BigDecimal`: digits × 10^−scale.
struct Decimal {
    negative: bool,
    /// Without zeros before.
    digits: String,
    scale: i64,
}

impl Decimal {
    fn parse(token: &str) -> Option<Self> {
        let negative = token.starts_with('-');
        let unsigned = token.strip_prefix(['+', '-']).unwrap_or(token);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [integer, fraction].concat();
        if all.is_empty() || !all.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let digits = all.trim_start_matches('0').to_owned();
        let scale = i64::try_from(fraction.len()).ok()? - i64::from(exponent);
        // Java's scale has 32 bits.
        i32::try_from(scale).ok()?;
        Some(Self { negative, digits, scale })
    }

    /// `longValueExact`
    fn whole(&self) -> Option<i64> {
        let significant = self.digits.trim_end_matches('0');
        let zeros = i64::try_from(self.digits.len() - significant.len()).ok()? - self.scale;
        if significant.is_empty() {
            return Some(0);
        }
        let power = 10_i128.checked_pow(u32::try_from(zeros).ok()?)?;
        let unsigned = significant.parse::<i128>().ok()?.checked_mul(power)?;
        i64::try_from(if self.negative { -unsigned } else { unsigned }).ok()
    }
}

/// `Float.toString` and `Double.toString` of what Rust writes as `d.ddde±n`, in as few digits as tell it from others: plain from 10⁻³ up
/// to 10⁷. Java takes two digits where they are nearer than one: `two` is that, and `is_same` tells whether it is the number still.
fn java_float(shortest: &str, two: &str, is_same: impl Fn(&str) -> bool) -> String {
    let scientific = if !shortest.contains('.') && !two.contains(".0e") && is_same(two) { two } else { shortest };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |mantissa| ("-", mantissa));
    let digits = mantissa.replace('.', "");
    let point = usize::try_from(exponent + 1).unwrap_or_default();
    match exponent {
        0..=6 => {
            let digits = format!("{digits:0<width$}", width = point + 1);
            format!("{sign}{}.{}", &digits[..point], &digits[point..])
        }
        -3..=-1 => {
            let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or_default());
            format!("{sign}0.{zeros}{digits}")
        }
        _ => {
            let fraction = if digits.len() > 1 { &digits[1..] } else { "0" };
            format!("{sign}{}.{fraction}E{exponent}", &digits[..1])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(literal: &str) -> Result<Option<String>, String> {
        header_value(literal).map(|value| value.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn literals_come_out_as_of_connect() {
        // What Connect 4.1.1's InsertHeader and SimpleHeaderConverter made of them.
        let table = [
            ("", Some("")),
            ("hello", Some("hello")),
            ("hello world", Some("hello world")),
            ("null", None),
            ("true", Some("true")),
            ("false", Some("false")),
            ("TRUE", Some("TRUE")),
            ("True", Some("True")),
            ("true}", Some("true}")),
            ("null,", Some("null,")),
            ("0", Some("0")),
            ("1", Some("1")),
            ("-1", Some("-1")),
            ("+5", Some("5")),
            ("127", Some("127")),
            ("128", Some("128")),
            ("-128", Some("-128")),
            ("300", Some("300")),
            ("70000", Some("70000")),
            ("5000000000", Some("5000000000")),
            ("9223372036854775807", Some("9223372036854775807")),
            ("9223372036854775808", Some("9223372036854775808")),
            ("99999999999999999999999999", Some("99999999999999999999999999")),
            ("007", Some("7")),
            ("1.0", Some("1")),
            ("1.5", Some("1.5")),
            ("1.50", Some("1.5")),
            ("-0.0", Some("0")),
            ("0.1", Some("0.1")),
            ("3.14159", Some("3.14159")),
            ("3.141592653589793", Some("3.1415927")),
            ("1e3", Some("1000")),
            ("1E3", Some("1000")),
            ("1e-400", Some("0.0")),
            ("1.0e10", Some("10000000000")),
            // The shortest number that is nearest to the float, as of Java 19; before it was 1.23456792E8.
            ("123456789.5", Some("1.2345679E8")),
            ("1.", Some("1")),
            ("+.5", Some("0.5")),
            (".5", Some(".5")),
            ("-.5", Some("-0.5")),
            ("1e", Some("1e")),
            ("0x1F", Some("0x1F")),
            ("1_000", Some("1_000")),
            ("12a", Some("12a")),
            ("1-2", Some("1-2")),
            ("-", Some("-")),
            ("+", Some("+")),
            ("--1", Some("--1")),
            ("2019-08-23", Some("2019-08-23")),
            ("2019-08-23T14:34:54.346Z", Some("2019-08-23T14:34:54.346Z")),
            ("14:34:54.346Z", Some("14:34:54.346Z")),
            ("2019-08-23T14\\:34\\:54.346Z", Some("2019-08-23T14:34:54.346Z")),
            ("14\\:34\\:54.346Z", Some("14:34:54.346Z")),
            ("2019-08-23T14:34:54Z", Some("2019-08-23T14:34:54Z")),
            ("1969-12-31", Some("00:00:00.000Z")),
            ("1970-01-01", Some("00:00:00.000Z")),
            ("1970-01-02", Some("1970-01-02")),
            ("1970-01-02T00:00:00.000Z", Some("1970-01-02")),
            ("1970-01-01T10:00:00.000Z", Some("10:00:00.000Z")),
            ("\"hello\"", Some("\"hello\"")),
            ("\"1\"", Some("\"1\"")),
            ("\"", Some("\"")),
            ("\"a", Some("\"a")),
            ("a\"b", Some("a\"b")),
            ("}", Some("}")),
            ("]", Some("]")),
            ("a:b", Some("a:b")),
            ("a,b", Some("a,b")),
            ("a\\:b", Some("a\\:b")),
            ("a\\,b", Some("a\\,b")),
            ("\\", Some("\\")),
            ("a\\\\b", Some("a\\\\b")),
            ("Ünïcödé", Some("Ünïcödé")),
            ("line\nbreak", Some("line\nbreak")),
            ("tab\there", Some("tab\there")),
            ("1 2", Some("1 2")),
            ("1,2", Some("1")),
            ("1:2", Some("1")),
            ("12:30", Some("12")),
            ("12:30:45", Some("12")),
            ("msk-eu-1", Some("msk-eu-1")),
            ("us-east-1", Some("us-east-1")),
            ("v1.2.3", Some("v1.2.3")),
            ("1.2.3", Some("1.2.3")),
            ("2024", Some("2024")),
            ("20240101", Some("20240101")),
            ("2024-01", Some("2024-01")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("10.0.0.1:9092", Some("10.0.0.1:9092")),
            ("host:9092", Some("host:9092")),
            ("http://x/y", Some("http://x/y")),
            ("${x}", Some("${x}")),
            ("a=b;c=d", Some("a=b;c=d")),
            ("-5.", Some("-5")),
            ("+1e2", Some("100")),
            ("100.00", Some("100")),
            ("1e0", Some("1")),
            ("-1", Some("-1")),
            ("1.0E-5", Some("1.0E-5")),
            // One digit would do.
            ("3E-45", Some("2.8E-45")),
            ("0.00001", Some("1.0E-5")),
            ("1234567.0", Some("1234567")),
            ("12345678.0", Some("12345678")),
            ("0.001", Some("0.001")),
            ("0.0001", Some("1.0E-4")),
            ("16777217.0", Some("16777217")),
            ("3.4028235e38", Some("3.4028235E38")),
            ("3.5e38", Some("3.5E38")),
            ("1e39", Some("1.0E39")),
            ("1.1e39", Some("1.1E39")),
            ("4.9e-324", Some("0.0")),
            ("1e-46", Some("0.0")),
            ("NaN", Some("NaN")),
            ("Infinity", Some("Infinity")),
            ("-Infinity", Some("-Infinity")),
            ("1f", Some("1f")),
            ("1d", Some("1d")),
            ("1L", Some("1L")),
            ("0.0", Some("0")),
            ("-0", Some("0")),
            ("00", Some("0")),
            ("1e2147483648", Some("1e2147483648")),
            ("1e-2147483648", Some("1e-2147483648")),
            ("5e-1", Some("0.5")),
        ];
        for (literal, expected) in table {
            assert_eq!(value(literal), Ok(expected.map(str::to_owned)), "{literal}");
        }
    }

    #[test]
    fn what_would_change_more_than_its_look_is_refused() {
        let table = [
            ("[1]", "lists and maps"),
            ("{\"a\":1}", "lists and maps"),
            ("2019-13-45", "it is none"),
            ("2019-02-29", "it is none"),
            ("2019-08-2x", "it is none"),
            ("24:00:00.000Z", "it is none"),
            ("1e400", "beyond"),
            ("-1e400", "beyond"),
        ];
        for (literal, part) in table {
            let refused = value(literal).unwrap_err();
            assert!(refused.contains(part), "{literal}: {refused}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_judged(literal: String) {
            let _ = header_value(literal.trim());
        }

        #[test]
        fn plain_texts_stay(literal in "[a-zA-Z_./ ][a-zA-Z0-9_./ -]{0,40}") {
            let literal = literal.trim();
            proptest::prop_assume!(literal != "null" && !literal.starts_with(|c: char| c.is_ascii_digit() || c == '-'));
            proptest::prop_assert_eq!(value(literal), Ok(Some(literal.to_owned())));
        }
    }
}
