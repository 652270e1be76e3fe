//! `TimestampRouter`: topics named by their records' times.

use crate::config::calendar::Time;

/// Names topics by their own name and a record's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampRouter {
    topic_format: String,
    timestamp_format: Vec<Field>,
}

/// A part of a `SimpleDateFormat`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Text(String),
    /// A letter and how many of it.
    Number(char, usize),
}

/// Letters whose outcome depends on the language or the country that a Java worker happens to run in. So do names of months.
const OF_A_LOCALE: &str = "GYwWEaz";
/// Letters of numbers that do not.
const NUMBERS: &str = "yMLdDFuHkKhmsS";

impl TimestampRouter {
    /// # Errors
    /// Why `timestamp` is no `SimpleDateFormat`, or none whose outcome is certain.
    pub(super) fn new(topic: &str, timestamp: &str) -> Result<Self, String> {
        Ok(Self { topic_format: topic.to_owned(), timestamp_format: fields(timestamp)? })
    }

    /// The name a topic gets for a record of this time, ms since 1970 (UTC).
    #[must_use]
    pub fn route(&self, topic: &str, timestamp: i64) -> String {
        let mut time = String::new();
        let at = Time::of(timestamp);
        for field in &self.timestamp_format {
            match field {
                Field::Text(text) => time.push_str(text),
                // Two letters of the year are its last two digits.
                Field::Number('y', 2) => time.push_str(&format!("{:02}", at.year.rem_euclid(100))),
                Field::Number(letter, count) => time.push_str(&format!("{:0count$}", number(&at, *letter))),
            }
        }
        self.topic_format.replace("${topic}", topic).replace("${timestamp}", &time)
    }
}

/// Takes a `SimpleDateFormat` apart.
fn fields(format: &str) -> Result<Vec<Field>, String> {
    let mut fields = Vec::new();
    let mut text = String::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        if c == '\'' {
            rest = quoted(&rest[1..], &mut text)?;
        } else if c.is_ascii_alphabetic() {
            let count = rest.chars().take_while(|next| *next == c).count();
            rest = &rest[count..];
            if !text.is_empty() {
                fields.push(Field::Text(std::mem::take(&mut text)));
            }
            fields.push(field(c, count)?);
        } else {
            text.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    if !text.is_empty() {
        fields.push(Field::Text(text));
    }
    Ok(fields)
}

/// Text up to the closing quote, two of which are one in the text; returns what is left.
fn quoted<'f>(after: &'f str, text: &mut String) -> Result<&'f str, String> {
    if let Some(rest) = after.strip_prefix('\'') {
        text.push('\'');
        return Ok(rest);
    }
    let mut rest = after;
    loop {
        let (part, behind) = rest.split_once('\'').ok_or("Unterminated quote")?;
        text.push_str(part);
        match behind.strip_prefix('\'') {
            Some(more) => {
                text.push('\'');
                rest = more;
            }
            None => return Ok(behind),
        }
    }
}

fn field(letter: char, count: usize) -> Result<Field, String> {
    match (letter, count) {
        ('X', 1..=3) => Ok(Field::Text("Z".to_owned())),
        ('X', _) => Err(format!("invalid ISO 8601 format: length={count}")),
        ('Z', _) => Ok(Field::Text("+0000".to_owned())),
        // From three on, the month's name.
        ('M' | 'L', 3..) => Err(of_a_locale(letter, count)),
        _ if NUMBERS.contains(letter) => Ok(Field::Number(letter, count)),
        _ if OF_A_LOCALE.contains(letter) => Err(of_a_locale(letter, count)),
        _ => Err(format!("Illegal pattern character '{letter}'")),
    }
}

fn of_a_locale(letter: char, count: usize) -> String {
    let letters = letter.to_string().repeat(count);
    let instead = if letter == 'Y' { ", as the year of a week does; the year is y" } else { "" };
    format!("{letters} depends on the locale of a Java worker{instead}")
}

