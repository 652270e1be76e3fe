//! Which paths a Rust source file names. Not a parser: it knows comments, literals, modules, `use` trees and paths,
//! which is all that layering needs, and reads macros' arguments as code.

/// A path that a file names, from the crate's root (`crate`, `flow`, …) or as written (`axum`, `Router`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Segments. `self` and `super` are resolved; a glob ends in `*`.
    pub(crate) path: Vec<String>,
}

/// All paths of two or more segments in `text`, and all that `use` and `extern crate` name, tests included. `module` is
/// where the file stands below the crate's root. A `#[path]` attribute, which would make that a lie, is reported as a
/// path of its own.
pub(crate) fn paths(module: &[&str], text: &str) -> Vec<Named> {
    let tokens = tokens(text);
    let mut walk =
        Walk { tokens: &tokens, module: module.iter().map(ToString::to_string).collect(), found: Vec::new() };
    walk.run();
    walk.found
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Word(String),
    /// `::`
    Sep,
    Other(char),
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    line: usize,
}

fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let (mut i, mut line, mut counted) = (0, 1, 0);
    while i < chars.len() {
        line += chars[counted..i].iter().filter(|c| **c == '\n').count();
        counted = i;
        let c = at(i);
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && at(i) != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            i = after_block_comment(&chars, i);
        } else if c == '"' {
            i = after_string(&chars, i + 1);
        } else if c == '\'' {
            i = after_quote(&chars, i);
        } else if c.is_ascii_digit() {
            while is_word(at(i)) {
                i += 1;
            }
        } else if is_word(c) {
            let start = i;
            while is_word(at(i)) {
                i += 1;
            }
            let word: String = chars[start..i].iter().collect();
            if let Some(after) = after_raw_string(&chars, &word, i) {
                i = after;
            } else if word == "r" && at(i) == '#' && is_word(at(i + 1)) {
                // A raw identifier: the name follows.
                i += 1;
            } else {
                found.push(Token { kind: Kind::Word(word), line });
            }
        } else if c == ':' && at(i + 1) == ':' {
            found.push(Token { kind: Kind::Sep, line });
            i += 2;
        } else {
            if !c.is_whitespace() {
                found.push(Token { kind: Kind::Other(c), line });
            }
            i += 1;
        }
    }
    found
}

/// Block comments nest.
fn after_block_comment(chars: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut i = from;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn after_string(chars: &[char], from: usize) -> usize {
    let mut i = from;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    i
}

/// A character, or a lifetime.
fn after_quote(chars: &[char], from: usize) -> usize {
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    if at(from + 1) == '\\' {
        let mut i = from + 3;
        while i < chars.len() && at(i) != '\'' {
            i += 1;
        }
        return i + 1;
    }
    if at(from + 2) == '\'' {
        return from + 3;
    }
    let mut i = from + 1;
    while at(i).is_alphanumeric() || at(i) == '_' {
        i += 1;
    }
    i
}

/// Where a raw string that `prefix` has begun ends, if it has.
fn after_raw_string(chars: &[char], prefix: &str, from: usize) -> Option<usize> {
    if !matches!(prefix, "r" | "br" | "cr") {
        return None;
    }
    let hashes = chars[from..].iter().take_while(|c| **c == '#').count();
    let mut i = from + hashes;
    if chars.get(i) != Some(&'"') {
        return None;
    }
    i += 1;
    while i < chars.len() {
        i += 1;
        if chars[i - 1] == '"' && chars[i..].iter().take_while(|c| **c == '#').count() >= hashes {
            return Some(i + hashes);
        }
    }
    Some(i)
}

struct Walk<'t> {
    tokens: &'t [Token],
    /// Where we are: the file's module, and the inline modules around us.
    module: Vec<String>,
    found: Vec<Named>,
}

