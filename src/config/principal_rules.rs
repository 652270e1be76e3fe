//! Who a principal of the source is on the target: rules in the syntax of Kafka's `ssl.principal.mapping.rules`
//! (`SslPrincipalMapper`).

use fancy_regex::Regex;

use super::{ConfigError, RegexList, regex_list::compile_as, replacement::Replacement};

/// Rules for names of principals, of which the first that matches holds. By default each keeps its name.
#[derive(Debug, Clone)]
pub struct PrincipalRules(Vec<Rule>);

#[derive(Debug, Clone)]
enum Rule {
    /// `DEFAULT`
    Keep,
    /// `RULE:pattern/replacement/` with `L` or `U`, or neither, behind it.
    Rename { whole: RegexList, part: Box<Regex>, replacement: Replacement, case: Option<Case> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
}

impl Default for PrincipalRules {
    fn default() -> Self {
        Self(vec![Rule::Keep])
    }
}

impl PrincipalRules {
    /// Reads the value of `key`: rules separated by commas.
    ///
    /// # Errors
    /// What is no rule, or can't be used.
    pub fn parse(key: &str, text: &str) -> Result<Self, ConfigError> {
        read(text).map(Self).map_err(|reason| ConfigError::invalid(key, text, reason))
    }

    /// The name on the target of a principal of the source, both without their type (`User:`); none where no rule matches.
    #[must_use]
    pub fn name(&self, name: &str) -> Option<String> {
        self.0.iter().find_map(|rule| match rule {
            Rule::Keep => Some(name.to_owned()),
            Rule::Rename { whole, .. } if !whole.matches(name) => None,
            Rule::Rename { part, replacement, case, .. } => {
                let renamed = replace_all(name, part, replacement);
                Some(match case {
                    None => renamed,
                    Some(Case::Lower) => renamed.to_lowercase(),
                    Some(Case::Upper) => renamed.to_uppercase(),
                })
            }
        })
    }
}

/// `Err` is the reason why the rules can't be used.
fn read(text: &str) -> Result<Vec<Rule>, String> {
    let mut rules = Vec::new();
    let mut rest = skip(text);
    while !rest.is_empty() {
        let (rule, after) = rule(rest)?;
        rules.push(rule);
        let after = after.trim_start();
        if !after.is_empty() && !after.starts_with(',') {
            return Err(format!("a comma is expected before {after}"));
        }
        rest = skip(after);
    }
    if rules.is_empty() { Err("there is no rule in it; DEFAULT keeps all names".to_owned()) } else { Ok(rules) }
}

/// Rules may have any number of commas between them.
fn skip(text: &str) -> &str {
    text.trim_start_matches(|c: char| c == ',' || c.is_ascii_whitespace())
}

/// The first rule of a text, and what stands behind it.
fn rule(text: &str) -> Result<(Rule, &str), String> {
    if let Some(after) = text.strip_prefix("DEFAULT") {
        return Ok((Rule::Keep, after));
    }
    let unreadable = || format!("neither DEFAULT nor RULE:pattern/replacement/ with L or U behind it: {text}");
    let body = text.strip_prefix("RULE:").ok_or_else(unreadable)?;
    let (pattern, body) = until_slash(body).ok_or_else(unreadable)?;
    let (written, after) = until_slash(body).ok_or_else(unreadable)?;
    let (case, after) = match after.chars().next() {
        Some('L') => (Some(Case::Lower), &after[1..]),
        Some('U') => (Some(Case::Upper), &after[1..]),
        _ => (None, after),
    };
    let wrong = |reason| format!("pattern {pattern} is no regular expression kmirror can use: {reason}");
    let whole = RegexList::of_one(pattern).map_err(wrong)?;
    let part = compile_as(pattern, |translated| translated).map_err(wrong)?;
    let replacement = Replacement::parse(&without_stray_groups(written, &part), &part)
        .map_err(|reason| format!("replacement {written} can't be used: {reason}"))?;
    Ok((Rule::Rename { whole, part: Box::new(part), replacement, case }, after))
}

/// What stands before the next slash that has no backslash before it, and what stands behind that.
fn until_slash(text: &str) -> Option<(&str, &str)> {
    let mut is_escaped = false;
    let end = text.char_indices().find_map(|(at, c)| {
        let is_end = c == '/' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end.then_some(at)
    })?;
    Some((&text[..end], &text[end + 1..]))
}

/// A reference to a group that a pattern with groups lacks is text.
fn without_stray_groups(replacement: &str, pattern: &Regex) -> String {
    let groups = pattern.captures_len().saturating_sub(1);
    let mut text = String::with_capacity(replacement.len());
    let mut rest = replacement.chars().peekable();
    while let Some(c) = rest.next() {
        let group = rest.peek().and_then(|next| next.to_digit(10));
        if c == '$' && groups > 0 && group.is_some_and(|group| usize::try_from(group).is_ok_and(|group| group > groups))
        {
            text.push('\\');
        }
        text.push(c);
        if c == '\\' {
            text.extend(rest.next());
        }
    }
    text
}

/// `String.replaceAll`: all matches, also the empty one behind a match that reaches the end.
fn replace_all(name: &str, pattern: &Regex, replacement: &Replacement) -> String {
    let mut renamed = String::new();
    let (mut copied, mut from) = (0, 0);
    // Whatever made the engine give up on a part would have done so on the whole.
    while let Ok(Some(captures)) = pattern.captures_from_pos(name, from)
        && let Some(found) = captures.get(0)
    {
        renamed.push_str(&name[copied..found.start()]);
        replacement.push(&captures, &mut renamed);
        copied = found.end();
        from = if found.start() < found.end() {
            found.end()
        } else {
            let Some(next) = name[found.end()..].chars().next() else { break };
            found.end() + next.len_utf8()
        };
    }
    renamed.push_str(&name[copied..]);
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PrincipalRules, String> {
        PrincipalRules::parse("k", text).map_err(|error| error.message)
    }

    #[test]
    fn the_first_rule_that_matches_holds() {
        let text = r"RULE:svc-(\w+)@east/$1/U, RULE:(\w+)@(east|west)/$2.$1/, RULE:X=(.*)/$1/L, DEFAULT";
        let rules = parse(text).unwrap();
        for (name, expected) in [
            ("svc-orders@east", "ORDERS"),
            ("anna@west", "west.anna"),
            ("X=Berta", "berta"),
            ("svc-orders@north", "svc-orders@north"),
        ] {
            assert_eq!(rules.name(name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(PrincipalRules::default().name("anna").as_deref(), Some("anna"));
        let only = parse("RULE:a(.*)/b$1/").unwrap();
        assert_eq!((only.name("anna").as_deref(), only.name("bert")), (Some("bnna"), None));
    }

    #[test]
    fn names_are_replaced_as_by_java() {
        // (rule, name, what Kafka 4.1.1's SslPrincipalMapper made of it)
        let table = [
            (r"RULE:.*/x/", "a", "xx"),
            (r"RULE:a|ab/x/", "ab", "xb"),
            (r"RULE:(a)(b)/<$1|$7>/", "ab", "<a|$7>"),
            (r"RULE:(a)(b)/$12/", "ab", "a2"),
            (r"RULE:(.*)/$2/U", "a", "$2$2"),
            (r"RULE:()|a/x/", "a", "xax"),
            (r"RULE:a*?/-/", "aaa", "-a-a-a-"),
            (r"RULE:^(.*)$/\$1$1/", "ab", "$1ab"),
            (r"RULE:a\/(.)/$1\/a/", "a/b", "b/a"),
            (r"RULE:^X=([^,]|\\,)*,(\w+)$/$2/", r"X=Berg\, Anna,north", "north"),
            (r"RULE:^é(.*)$/$1/", "éa", "a"),
        ];
        for (rule, name, expected) in table {
            let rules = parse(rule).unwrap_or_else(|reason| panic!("{rule}: {reason}"));
            assert_eq!(rules.name(name).as_deref(), Some(expected), "{rule} {name}");
        }
    }

    #[test]
    fn rules_are_told_apart() {
        let table = [
            ("DEFAULT", 1),
            ("RULE:a,b/c,d/", 1),
            ("RULE:DEFAULT,/RULE:x/U", 1),
            (" RULE:a/b/L ,DEFAULT ", 2),
            (", DEFAULT,, RULE:a/b/ ,", 2),
            (r"RULE:a\/,RULE:b/c/,RULE:d/e\/,/U,DEFAULT", 3),
        ];
        for (text, count) in table {
            let rules = parse(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
            assert_eq!(rules.0.len(), count, "{text}: {rules:?}");
        }
    }

    #[test]
    fn what_is_no_rule_is_named() {
        for text in [
            "",
            " , ",
            "Default",
            "DEFAULTS",
            "rule:a/b/",
            "RULE:a",
            "RULE:a/b",
            r"RULE:a/b\/",
            "RULE:a/b/l",
            "RULE:a/b/UL",
            "RULE:a/b/LDEFAULT",
            "RULE:a/b/ RULE:c/d/",
            "RULE:(/x/",
            "RULE:a/$1/",
        ] {
            let reason = parse(text).expect_err(text);
            let start = format!("Invalid value {text} for configuration k: ");
            assert!(reason.starts_with(&start) && !reason.contains('\n'), "{text}: {reason}");
        }
    }
}
