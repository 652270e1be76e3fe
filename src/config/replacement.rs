//! What a match of a Java regular expression becomes.

use fancy_regex::{Captures, Regex};

/// Text with the groups of a match in it, as `$1` or `${name}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replacement(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Replacement {
    /// Takes a replacement apart as `Matcher.appendReplacement` does, and says in its words what it can't be.
    pub(super) fn parse(replacement: &str, regex: &Regex) -> Result<Self, String> {
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
        Ok(Self(pieces))
    }

    /// Adds what a match becomes.
    pub(super) fn push(&self, captures: &Captures<'_, str>, to: &mut String) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => to.push_str(text),
                // A group that took no part in the match is nothing.
                Piece::Group(group) => to.push_str(captures.get(*group).map_or("", |group| group.as_str())),
            }
        }
    }
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
