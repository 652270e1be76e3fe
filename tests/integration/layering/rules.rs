//! Who may know whom.

use super::scan::{Named, paths};

/// Each may use those after it. `main` is main.rs and lib.rs.
const DOWN: [&str; 8] = ["main", "rest", "worker", "mirror", "flow", "transforms", "offsets", "records"];
/// Used from all rooms, use none. `foreign` is the file with unsafe code.
const EVERYWHERE: [&str; 3] = ["config", "foreign", "metrics"];
/// What stands beside the line, and who uses it. Reading by librdkafka stands beside wire.
const BESIDE: [(&str, &[&str]); 3] = [
    ("replication_policy", &["mirror"]),
    ("wire", &["flow", "mirror", "offsets", "transforms", "worker"]),
    ("reader", &["flow", "mirror", "offsets", "worker"]),
];
/// The workspace's own crates, which know neither each other nor any room.
const CRATES: [&str; 2] = ["replication_policy", "wire"];
/// Foreign crates that one room keeps to itself.
const KEPT: [(&str, &str); 6] = [
    ("axum", "rest"),
    ("prometheus", "metrics"),
    ("prometheus_client", "metrics"),
    ("rdkafka", "reader"),
    ("rdkafka", "foreign"),
    ("rdkafka_sys", "reader"),
];

/// One source file: its path below the workspace's root, with `/`, and its text.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// An arrow between two rooms or crates, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrow {
    pub(crate) from: String,
    pub(crate) to: String,
    /// `src/flow/plan.rs:12: crate::rest::serve`
    pub(crate) place: String,
}

/// Every arrow of a file, those within a room left out. What the scan can't place (an unknown room, a `mod.rs`, a
/// `#[path]`) becomes an arrow to itself by name, which no rule allows.
pub(crate) fn arrows(source: &Source) -> Vec<Arrow> {
    let Some(home) = Home::of(&source.path) else {
        return vec![arrow("?", "a file outside the known source trees", source.path.clone())];
    };
    let mut found = Vec::new();
    if !home.is_known() {
        found.push(arrow(home.name, "a room without a place in the layering", source.path.clone()));
    }
    if source.path.ends_with("/mod.rs") {
        found.push(arrow(home.name, "a mod.rs", source.path.clone()));
    }
    for named in paths(&home.module, &source.text) {
        if let Some(to) = home.target(&named)
            && to != home.name
        {
            found.push(arrow(home.name, to, format!("{}:{}: {}", source.path, named.line, named.path.join("::"))));
        }
    }
    found
}

fn arrow(from: &str, to: &str, place: String) -> Arrow {
    Arrow { from: from.to_owned(), to: to.to_owned(), place }
}

/// Whether the picture has this arrow.
pub(crate) fn is_allowed(Arrow { from, to, .. }: &Arrow) -> bool {
    let (from, to) = (from.as_str(), to.as_str());
    let rank = |room| DOWN.iter().position(|r| *r == room);
    if CRATES.contains(&from) || EVERYWHERE.contains(&from) {
        // They use no room and no crate of ours; what a room keeps to itself is decided below.
        return KEPT.contains(&(to, from));
    }
    if let Some((_, keeper)) = KEPT.iter().find(|(kept, _)| *kept == to) {
        return *keeper == from;
    }
    if EVERYWHERE.contains(&to) {
        return true;
    }
    if let Some((_, users)) = BESIDE.iter().find(|(beside, _)| *beside == to) {
        return users.contains(&from);
    }
    matches!((rank(from), rank(to)), (Some(from), Some(to)) if from < to)
}

/// Where a file stands: in a room of the root package, or in a crate of its own.
struct Home<'p> {
    name: &'p str,
    /// Below the root of its crate.
    module: Vec<&'p str>,
}

impl<'p> Home<'p> {
    fn of(path: &'p str) -> Option<Self> {
        let (tree, inside) = path.strip_suffix(".rs")?.split_once("src/")?;
        let mut module: Vec<&str> = inside.split('/').collect();
        if matches!(module[..], ["main" | "lib"]) || module.last() == Some(&"mod") {
            module.pop();
        }
        let name = match tree {
            "" => module.first().copied().unwrap_or("main"),
            "wire/" => "wire",
            "replication-policy/" => "replication_policy",
            _ => return None,
        };
        Some(Self { name, module })
    }

    fn is_known(&self) -> bool {
        DOWN.contains(&self.name)
            || EVERYWHERE.contains(&self.name)
            || CRATES.contains(&self.name)
            || self.name == "reader"
    }

    /// The room or crate that a path leads to; none where it leads to nothing that layering is about.
    fn target<'n>(&self, named: &'n Named) -> Option<&'n str> {
        let (first, rest) = named.path.split_first()?;
        let in_crate = CRATES.contains(&self.name);
        match first.as_str() {
            "#[path]" => Some("#[path]"),
            "crate" if in_crate => None,
            "kmirror" if in_crate => Some("kmirror"),
            "crate" | "kmirror" => {
                // Anything else at the root, a glob or an alias of it too, is main's.
                let room = rest.first().map_or("main", String::as_str);
                let is_room = DOWN.contains(&room) || EVERYWHERE.contains(&room) || room == "reader";
                Some(if is_room || self.name == room { room } else { "main" })
            }
            // A crate's tests and documentation may name the crate itself.
            other if other == self.name => None,
            other if CRATES.contains(&other) || KEPT.iter().any(|(kept, _)| *kept == other) => Some(other),
            _ => None,
        }
    }
}
