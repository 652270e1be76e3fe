//! The rooms of the code know each other only downwards. Nothing is run here: the sources are read.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

mod rules;
mod scan;

use rules::{Arrow, Source, arrows, is_allowed};

/// The workspace's source trees that layering is about.
const TREES: [&str; 3] = ["src", "wire/src", "replication-policy/src"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below `folder`, by path below the workspace's root.
fn sources(folder: &str) -> io::Result<Vec<Source>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder))? {
        let entry = entry?;
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            found.extend(sources(&path)?);
        } else if path.ends_with(".rs") {
            found.push(Source { text: fs::read_to_string(entry.path())?, path });
        }
    }
    Ok(found)
}

fn forbidden(sources: &[Source]) -> Vec<String> {
    let all = sources.iter().flat_map(arrows).filter(|arrow| !is_allowed(arrow));
    all.map(|Arrow { from, to, place }| format!("{from} → {to} ({place})")).collect()
}

fn found_in(path: &str, text: &str) -> Vec<String> {
    forbidden(&[Source { path: path.to_owned(), text: text.to_owned() }])
}

#[test]
fn arrows_go_down_only() {
    let mut all = Vec::new();
    for tree in TREES {
        let of_tree = sources(tree).unwrap();
        assert!(of_tree.iter().any(|s| s.path == format!("{tree}/lib.rs")), "{tree} was not read");
        all.extend(of_tree);
    }
    let found = forbidden(&all);
    assert!(found.is_empty(), "arrows that the layering does not have:\n{}", found.join("\n"));
}

#[test]
fn crates_of_the_workspace_depend_on_no_room() {
    for (manifest, own) in [("wire/Cargo.toml", "wire"), ("replication-policy/Cargo.toml", "replication-policy")] {
        let names = dependencies(&fs::read_to_string(root().join(manifest)).unwrap());
        for unwanted in ["kmirror", "wire", "replication-policy", "axum", "prometheus", "prometheus-client", "rdkafka"]
        {
            assert!(unwanted == own || !names.contains(unwanted), "{manifest} depends on {unwanted}");
        }
        assert!(manifest != "wire/Cargo.toml" || names.contains("kafka-protocol"), "{manifest} was not understood");
    }
}

/// Names under `[dependencies]` and its like, and of `[dependencies.name]`; for a renamed one, the package too.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.split(']').next().unwrap_or_default();
            let mut parts = table.split('.').skip_while(|part| !part.ends_with("dependencies"));
            inside = parts.next().is_some();
            names.extend(parts.next().map(|name| name.trim_matches('"').to_owned()));
        } else if inside && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            names.insert(name.trim_matches('"').to_owned());
            let package = line.split("package").nth(1).and_then(|rest| rest.split('"').nth(1));
            names.extend(package.map(str::to_owned));
        }
    }
    names
}

#[test]
fn manifests_are_understood() {
    let manifest = "[package]\nname = \"no\"\n[dependencies]\na.workspace = true\nb = \"1\"\n# c = \"1\"\n\
                    d = { version = \"1\", package = \"kmirror\" }\n[dependencies.e]\nversion = \"1\"\n[lints]\nf = 1\n\
                    [target.'cfg(unix)'.dev-dependencies]\ng = \"1\"\n";
    let names = dependencies(manifest);
    for name in ["a", "b", "d", "kmirror", "e", "g"] {
        assert!(names.contains(name), "{name}");
    }
    for name in ["no", "name", "c", "f"] {
        assert!(!names.contains(name), "{name}");
    }
}

