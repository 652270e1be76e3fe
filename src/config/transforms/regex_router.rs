//! `RegexRouter`: topics renamed by a regular expression.

use std::borrow::Cow;

use fancy_regex::Regex;

use crate::config::{RegexList, regex_list::compile_as, replacement::Replacement};

/// Renames topics whose whole name matches a Java regular expression.
#[derive(Debug, Clone)]
pub struct RegexRouter {
    whole: RegexList,
    part: Regex,
    replacement: Replacement,
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
        let replacement =
            Replacement::parse(replacement, &part).map_err(|reason| Wrong { key: "replacement", reason })?;
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
            Ok(Some(captures)) => {
                let found = captures.get(0).map_or(0..0, |found| found.start()..found.end());
                let mut name = topic[..found.start].to_owned();
                self.replacement.push(&captures, &mut name);
                name.push_str(&topic[found.end..]);
                Cow::Owned(name)
            }
            Ok(None) | Err(_) => Cow::Borrowed(topic),
        }
    }
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
