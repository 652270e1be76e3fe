//! docs/parity.md, written from `parity/statements.txt` and from what our tests cite. Nothing is run here: the sources are read.
//!
//! A test that shows what one of Kafka's tests asserts names it in a comment within itself or above itself:
//! `MirrorSourceTaskTest.testPoll`. Further names of the same class follow without it; of a test with more than one statement, the
//! numbers of those that are shown stand behind it: `ReplicationTest.testAll [3, 4]`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
    sync::LazyLock,
};

use fancy_regex::Regex;

const STATEMENTS: &str = include_str!("parity/statements.txt");
const FILE: &str = "docs/parity.md";
/// Set, the file is written.
const WRITE: &str = "KMIRROR_WRITE_DOCS";
/// What is read for citations, and how its tests are told from the library's.
const TREES: [(&str, &str); 4] = [
    ("src", ""),
    ("tests/integration", "integration"),
    ("replication-policy/src", "replication-policy"),
    ("wire/src", "wire"),
];

const HEAD: &str = "\
# MirrorMaker's own behaviours

What the tests of Kafka's `connect/mirror` and `connect/mirror-client` assert of MirrorMaker 2, by Kafka's names of the tests, and
which test of kmirror shows the same. This file is written from `tests/parity/statements.txt` and from comments in our tests that
cite Kafka's; `tests/parity.rs` compares the two, and fails where a statement has neither a test nor a reason. Our tests are named
as `cargo nextest` names them: those marked *integration* are in `tests/integration`, and nearly all run over real brokers; those
marked *replication-policy* are of that crate; the others are unit tests of the library.

**In part** says what no test of ours shows; **not shown** says why.
";

/// Something that Kafka's tests assert.
#[derive(Debug, PartialEq)]
struct Statement {
    number: usize,
    group: String,
    /// Kafka's names: `Class.method`, or `Class.*` for a class that runs all tests of another one.
    asserted_by: Vec<String>,
    text: String,
    note: Note,
}

#[derive(Debug, PartialEq)]
enum Note {
    None,
    InPart(String),
    NotShown(String),
}

/// A Kafka test named in a comment.
#[derive(Debug, PartialEq)]
struct Citation {
    /// `src/flow/plan.rs:12`
    place: String,
    named: String,
    /// Those statements only.
    numbers: Vec<usize>,
    /// Our test; none for a comment that belongs to no test.
    test: Option<String>,
}

/// Reads groups (`# …`) and statements, which blank lines part: number and Kafka's tests, a sentence, and at will `in part: …` or
/// `not shown: …`.
fn statements(text: &str) -> Result<Vec<Statement>, String> {
    let (mut found, mut group) = (Vec::new(), String::new());
    for block in text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        if let Some(name) = block.strip_prefix("# ") {
            group = name.to_owned();
            continue;
        }
        let lines: Vec<&str> = block.lines().collect();
        let (number, names) = lines[0].split_once(' ').unwrap_or((lines[0], ""));
        if number.parse() != Ok(found.len() + 1) {
            return Err(format!("statement {} begins with {:?}", found.len() + 1, lines[0]));
        }
        let mut class = None;
        let named = names.split(", ").map(|name| {
            let found = names_in(name, &mut class);
            let full = [name.to_owned(), format!("{}.{name}", class.as_deref().unwrap_or_default())];
            match &found[..] {
                [(found, _)] if full.contains(found) && found.contains('.') => Ok(found.clone()),
                _ => Err(format!("statement {number}: {name:?} is no name of a Kafka test")),
            }
        });
        let asserted_by = named.collect::<Result<Vec<String>, String>>()?;
        let note = match lines[1..] {
            [_] => Some(Note::None),
            [_, note] => note
                .strip_prefix("in part: ")
                .map(|what| Note::InPart(what.to_owned()))
                .or_else(|| note.strip_prefix("not shown: ").map(|why| Note::NotShown(why.to_owned()))),
            _ => None,
        };
        let Some(note) = note else {
            return Err(format!("statement {number} is not Kafka's tests, a sentence and a note at most: {lines:?}"));
        };
        let (number, text) = (found.len() + 1, lines[1].to_owned());
        found.push(Statement { number, group: group.clone(), asserted_by, text, note });
    }
    Ok(found)
}