impl Walk<'_> {
    fn kind(&self, i: usize) -> Option<&Kind> {
        self.tokens.get(i).map(|token| &token.kind)
    }

    fn word(&self, i: usize) -> Option<&str> {
        match self.kind(i) {
            Some(Kind::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn is(&self, i: usize, c: char) -> bool {
        self.kind(i) == Some(&Kind::Other(c))
    }

    fn run(&mut self) {
        // For each open brace, whether it is a module's.
        let mut braces = Vec::new();
        let mut i = 0;
        while i < self.tokens.len() {
            if let (Some("mod"), Some(name), true) = (self.word(i), self.word(i + 1), self.is(i + 2, '{')) {
                let name = name.to_owned();
                self.module.push(name);
                braces.push(true);
                i += 3;
            } else if self.is(i, '{') {
                braces.push(false);
                i += 1;
            } else if self.is(i, '}') {
                if braces.pop() == Some(true) {
                    self.module.pop();
                }
                i += 1;
            } else if self.is(i, '#') && self.is(i + 1, '[') && self.word(i + 2) == Some("path") && self.is(i + 3, '=')
            {
                self.found.push(Named { line: self.tokens[i].line, path: vec!["#[path]".to_owned()] });
                i += 4;
            } else if self.word(i) == Some("use") && !self.is(i + 1, '<') {
                i = self.tree(i + 1, &[], true);
            } else if self.word(i) == Some("extern") && self.word(i + 1) == Some("crate") {
                i = self.tree(i + 2, &[], true);
            } else if self.begins_path(i) {
                i = self.tree(i, &[], false);
            } else {
                i += 1;
            }
        }
    }

    /// A word before `::`, and not one that goes on with what stands before it.
    fn begins_path(&self, i: usize) -> bool {
        if self.word(i).is_none() || self.kind(i + 1) != Some(&Kind::Sep) {
            return false;
        }
        let goes_on = |before: usize| self.word(before).is_some() || self.is(before, '>');
        !(i >= 2 && self.kind(i - 1) == Some(&Kind::Sep) && goes_on(i - 2))
    }

    /// Reads a path or a `use` tree below `prefix`; returns where to go on.
    fn tree(&mut self, from: usize, prefix: &[String], in_use: bool) -> usize {
        let mut path = prefix.to_vec();
        let mut i = from;
        let line = self.tokens.get(from).map_or(0, |token| token.line);
        loop {
            match self.kind(i) {
                Some(Kind::Sep) => i += 1,
                Some(Kind::Word(word)) => {
                    // In a group, `self` is the group's own path.
                    if word != "self" || path.is_empty() {
                        path.push(word.clone());
                    }
                    i += 1;
                    if self.kind(i) != Some(&Kind::Sep) {
                        break;
                    }
                    if !matches!(self.kind(i + 1), Some(Kind::Word(_) | Kind::Other('{' | '*'))) {
                        break;
                    }
                }
                Some(Kind::Other('*')) => {
                    path.push("*".to_owned());
                    i += 1;
                    break;
                }
                Some(Kind::Other('{')) => {
                    i += 1;
                    while i < self.tokens.len() && !self.is(i, '}') {
                        let next = if self.is(i, ',') { i + 1 } else { self.tree(i, &path, in_use) };
                        i = next.max(i + 1);
                    }
                    return i + 1;
                }
                _ => return i,
            }
        }
        if in_use && self.word(i) == Some("as") {
            i += 2;
        }
        let path = self.resolve(path);
        self.found.push(Named { line, path });
        i
    }

    fn resolve(&self, path: Vec<String>) -> Vec<String> {
        let mut base: Option<Vec<String>> = None;
        let mut rest = path.into_iter().peekable();
        while let Some(word) = rest.next_if(|word| matches!(word.as_str(), "crate" | "self" | "super")) {
            base = match word.as_str() {
                "crate" => Some(Vec::new()),
                "self" => Some(base.unwrap_or_else(|| self.module.clone())),
                _ => {
                    let mut up = base.unwrap_or_else(|| self.module.clone());
                    up.pop();
                    Some(up)
                }
            };
        }
        match base {
            Some(base) => ["crate".to_owned()].into_iter().chain(base).chain(rest).collect(),
            None => rest.collect(),
        }
    }
}