#[test]
fn forbidden_arrows_are_found() {
    let cases = [
        // Upward, in each way of writing it.
        ("src/flow.rs", "use crate::rest::serve;", "flow → rest (src/flow.rs:1: crate::rest::serve)"),
        (
            "src/flow.rs",
            "\nfn f() { let x = crate::rest::serve(); }",
            "flow → rest (src/flow.rs:2: crate::rest::serve)",
        ),
        ("src/flow.rs", "fn f(x: &crate::mirror::M<u8>) {}", "flow → mirror (src/flow.rs:1: crate::mirror::M)"),
        ("src/flow.rs", "fn f() -> Vec<crate::mirror::M> {}", "flow → mirror (src/flow.rs:1: crate::mirror::M)"),
        ("src/flow/a.rs", "use crate::{config, offsets::{b, c}, worker::{self, d}};", "flow → worker"),
        ("src/flow/a.rs", "use crate::{\n    config,\n    worker::d as e,\n};", "flow → worker (src/flow/a.rs:3"),
        ("src/flow/a.rs", "use {std::fmt, crate::{worker}};", "flow → worker (src/flow/a.rs:1: crate::worker)"),
        ("src/flow.rs", "use super::rest;", "flow → rest (src/flow.rs:1: crate::rest)"),
        ("src/flow/a/b.rs", "use super::super::super::rest::x;", "flow → rest (src/flow/a/b.rs:1: crate::rest::x)"),
        ("src/flow/a.rs", "use self::super::super::rest::x;", "flow → rest (src/flow/a.rs:1: crate::rest::x)"),
        ("src/flow.rs", "mod m { fn f() { super::super::rest::x() } }", "flow → rest (src/flow.rs:1: crate::rest::x)"),
        ("src/flow.rs", "use kmirror::rest::x;", "flow → rest (src/flow.rs:1: kmirror::rest::x)"),
        (
            "src/flow.rs",
            "macro_rules! m { () => { $crate::rest::x() } }",
            "flow → rest (src/flow.rs:1: crate::rest::x)",
        ),
        ("src/flow.rs", "pub(in crate::rest) fn f() {}", "flow → rest (src/flow.rs:1: crate::rest)"),
        ("src/flow.rs", "use crate::r#rest::x;", "flow → rest (src/flow.rs:1: crate::rest::x)"),
        // Tests too.
        ("src/flow.rs", "#[cfg(test)] mod tests { use crate::worker::x; }", "flow → worker"),
        ("src/flow/tests.rs", "fn f() { assert_eq!(1, crate::worker::x()) }", "flow → worker"),
        // The root under another name, or things that stand at the root.
        ("src/flow.rs", "use crate::*;", "flow → main (src/flow.rs:1: crate::*)"),
        ("src/flow.rs", "use super::*;", "flow → main (src/flow.rs:1: crate::*)"),
        ("src/flow.rs", "use crate as root;", "flow → main (src/flow.rs:1: crate)"),
        ("src/flow.rs", "use crate::{self as root};", "flow → main (src/flow.rs:1: crate)"),
        ("src/flow.rs", "use crate::Everything;", "flow → main (src/flow.rs:1: crate::Everything)"),
        ("src/flow.rs", "#[path = \"../rest.rs\"] mod rest;", "flow → #[path]"),
        // Upwards all along the line, and out of what uses none.
        ("src/rest.rs", "use crate::run;", "rest → main"),
        ("src/worker.rs", "use crate::rest::x;", "worker → rest"),
        ("src/mirror.rs", "use crate::worker::x;", "mirror → worker"),
        ("src/offsets.rs", "use crate::flow::x;", "offsets → flow"),
        ("src/records.rs", "use crate::offsets::x;", "records → offsets"),
        ("src/config.rs", "use crate::records::x;", "config → records"),
        ("src/config.rs", "use crate::metrics::x;", "config → metrics"),
        ("src/metrics/a.rs", "use crate::config::x;", "metrics → config"),
        ("src/reader.rs", "use crate::flow::x;", "reader → flow"),
        // Crates of ours where they don't belong.
        ("src/rest.rs", "use wire::Cluster;", "rest → wire (src/rest.rs:1: wire::Cluster)"),
        ("src/records.rs", "fn f(x: wire::Record) {}", "records → wire"),
        ("src/config.rs", "use wire;", "config → wire"),
        ("src/flow.rs", "use replication_policy::Policy;", "flow → replication_policy"),
        ("src/transforms.rs", "use crate::flow::x;", "transforms → flow"),
        ("src/config.rs", "use crate::transforms::x;", "config → transforms"),
        // Foreign crates out of their room.
        ("src/worker.rs", "use axum::Router;", "worker → axum (src/worker.rs:1: axum::Router)"),
        ("src/main.rs", "use axum as web;", "main → axum"),
        ("src/worker.rs", "extern crate axum;", "worker → axum"),
        ("src/worker.rs", "fn f() { ::axum::serve() }", "worker → axum"),
        ("src/worker.rs", "use {tokio::net, axum::{Router, Json}};", "worker → axum (src/worker.rs:1: axum::Router)"),
        ("src/flow.rs", "use rdkafka::consumer::Consumer;", "flow → rdkafka"),
        ("src/rest.rs", "let r = prometheus::Registry::new();", "rest → prometheus"),
        // Crates know no room.
        ("wire/src/a.rs", "use kmirror::config::x;", "wire → kmirror (wire/src/a.rs:1: kmirror::config::x)"),
        ("wire/src/lib.rs", "fn f() { rdkafka::x() }", "wire → rdkafka"),
        ("wire/src/lib.rs", "use replication_policy::x;", "wire → replication_policy"),
        ("replication-policy/src/lib.rs", "use wire::x;", "replication_policy → wire"),
        // What can't be placed.
        ("src/novel.rs", "", "novel → a room without a place in the layering"),
        ("src/flow/mod.rs", "", "flow → a mod.rs"),
        ("benches/a.rs", "", "? → a file outside"),
    ];
    for (path, text, expected) in cases {
        let found = found_in(path, text);
        assert!(found.iter().any(|f| f.starts_with(expected)), "{path}: {text}\nexpected {expected}\nfound {found:?}");
    }
}

