//! `RegexRouter`: topics renamed by a regular expression.

use std::borrow::Cow;

use fancy_regex::{Captures, Regex};

use crate::config::{RegexList, regex_list::compile_as};

/// Renames topics whose whole name matches a Java regular expression.
#[derive(Debug, Clone)]
pub struct RegexRouter {
    whole: RegexList,
    part: Regex,
    replacement: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

/// What is wrong with a router, and in which of its keys.
pub(super) struct Wrong {
    pub(super) key: &'static str,
    pub(super) reason: String,
}

impl RegexRouter {
    pub(super) fn new(regex: &str, replacement: &str) -> Result<Self, Wrong> {
        let of_regex = |reason| Wrong { key: "regex", reason: format!("Invalid regex: {reason}") };
        let whole = RegexList::of_one(regex).map_err(of_regex)?;
        let part = compile_as(regex, |translated| translated).map_err(of_regex)?;
        let replacement = pieces(replacement, &part).map_err(|reason| Wrong { key: "replacement", reason })?;
        Ok(Self { whole, part, replacement })
    }

    /// The name that a topic gets; its own where it does not match.
    #[must_use]
    pub fn route<'t>(&self, topic: &'t str) -> Cow<'t, str> {
        if !self.whole.matches(topic) {
            return Cow::Borrowed(topic);
        }
        // As `Matcher.replaceFirst`, which looks for the first match anew: it may be a part of the name. Whatever made the
        // engine give up on the part would have done so on the whole.
        match self.part.captures(topic) {
            Ok(Some(captures)) => Cow::Owned(self.replaced(topic, &captures)),
            Ok(None) | Err(_) => Cow::Borrowed(topic),
        }
    }

    fn replaced(&self, topic: &str, captures: &Captures<'_, str>) -> String {
        let found = captures.get(0).map_or(0..0, |found| found.start()..found.end());
        let mut name = topic[..found.start].to_owned();
        for piece in &self.replacement {
            match piece {
                Piece::Text(text) => name.push_str(text),
                // A group that took no part in the match is nothing.
                Piece::Group(group) => name.push_str(captures.get(*group).map_or("", |group| group.as_str())),
            }
        }
        name.push_str(&topic[found.end..]);
        name
    }
}