/// Kafka tests named in a text, with the numbers behind them. `class` is that of the name before; of a class alone, its name is told.
fn names_in(text: &str, class: &mut Option<String>) -> Vec<(String, Vec<usize>)> {
    static NAME: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b(?:([A-Z]\w*Test)\b(?:\.(\w+|\*))?|(test[A-Z]\w*))(?: \[(\d+(?:, \d+)*)\])?").unwrap()
    });
    let mut names = Vec::new();
    for found in NAME.captures_iter(text).map(Result::unwrap) {
        let part = |nth: usize| found.get(nth).map(|part| part.as_str());
        if let Some(of) = part(1) {
            *class = Some(of.to_owned());
        }
        let of = class.as_deref().unwrap_or("?");
        let name = part(2).or(part(3)).map_or_else(|| of.to_owned(), |method| format!("{of}.{method}"));
        let numbers = part(4).unwrap_or_default().split(", ").filter_map(|number| number.parse().ok()).collect();
        names.push((name, numbers));
    }
    names
}

/// What a source file below one of the trees cites. `suite` is what its tests are told by.
fn citations(path: &str, tree: &str, suite: &str, text: &str) -> Vec<Citation> {
    static FUNCTION: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^\s*(?:pub(?:\([^)]*\))? )?(?:async )?fn (\w+)").unwrap());
    static MODULE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^(\s*)(?:pub(?:\([^)]*\))? )?mod (\w+) \{").unwrap());
    let below = path.strip_prefix(tree).unwrap_or(path).trim_start_matches('/').trim_end_matches(".rs");
    let file = below.split('/').filter(|part| !["lib", "main"].contains(part)).collect::<Vec<_>>().join("::");

    let (mut modules, mut test, mut is_test): (Vec<(&str, &str)>, Option<String>, bool) = (Vec::new(), None, false);
    let (mut class, mut pending, mut found): (_, Vec<Citation>, _) = (None, Vec::new(), Vec::new());
    for (line, number) in text.lines().zip(1..) {
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        let cited = names_in(comment, &mut class).into_iter();
        pending.extend(cited.map(|(named, numbers)| Citation {
            place: format!("{path}:{number}"),
            named,
            numbers,
            test: None,
        }));
        let code = code.trim_end();
        if code.trim_start().starts_with("#[") {
            is_test |= code.contains("test]") || code.contains("test(");
        }
        // Comments and attributes belong to what comes behind them.
        if code.is_empty() || code.trim_start().starts_with("#[") {
            continue;
        }
        if let Some(module) = MODULE.captures(code).unwrap() {
            modules.push((module.get(1).unwrap().as_str(), module.get(2).unwrap().as_str()));
        } else if modules.last().is_some_and(|(indent, _)| code.strip_prefix(indent) == Some("}")) {
            modules.pop();
        }
        if let Some(function) = FUNCTION.captures(code).unwrap() {
            let names = modules.iter().map(|(_, name)| *name).chain([function.get(1).unwrap().as_str()]);
            let path = [file.as_str()].into_iter().filter(|file| !file.is_empty()).chain(names).collect::<Vec<_>>();
            let suite = if suite.is_empty() { String::new() } else { format!(" (*{suite}*)") };
            test = is_test.then(|| format!("`{}`{suite}", path.join("::")));
        }
        is_test = false;
        class = None;
        found.extend(pending.drain(..).map(|citation| Citation { test: test.clone(), ..citation }));
    }
    found.extend(pending);
    found
}

/// Our tests by the numbers of the statements that they show, and what is wrong.
fn matched(statements: &[Statement], citations: &[Citation]) -> (BTreeMap<usize, BTreeSet<String>>, Vec<String>) {
    let (mut shown, mut cited, mut wrong) = (BTreeMap::<usize, BTreeSet<String>>::new(), BTreeSet::new(), Vec::new());
    let classes: BTreeSet<&str> =
        statements.iter().flat_map(|s| &s.asserted_by).filter_map(|name| Some(name.split_once('.')?.0)).collect();
    for Citation { place, named, numbers, test } in citations {
        let of_name = statements.iter().filter(|statement| statement.asserted_by.contains(named));
        let of_name: Vec<usize> = of_name.map(|statement| statement.number).collect();
        // Tests of other parts of Kafka have no method named.
        if !named.contains('.') && !classes.contains(named.as_str()) {
            continue;
        }
        let Some(test) = test else {
            wrong.push(format!("{place}: {named} is cited outside a test"));
            continue;
        };
        let meant = if numbers.is_empty() { &of_name } else { numbers };
        if of_name.is_empty() {
            wrong.push(format!("{place}: {named} asserts no statement"));
        } else if numbers.is_empty() && of_name.len() > 1 {
            wrong.push(format!("{place}: {named} asserts more than one statement: name some of {of_name:?} behind it"));
        } else if let Some(other) = meant.iter().find(|number| !of_name.contains(number)) {
            wrong.push(format!("{place}: statement {other} is not asserted by {named}, which has {of_name:?}"));
        } else {
            for number in meant {
                shown.entry(*number).or_default().insert(test.clone());
                cited.insert((*number, named.as_str()));
            }
        }
    }
    for Statement { number, asserted_by, note, .. } in statements {
        let missing: Vec<&str> =
            asserted_by.iter().map(String::as_str).filter(|name| !cited.contains(&(*number, *name))).collect();
        match (shown.contains_key(number), note) {
            (true, Note::NotShown(_)) => wrong.push(format!("statement {number} is said not to be shown, and is")),
            (false, Note::None | Note::InPart(_)) => {
                wrong.push(format!("statement {number} has neither a test nor a reason why it is not shown"));
            }
            (true, Note::None) if !missing.is_empty() => {
                wrong.push(format!(
                    "statement {number} is shown in part only, which is not said: nothing cites {missing:?}"
                ));
            }
            _ => {}
        }
    }
    (shown, wrong)
}