#[test]
fn every_element_of_a_group_is_found() {
    let found =
        found_in("src/records.rs", "use crate::{flow::{a::{b, c}, *}, config::x, rest, worker::{self as w, d}};");
    let places = ["flow::a::b", "flow::a::c", "flow::*", "rest", "worker", "worker::d"];
    let expected: Vec<String> = places
        .iter()
        .map(|p| format!("records → {} (src/records.rs:1: crate::{p})", p.split("::").next().unwrap_or_default()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn what_is_allowed_is_not_reported() {
    let cases = [
        ("src/main.rs", "use kmirror::{config, rest, worker::Worker}; use rest::x; mod a { use super::*; }"),
        ("src/lib.rs", "pub mod flow; pub mod rest; pub use flow::Flow;"),
        ("src/rest.rs", "use axum::Router; use crate::{config::x, metrics::y, worker::z, records::r};"),
        ("src/worker.rs", "use crate::mirror::x; use wire::Cluster; use super::flow::y;"),
        ("src/mirror.rs", "use replication_policy::Policy; use crate::records::x; fn f() { wire::y() }"),
        ("src/flow.rs", "use crate::reader::x; use wire::{Batch, Cluster}; mod tests { use super::*; }"),
        ("src/flow.rs", "use crate::transforms::x;"),
        ("src/transforms.rs", "use crate::config::x; use wire::RawRecord;"),
        ("src/flow/plan.rs", "use super::*; use super::super::offsets::x; use crate::flow::task; use self::a::b;"),
        ("src/flow.rs", "mod a { mod b { use super::super::c; } } mod d {} use crate::offsets::x; use super::config;"),
        ("src/reader.rs", "use rdkafka::consumer::Consumer; use crate::config::x;"),
        ("src/metrics.rs", "use prometheus::Registry; fn f(x: &str) -> impl Iterator + use<'_> { g::<u8>::h() }"),
        ("wire/src/cluster.rs", "use crate::{rest, Error}; use super::worker; use kafka_protocol::messages::x;"),
        ("wire/src/lib.rs", "//! use wire::Batch;\nuse wire::Batch;"),
        ("src/records.rs", "pub(crate) fn f() {} pub(super) fn g() {} fn h(main: u8) { main as usize; x.rest }"),
    ];
    for (path, text) in cases {
        assert_eq!(found_in(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}

#[test]
fn comments_and_literals_are_not_code_and_do_not_hide_any() {
    let harmless = r####"
        // use crate::rest::a;
        /// [`crate::rest::a`]
        /* use crate::rest::a; /* nested */ use crate::rest::b; */
        const A: &str = "crate::rest::a \" crate::rest::b \\";
        const B: &str = r#"crate::rest::a " crate::rest::b"#;
        const C: &[u8] = b"crate::rest::a";
        const D: &[u8] = br##"crate::rest::a "# crate::rest::b"##;
        const E: [char; 6] = ['"', '\'', '{', '/', '\\', '\u{7d}'];
        const F: u8 = b'"';
        fn f<'a>(x: &'a str, y: &'static str) -> f64 { 'l: loop { break 'l 1.5e3 } }
    "####;
    assert_eq!(found_in("src/flow.rs", harmless), Vec::<String>::new());
    let line = harmless.lines().count();
    let found = found_in("src/flow.rs", &format!("{harmless}use crate::rest::c;"));
    assert_eq!(found, [format!("flow → rest (src/flow.rs:{line}: crate::rest::c)")]);
}