/// What a letter stands for at that time.
fn number(at: &Time, letter: char) -> i64 {
    let hour = at.milli_of_day / 3_600_000;
    match letter {
        'y' => at.year,
        'M' | 'L' => at.month,
        'd' => at.day,
        'D' => at.day_of_year,
        'F' => (at.day - 1) / 7 + 1,
        'u' => at.day_of_week,
        'H' => hour,
        'k' => (hour + 23) % 24 + 1,
        'K' => hour % 12,
        'h' => (hour + 11) % 12 + 1,
        'm' => at.milli_of_day / 60_000 % 60,
        's' => at.milli_of_day / 1_000 % 60,
        _ => at.milli_of_day % 1_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Among them leap days, ends of years and the year 10,000.
    const TIMES: [i64; 10] = [
        0,
        -1,
        1_566_570_894_346,
        1_709_251_199_999,
        1_735_689_599_999,
        951_782_400_000,
        4_102_444_800_000,
        253_402_300_800_000,
        1_704_067_200_000,
        1_704_110_400_000,
    ];

    #[test]
    fn times_are_written_as_by_connect() {
        // What Connect 4.1.1's TimestampRouter made of them or said.
        let table = [
            (
                "yyyyMMdd",
                Ok("19700101|19691231|20190823|20240229|20241231|20000229|21000101|100000101|20240101|20240101"),
            ),
            (
                "yyyy-MM-dd-HH",
                Ok(
                    "1970-01-01-00|1969-12-31-23|2019-08-23-14|2024-02-29-23|2024-12-31-23|2000-02-29-00|2100-01-01-00|10000-01-01-00|2024-01-01-00|2024-01-01-12",
                ),
            ),
            ("yy", Ok("70|69|19|24|24|00|00|00|24|24")),
            ("y", Ok("1970|1969|2019|2024|2024|2000|2100|10000|2024|2024")),
            ("yyy", Ok("1970|1969|2019|2024|2024|2000|2100|10000|2024|2024")),
            ("yyyyyy", Ok("001970|001969|002019|002024|002024|002000|002100|010000|002024|002024")),
            ("M", Ok("1|12|8|2|12|2|1|1|1|1")),
            ("MM", Ok("01|12|08|02|12|02|01|01|01|01")),
            ("d", Ok("1|31|23|29|31|29|1|1|1|1")),
            ("dd", Ok("01|31|23|29|31|29|01|01|01|01")),
            ("D", Ok("1|365|235|60|366|60|1|1|1|1")),
            ("DDD", Ok("001|365|235|060|366|060|001|001|001|001")),
            ("F", Ok("1|5|4|5|5|5|1|1|1|1")),
            ("u", Ok("4|3|5|4|2|2|5|6|1|1")),
            ("uu", Ok("04|03|05|04|02|02|05|06|01|01")),
            ("H", Ok("0|23|14|23|23|0|0|0|0|12")),
            ("HH", Ok("00|23|14|23|23|00|00|00|00|12")),
            ("k", Ok("24|23|14|23|23|24|24|24|24|12")),
            ("kk", Ok("24|23|14|23|23|24|24|24|24|12")),
            ("K", Ok("0|11|2|11|11|0|0|0|0|0")),
            ("KK", Ok("00|11|02|11|11|00|00|00|00|00")),
            ("h", Ok("12|11|2|11|11|12|12|12|12|12")),
            ("hh", Ok("12|11|02|11|11|12|12|12|12|12")),
            ("m", Ok("0|59|34|59|59|0|0|0|0|0")),
            ("mm", Ok("00|59|34|59|59|00|00|00|00|00")),
            ("s", Ok("0|59|54|59|59|0|0|0|0|0")),
            ("ss", Ok("00|59|54|59|59|00|00|00|00|00")),
            ("S", Ok("0|999|346|999|999|0|0|0|0|0")),
            ("SS", Ok("00|999|346|999|999|00|00|00|00|00")),
            ("SSS", Ok("000|999|346|999|999|000|000|000|000|000")),
            ("SSSSSS", Ok("000000|000999|000346|000999|000999|000000|000000|000000|000000|000000")),
            ("X", Ok("Z|Z|Z|Z|Z|Z|Z|Z|Z|Z")),
            ("XX", Ok("Z|Z|Z|Z|Z|Z|Z|Z|Z|Z")),
            ("XXX", Ok("Z|Z|Z|Z|Z|Z|Z|Z|Z|Z")),
            ("Z", Ok("+0000|+0000|+0000|+0000|+0000|+0000|+0000|+0000|+0000|+0000")),
            ("ZZZZ", Ok("+0000|+0000|+0000|+0000|+0000|+0000|+0000|+0000|+0000|+0000")),
            ("L", Ok("1|12|8|2|12|2|1|1|1|1")),
            ("LL", Ok("01|12|08|02|12|02|01|01|01|01")),
            ("yyyy'T'MM", Ok("1970T01|1969T12|2019T08|2024T02|2024T12|2000T02|2100T01|10000T01|2024T01|2024T01")),
            ("yyyy''MM", Ok("1970'01|1969'12|2019'08|2024'02|2024'12|2000'02|2100'01|10000'01|2024'01|2024'01")),
            (
                "'it''s' yyyy",
                Ok(
                    "it's 1970|it's 1969|it's 2019|it's 2024|it's 2024|it's 2000|it's 2100|it's 10000|it's 2024|it's 2024",
                ),
            ),
            ("''''", Ok("''|''|''|''|''|''|''|''|''|''")),
            ("yyyyMMdd'", Err("Unterminated quote")),
            ("'", Err("Unterminated quote")),
            ("XXXX", Err("invalid ISO 8601 format: length=4")),
            ("q", Err("Illegal pattern character 'q'")),
            ("b", Err("Illegal pattern character 'b'")),
            ("T", Err("Illegal pattern character 'T'")),
            ("e", Err("Illegal pattern character 'e'")),
            ("c", Err("Illegal pattern character 'c'")),
            (
                "yyyy_MM.dd",
                Ok(
                    "1970_01.01|1969_12.31|2019_08.23|2024_02.29|2024_12.31|2000_02.29|2100_01.01|10000_01.01|2024_01.01|2024_01.01",
                ),
            ),
            (
                "hh 'o''clock'",
                Ok(
                    "12 o'clock|11 o'clock|02 o'clock|11 o'clock|11 o'clock|12 o'clock|12 o'clock|12 o'clock|12 o'clock|12 o'clock",
                ),
            ),
            ("é yyyy", Ok("é 1970|é 1969|é 2019|é 2024|é 2024|é 2000|é 2100|é 10000|é 2024|é 2024")),
            (
                "yyyyMMddHHmmssSSS",
                Ok(
                    "19700101000000000|19691231235959999|20190823143454346|20240229235959999|20241231235959999|20000229000000000|21000101000000000|100000101000000000|20240101000000000|20240101120000000",
                ),
            ),
            ("C", Err("Illegal pattern character 'C'")),
            ("1yyyy2", Ok("119702|119692|120192|120242|120242|120002|121002|1100002|120242|120242")),
        ];
        for (format, expected) in table {
            let written = TimestampRouter::new("${timestamp}", format)
                .map(|router| TIMES.map(|time| router.route("t", time)).join("|"));
            assert_eq!(written, expected.map(str::to_owned).map_err(str::to_owned), "{format}");
        }
    }

    #[test]
    fn what_a_locale_decides_is_refused() {
        for format in ["MMM", "LLLL", "EEE", "a", "G", "z", "w", "W", "YYYY"] {
            let refused = TimestampRouter::new("", &format!("yyyy-{format}")).unwrap_err();
            assert!(refused.starts_with(&format!("{format} depends on the locale")), "{refused}");
        }
    }

    #[test]
    fn both_placeholders_are_filled() {
        let route = |topic, timestamp| TimestampRouter::new(topic, timestamp).unwrap().route("A.t", TIMES[2]);
        assert_eq!(route("${topic}-${timestamp}", "yyyyMMdd"), "A.t-20190823");
        assert_eq!(route("${timestamp}.${topic}.${topic}", "HH"), "14.A.t.A.t");
        assert_eq!(route("fixed", "HH"), "fixed");
        assert_eq!(route("${other}", "HH"), "${other}");
    }

    #[test]
    fn no_time_is_out_of_reach() {
        for time in [i64::MIN, i64::MAX] {
            let router = TimestampRouter::new("${timestamp}", "yyyy-MM-dd D F u HH:mm:ss.SSS").unwrap();
            assert!(!router.route("t", time).is_empty());
        }
    }
}