/// Takes a replacement apart as `Matcher.appendReplacement` does, and says in its words what it can't be.
fn pieces(replacement: &str, regex: &Regex) -> Result<Vec<Piece>, String> {
    let groups = regex.captures_len().saturating_sub(1);
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = replacement;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let escaped = rest.chars().next().ok_or("character to be escaped is missing")?;
                text.push(escaped);
                rest = &rest[escaped.len_utf8()..];
            }
            '$' => {
                let (group, after) = group_reference(rest, regex, groups)?;
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                pieces.push(Piece::Group(group));
                rest = after;
            }
            c => text.push(c),
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// What follows a `$`: the group's number, and what is left.
fn group_reference<'r>(rest: &'r str, regex: &Regex, groups: usize) -> Result<(usize, &'r str), String> {
    let Some(first) = rest.chars().next() else {
        return Err("Illegal group reference: group index is missing".to_owned());
    };
    if let Some(named) = rest.strip_prefix('{') {
        let length = named.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(named.len());
        let (name, after) = named.split_at(length);
        match name.chars().next() {
            None => return Err("named capturing group has 0 length name".to_owned()),
            Some(first) if first.is_ascii_digit() => {
                return Err(format!("capturing group name {{{name}}} starts with digit character"));
            }
            Some(_) => {}
        }
        let after = after.strip_prefix('}').ok_or("named capturing group is missing trailing '}'")?;
        let group = regex.capture_names().position(|known| known == Some(name));
        return Ok((group.ok_or_else(|| format!("No group with name {{{name}}}"))?, after));
    }
    let digit = |c: char| c.to_digit(10).and_then(|digit| usize::try_from(digit).ok());
    let mut group = digit(first).ok_or("Illegal group reference")?;
    if group > groups {
        return Err(format!("No group {group}"));
    }
    // As many digits as there are groups for.
    let mut after = &rest[1..];
    while let Some(longer) = after.chars().next().and_then(digit).map(|digit| group * 10 + digit)
        && longer <= groups
    {
        group = longer;
        after = &after[1..];
    }
    Ok((group, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_renamed_as_by_connect() {
        // (regex, replacement, topic, what Connect 4.1.1's RegexRouter made of it or said)
        let table = [
            (r"(.*)", r"mirror-$1", "a.b", Ok("mirror-a.b")),
            (r"a\.(.*)", r"$1", "a.b", Ok("b")),
            (r"a\.(.*)", r"$1", "xa.b", Ok("xa.b")),
            (r"a|ab", r"x", "ab", Ok("xb")),
            (r"(a)|ab", r"[$1]", "ab", Ok("[a]b")),
            (r"(a)?b", r"<$1>", "b", Ok("<>")),
            (r"(?<name>.*)-(\d+)", r"${name}_$2", "orders-12", Ok("orders_12")),
            (r"(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)", r"$11-$1-$12-$10", "abcdefghijk", Ok("k-a-a2-j")),
            (r"(a)b", r"$12", "ab", Ok("a2")),
            (r".*", r"$0$0", "t", Ok("tt")),
            (r"(.*)", r"\$1\\$1", "t", Ok("$1\\t")),
            (r"(.*)", r"", "t", Ok("")),
            (r"", r"x", "", Ok("x")),
            (r"", r"x", "t", Ok("t")),
            (r"(?i)ORDERS", r"o", "orders", Ok("o")),
            (r"[a-c]+", r"z", "abc", Ok("z")),
            (r"\Qa.b\E", r"q", "a.b", Ok("q")),
            (r"a*?", r"-", "aaa", Ok("-aaa")),
            (r".*?", r"-", "aaa", Ok("-aaa")),
            (r"(.+)\.(.+)", r"$2.$1", "A.t.x", Ok("x.A.t")),
            (r"A\.(?!internal).*", r"x", "A.internal", Ok("A.internal")),
            (r"(.*)", r"$2", "t", Err("No group 2")),
            (r"(.*)", r"$", "t", Err("Illegal group reference: group index is missing")),
            (r"(.*)", r"$x", "t", Err("Illegal group reference")),
            (r"(.*)", r"a\", "t", Err("character to be escaped is missing")),
            (r"(.*)", r"${n}", "t", Err("No group with name {n}")),
            (r"(.*)", r"${n", "t", Err("named capturing group is missing trailing '}'")),
            (r"(.*)", r"${}", "t", Err("named capturing group has 0 length name")),
            (r"(.*)", r"${1}", "t", Err("capturing group name {1} starts with digit character")),
            (r"(?<n>.*)", r"${n}", "t", Ok("t")),
            (r"(?<n1>.*)", r"${n1}x", "t", Ok("tx")),
            (r"(.*)", r"a$1b$1", "é", Ok("aébé")),
            (r"^(.*)$", r"x.$1", "t", Ok("x.t")),
        ];
        for (regex, replacement, topic, expected) in table {
            let routed = RegexRouter::new(regex, replacement).map(|router| router.route(topic).into_owned());
            let routed = routed.map_err(|wrong| wrong.reason);
            assert_eq!(routed, expected.map(str::to_owned).map_err(str::to_owned), "{regex} {replacement} {topic}");
        }
    }

    #[test]
    fn a_regex_that_is_none_is_named() {
        let Err(wrong) = RegexRouter::new("(", "x") else { panic!("( was taken") };
        assert!(wrong.key == "regex" && wrong.reason.starts_with("Invalid regex: "), "{}", wrong.reason);
        assert!(!wrong.reason.contains('\n'));
    }

    #[test]
    fn an_exploding_pattern_renames_nothing() {
        let Ok(router) = RegexRouter::new(r"(?=(a+)+$)\1b", "x") else { panic!("it is a pattern") };
        let topic = format!("{}c", "a".repeat(200));
        assert_eq!(router.route(&topic), topic);
    }
}
