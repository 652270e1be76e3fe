//! Java's regular expressions in the terms of the engine used here.
//!
//! Both agree in nearly all; this is about the rest: what only Java has is translated or refused, and what looks the
//! same and means something else is refused. Nothing may silently select other topics than MirrorMaker would.

/// Java's POSIX classes, which this engine writes `[[:name:]]`.
const POSIX_CLASSES: [&str; 13] = [
    "Lower", "Upper", "ASCII", "Alpha", "Digit", "Alnum", "Punct", "Graph", "Print", "Blank", "Cntrl", "XDigit",
    "Space",
];

/// Escapes of this engine that Java lacks or gives another meaning.
const FOREIGN_ESCAPES: [char; 6] = ['h', 'H', 'K', 'O', 'N', 'g'];

/// Openings of groups that Java lacks.
const FOREIGN_GROUPS: [&str; 5] = ["(?(", "(?~", "(*", "(?P", "(?&"];

/// Rewrites a Java pattern. `Err` is the reason why it cannot be used.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut class_depth = 0_u32;
    while let Some(c) = rest.chars().next() {
        if c == '\\' {
            rest = escape(&rest[1..], &mut out)?;
            continue;
        }
        match c {
            '[' => {
                class_depth += 1;
                // A class of its own here; in Java a set of the characters between the colons.
                if class_depth > 1 && rest.starts_with("[:") {
                    return Err("[:name:] is not of Java's syntax; \\p{Name} is".to_owned());
                }
            }
            ']' => class_depth = class_depth.saturating_sub(1),
            '(' if class_depth == 0 => {
                if let Some(group) = FOREIGN_GROUPS.into_iter().find(|group| rest.starts_with(group)) {
                    return Err(format!("{group} is not of Java's syntax"));
                }
            }
            // Here this repeats the repetition; in Java it makes it possessive.
            '}' if class_depth == 0 && rest.starts_with("}+") => {
                return Err("a possessive {n,m}+ is not supported; (?>…{n,m}) says the same".to_owned());
            }
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    Ok(out)
}

/// Handles what follows a backslash; returns what is left of the pattern.
fn escape<'a>(after: &'a str, out: &mut String) -> Result<&'a str, String> {
    let Some(c) = after.chars().next() else {
        return Err("it ends in a backslash".to_owned());
    };
    let rest = &after[c.len_utf8()..];
    if c == 'Q' {
        let (literal, rest) = rest.split_once("\\E").unwrap_or((rest, ""));
        for c in literal.chars() {
            // As a number: what a character means differs between inside and outside of brackets.
            if c.is_ascii_alphanumeric() { out.push(c) } else { out.push_str(&format!("\\x{{{:x}}}", u32::from(c))) }
        }
        return Ok(rest);
    }
    if FOREIGN_ESCAPES.contains(&c) {
        return Err(format!("\\{c} is not supported"));
    }
    if let 'p' | 'P' = c
        && let Some((name, rest)) = rest.strip_prefix('{').and_then(|braced| braced.split_once('}'))
        && POSIX_CLASSES.contains(&name)
    {
        let negation = if c == 'P' { "^" } else { "" };
        out.push_str(&format!("[[:{negation}{}:]]", name.to_ascii_lowercase()));
        return Ok(rest);
    }
    out.push('\\');
    out.push(c);
    // The braces of `\p{L}` and `\x{41}` are no repetition.
    let braced =
        if matches!(c, 'p' | 'P' | 'x') && rest.starts_with('{') { rest.find('}').map_or(0, |end| end + 1) } else { 0 };
    out.push_str(&rest[..braced]);
    Ok(&rest[braced..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_touched() {
        let table = [
            (r"^(?!foo).*", r"^(?!foo).*"),
            (r".*[\-\.]internal", r".*[\-\.]internal"),
            (r"\Qa.b|c\E|d", r"a\x{2e}b\x{7c}c|d"),
            (r"[\Qa-b\E]", r"[a\x{2d}b]"),
            (r"\Qa.b", r"a\x{2e}b"),
            (r"\\Qa\\E", r"\\Qa\\E"),
            (r"\p{Alnum}[\P{Punct}]", r"[[:alnum:]][[[:^punct:]]]"),
            (r"\p{L}+\x{41}+", r"\p{L}+\x{41}+"),
            (r"a{1,2}b+", r"a{1,2}b+"),
            (r"(?>a{1,2})+", r"(?>a{1,2})+"),
            (r"[}+]", r"[}+]"),
            (r"[(*]", r"[(*]"),
        ];
        for (java, ours) in table {
            assert_eq!(translate(java).as_deref(), Ok(ours), "{java}");
        }
    }
}