/// The whole file.
fn written(statements: &[Statement], shown: &BTreeMap<usize, BTreeSet<String>>) -> String {
    let mut groups: Vec<&str> = statements.iter().map(|statement| statement.group.as_str()).collect();
    groups.dedup();
    let mut text = HEAD.to_owned();
    text.push_str("\n| | statements | shown | in part | not shown |\n|---|---|---|---|---|\n");
    for group in groups.iter().map(|group| Some(*group)).chain([None]) {
        let of_group = || statements.iter().filter(|statement| group.is_none_or(|group| statement.group == group));
        let count = |is: fn(&Note) -> bool| of_group().filter(|statement| is(&statement.note)).count();
        let [full, part, not] = [
            count(|note| *note == Note::None),
            count(|note| matches!(note, Note::InPart(_))),
            count(|note| matches!(note, Note::NotShown(_))),
        ];
        let _ = writeln!(text, "| {} | {} | {full} | {part} | {not} |", group.unwrap_or("all"), of_group().count());
    }
    for group in groups {
        let _ = write!(text, "\n## {group}\n\n| | behaviour | Kafka's tests | shown by |\n|---|---|---|---|\n");
        for statement in statements.iter().filter(|statement| statement.group == group) {
            let tests = shown.get(&statement.number).into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
            let tests = tests.join("<br>");
            let by = match &statement.note {
                Note::None => tests,
                Note::InPart(what) => format!("{tests}<br>**In part:** {what}"),
                Note::NotShown(why) => format!("**Not shown:** {why}"),
            };
            let Statement { number, text: what, .. } = statement;
            let names = briefly(&statement.asserted_by);
            let row = [number.to_string(), what.clone(), names, by].map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
    }
    text
}

/// Kafka's names, with each class named once.
fn briefly(names: &[String]) -> String {
    let mut before = "";
    let brief = names.iter().map(|name| {
        let (class, method) = name.split_once('.').unwrap_or((name, ""));
        let is_same = class == before;
        before = class;
        format!("`{}`", if is_same { method } else { name })
    });
    brief.collect::<Vec<_>>().join(", ")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Paths below the root of all Rust files in a folder, in their order.
fn sources(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            found.extend(sources(&path));
        } else if path.ends_with(".rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn the_file_is_what_the_tests_say() {
    let statements = statements(STATEMENTS).unwrap();
    let mut found = Vec::new();
    for (tree, suite) in TREES {
        for path in sources(tree) {
            found.extend(citations(&path, tree, suite, &fs::read_to_string(root().join(&path)).unwrap()));
        }
    }
    let (shown, wrong) = matched(&statements, &found);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let written = written(&statements, &shown);
    let file = root().join(FILE);
    if std::env::var_os(WRITE).is_some() {
        fs::write(&file, &written).unwrap();
    }
    let is = fs::read_to_string(&file).unwrap_or_default();
    let differs = is.lines().zip(written.lines()).position(|(is, written)| is != written);
    let line = differs.unwrap_or_else(|| is.lines().count().min(written.lines().count())) + 1;
    assert!(is == written, "{FILE} differs in line {line}. To write it: {WRITE}=1 cargo test --test parity");
}

#[test]
fn statements_are_read() {
    let text = "# One\n\n1 ATest.testX, testY, BTest.*\nIt is so.\n\n# Two\n\n2 BTest.other\nAnd so.\nin part: that\n\n3 BTest.other\nSo.\nnot shown: why\n";
    let statement = |number, group: &str, tests: &[&str], text: &str, note| Statement {
        number,
        group: group.to_owned(),
        asserted_by: tests.iter().map(ToString::to_string).collect(),
        text: text.to_owned(),
        note,
    };
    let expected = [
        statement(1, "One", &["ATest.testX", "ATest.testY", "BTest.*"], "It is so.", Note::None),
        statement(2, "Two", &["BTest.other"], "And so.", Note::InPart("that".to_owned())),
        statement(3, "Two", &["BTest.other"], "So.", Note::NotShown("why".to_owned())),
    ];
    assert_eq!(statements(text).unwrap(), expected);
    for bad in [
        "2 ATest.testX\nSo.",
        "1 ATest.testX",
        "1 nothing\nSo.",
        "1 testX\nSo.",
        "1 ATest\nSo.",
        "1 ATest.testX, other\nSo.",
        "1 ATest.testX\nSo.\nperhaps: so",
    ] {
        assert!(statements(bad).is_err(), "{bad}");
    }
}

#[test]
fn citations_belong_to_the_test_around_or_below() {
    let text = "\
mod tests {
    fn helper() {
        // ATest.testOfNobody
        let x = 1; // ATest.testOfNobodyEither
    }

    /// As ATest.testAbove [1, 2], testToo, or `BTest` alone.
    #[tokio::test(start_paused = true)]
    async fn below() {
        // BTest.*
        let url = \"x\";
        call(); // ATest.behind [7]
    }

    mod inner {
        // ATest.testAbove
        #[test]
        fn deeper() {}
    }
}

// testHomeless
#[test]
fn last() {}
";
    let found = citations("src/a/b.rs", "src", "", text);
    let short: Vec<(&str, &[usize], Option<&str>)> =
        found.iter().map(|c| (c.named.as_str(), &c.numbers[..], c.test.as_deref())).collect();
    let (below, deeper) = (Some("`a::b::tests::below`"), Some("`a::b::tests::inner::deeper`"));
    let expected: [(&str, &[usize], Option<&str>); 9] = [
        ("ATest.testOfNobody", &[], None),
        ("ATest.testOfNobodyEither", &[], None),
        ("ATest.testAbove", &[1, 2], below),
        ("ATest.testToo", &[], below),
        ("BTest", &[], below),
        ("BTest.*", &[], below),
        ("ATest.behind", &[7], below),
        ("ATest.testAbove", &[], deeper),
        ("?.testHomeless", &[], Some("`a::b::last`")),
    ];
    assert_eq!(short, expected);
    assert_eq!(found[0].place, "src/a/b.rs:3");
    let other = citations("wire/src/lib.rs", "wire/src", "wire", "// ATest.testX\n#[test]\nfn t() {}");
    assert_eq!(other[0].test.as_deref(), Some("`t` (*wire*)"));
}

#[test]
fn what_is_wrong_is_told() {
    let table = [
        ("1 ATest.testX\nSo.", "ATest.testX", ""),
        ("1 ATest.testX\nSo.\nin part: that", "ATest.testX", ""),
        ("1 ATest.testX\nSo.\nnot shown: why", "UtilsTest", ""),
        ("1 ATest.testX\nSo.", "", "statement 1 has neither a test nor a reason"),
        ("1 ATest.testX\nSo.\nin part: that", "", "statement 1 has neither a test nor a reason"),
        ("1 ATest.testX\nSo.\nnot shown: why", "ATest.testX", "statement 1 is said not to be shown"),
        (
            "1 ATest.testX, testY\nSo.",
            "ATest.testX",
            "shown in part only, which is not said: nothing cites [\"ATest.testY\"]",
        ),
        ("1 ATest.testX\nSo.\nnot shown: why", "ATest.testZ", "ATest.testZ asserts no statement"),
        ("1 ATest.testX\nSo.\nnot shown: why", "ZTest.testX", "ZTest.testX asserts no statement"),
        ("1 ATest.testX\nSo.\nnot shown: why", "testX", "?.testX asserts no statement"),
        ("1 ATest.testX\nSo.\nnot shown: why", "ATest", "ATest asserts no statement"),
        ("1 ATest.testX\nSo.", "ATest.testX [2]", "statement 2 is not asserted by ATest.testX"),
        ("1 ATest.testX\nSo.\n\n2 ATest.testX\nToo.", "ATest.testX [1, 2]", ""),
        ("1 ATest.testX\nSo.\n\n2 ATest.testX\nToo.", "ATest.testX [2]", "statement 1 has neither a test nor a reason"),
        ("1 ATest.testX\nSo.\n\n2 ATest.testX\nToo.", "ATest.testX", "name some of [1, 2]"),
    ];
    for (text, comment, expected) in table {
        let found = citations("src/a.rs", "src", "", &format!("// {comment}\n#[test]\nfn t() {{}}"));
        let wrong = matched(&statements(text).unwrap(), &found).1.join("\n");
        assert!(wrong.contains(expected) && wrong.is_empty() == expected.is_empty(), "{text}, {comment}: {wrong}");
    }
    let outside = citations("src/a.rs", "src", "", "// ATest.testX\nfn helper() {}");
    let wrong = matched(&statements("1 ATest.testX\nSo.\nnot shown: why").unwrap(), &outside).1;
    assert_eq!(wrong, ["src/a.rs:1: ATest.testX is cited outside a test"]);
}
