//! Lists of Java regular expressions, as `topics`, `topics.exclude` and the like hold them.

use fancy_regex::Regex;

use super::{ConfigError, java_regex};

/// A whole-string, Java-flavoured regex list: include or exclude.
///
/// The items of the list are alternatives of one expression, as in Kafka's `MirrorUtils.compilePatternList`, so that
/// groups and flags reach over commas as they do there.
#[derive(Debug, Clone)]
pub struct RegexList {
    /// Absent for the empty list, which matches nothing.
    regex: Option<Regex>,
}

impl RegexList {
    /// Compiles the items of a list.
    ///
    /// # Errors
    /// One error for each item that is no regular expression, or that uses what Java knows and this engine lacks; it
    /// names `key` and the item.
    pub fn parse(key: &str, items: &[String]) -> Result<Self, Vec<ConfigError>> {
        if items.is_empty() {
            return Ok(Self { regex: None });
        }
        match compile(&items.join("|")) {
            Ok(regex) => Ok(Self { regex: Some(regex) }),
            Err(reason_of_all) => {
                let mut errors: Vec<_> = items
                    .iter()
                    .filter_map(|item| compile(item).err().map(|reason| bad_item(key, item, &reason)))
                    .collect();
                // Each item may be right alone and wrong in company: two groups of one name.
                if errors.is_empty() {
                    errors.push(bad_item(key, &items.join(","), &reason_of_all));
                }
                Err(errors)
            }
        }
    }

    /// A list of one item. `Err` is the reason why it can't be used.
    pub(super) fn of_one(pattern: &str) -> Result<Self, String> {
        Ok(Self { regex: Some(compile(pattern)?) })
    }

    /// A list that matches nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self { regex: None }
    }

    /// Whether an item of the list matches the whole text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Some(regex) = &self.regex else {
            return false;
        };
        regex.is_match(text).unwrap_or_else(|error| {
            // Only the backtracking limit ends here: a pattern that explodes on this very text.
            tracing::warn!(pattern = regex.as_str(), text, %error, "pattern given up, counted as not matching");
            false
        })
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    compile_as(pattern, |translated| format!(r"\A(?:{translated})\z"))
}

/// A Java pattern as it stands, or within another of this engine. `Err` is the reason why it can't be used, in one line.
pub(super) fn compile_as(pattern: &str, within: impl FnOnce(String) -> String) -> Result<Regex, String> {
    let compiled = Regex::new(&within(java_regex::translate(pattern)?));
    compiled.map_err(|error| {
        let reason = error.to_string();
        reason.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    })
}

fn bad_item(key: &str, item: &str, reason: &str) -> ConfigError {
    ConfigError::invalid(key, item, format_args!("not a regular expression kmirror can use: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> RegexList {
        let items: Vec<String> =
            if text.is_empty() { Vec::new() } else { text.split(',').map(|item| item.trim().to_owned()).collect() };
        RegexList::parse("topics", &items).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
    }

    #[test]
    fn whole_strings_are_matched() {
        // (list, what matches, what does not)
        let table: &[(&str, &[&str], &[&str])] = &[
            ("", &[], &["", "a", "topic"]),
            (".*", &["", "a", "a.b"], &[]),
            ("topic1", &["topic1"], &["topic12", "atopic1", ""]),
            ("topic1,topic2", &["topic1", "topic2"], &["topic", "topic1topic2"]),
            ("topic1, prefix.*", &["topic1", "prefix-x"], &["xprefix"]),
            (r"^ExampleTopic[\w]*", &["ExampleTopic", "ExampleTopic1_a"], &["AnExampleTopic", "ExampleTopic-1"]),
            ("^(?!foo).*", &["bar", "afoo"], &["foo", "foobar"]),
            (r"^orders$", &["orders"], &["orders2"]),
            (r"(?<!x)y|.*(?<=a)b", &["ab", "xab", "y"], &["b", "xb"]),
            ("a*+b", &["aab", "b"], &["aa"]),
            ("a*+ab", &[], &["ab", "aab"]),
            ("(?>a|ab)c", &["ac"], &["abc"]),
            ("(?>a|aa)a", &["aa"], &["a", "aaa"]),
            ("a|ab", &["a", "ab"], &["abb"]),
            // A group that spans the comma, as Java sees it too.
            ("(a,b)c", &["ac", "bc"], &["a", "bc)"]),
            ("(?i)orders,Items", &["ORDERS", "items"], &["order"]),
            (r"\Qa.b\E.*", &["a.b", "a.bc"], &["aXb"]),
            (r"\p{Alpha}+\p{Digit}", &["abc1"], &["abc", "1"]),
            (r"[\p{Lower}\p{Digit}]+", &["abc1"], &["ABC"]),
            (r"[a-z&&[^bc]]+", &["ad"], &["ab"]),
            (r"[a-c[x-z]]+", &["axz"], &["d"]),
            (
                r"mm2.*\.internal, .*\.replica, __.*",
                &["mm2-offset-syncs.b.internal", "a.replica", "__consumer_offsets"],
                &["my.internal", "orders", "replica", "_x"],
            ),
            (r".*[\-\.]internal, .*\.replica, __.*", &["my.internal", "my-internal"], &["internal"]),
        ];
        for (text, matching, other) in table {
            let list = list(text);
            for topic in *matching {
                assert!(list.matches(topic), "{text} should match {topic:?}");
            }
            for topic in *other {
                assert!(!list.matches(topic), "{text} should not match {topic:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for item in [
            "(",
            "*",
            "[z-a]",
            r"\h+",
            "(?=a)*",
            r"\p{javaLowerCase}",
            r"a\K",
            "a{2}+",
            "[[:alpha:]]",
            "(?~a)",
            r"(a)\g<1>",
            "a\\",
        ] {
            let errors = RegexList::parse("topics", &["fine".to_owned(), item.to_owned()]).expect_err(item);
            assert_eq!(errors.len(), 1, "{item}: {errors:?}");
            assert_eq!(errors[0].key, "topics");
            let start = format!("Invalid value {item} for configuration topics: ");
            assert!(errors[0].message.starts_with(&start), "{errors:?}");
        }
    }

    #[test]
    fn items_that_clash_are_named_together() {
        let items = ["(?<n>a)", "(?<n>b)"].map(str::to_owned);
        if let Err(errors) = RegexList::parse("topics", &items) {
            assert!(errors[0].message.contains("(?<n>a),(?<n>b)"), "{errors:?}");
        }
    }

    #[test]
    fn an_exploding_pattern_ends() {
        let list = list(r"(?=(a+)+$)\1b");
        assert!(!list.matches(&format!("{}c", "a".repeat(200))));
    }
}
