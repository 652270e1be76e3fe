use std::{fs, path::Path};

use proptest::{prelude::*, test_runner::TestCaseError};

type Target = (&'static str, fn(&[u8]));

pub(super) const TARGETS: [Target; 5] = [
    ("batches", super::batches),
    ("records", super::records),
    ("codecs", super::codecs),
    ("responses", super::responses),
    ("rebuild", super::rebuild),
];

/// Seeds, and what the fuzzer found once: files by path.
fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for folder in ["seeds", "cases"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join(target);
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            files.push((path.display().to_string(), fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}

/// What a fuzzer does to its inputs.
#[derive(Debug, Clone)]
enum Change {
    Flip(prop::sample::Index, u8),
    Set(prop::sample::Index, u8),
    Number(prop::sample::Index, u32),
    Cut(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    Truncate(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let number = prop::sample::select(&[0, 1, 0x7f, 0xff, 0xffff, i32::MAX as u32, i32::MIN as u32, u32::MAX][..]);
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), number).prop_map(|(at, number)| Change::Number(at, number)),
        (at(), 1..20_usize).prop_map(|(at, count)| Change::Cut(at, count)),
        (at(), 1..20_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
        at().prop_map(Change::Truncate),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        let end = |at: usize, count: usize| (at + count).min(length);
        match change {
            Change::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Change::Set(at, byte) => bytes[at.index(length)] = *byte,
            Change::Number(at, number) => {
                let at = at.index(length);
                let to = end(at, 4);
                bytes[at..to].copy_from_slice(&number.to_be_bytes()[..to - at]);
            }
            Change::Cut(at, count) => {
                let at = at.index(length);
                bytes.drain(at..end(at, *count));
            }
            Change::Repeat(at, count) => {
                let at = at.index(length);
                let piece = bytes[at..end(at, *count)].to_vec();
                bytes.splice(at..at, piece);
            }
            Change::Truncate(at) => bytes.truncate(at.index(length)),
        }
    }
    bytes
}

fn try_changes(target: &str, seed: prop::sample::Index, changes: &[Change]) -> Result<(), TestCaseError> {
    let files = files(target);
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    run(&changed(files[seed.index(files.len())].1.clone(), changes));
    Ok(())
}

macro_rules! targets {
    ($($target:ident),+) => {$(
        mod $target {
            use super::*;

            #[test]
            fn holds_for_the_seeds_and_for_what_was_found() {
                let files = files(stringify!($target));
                assert!(files.len() >= 8, "{} files", files.len());
                for (path, bytes) in files {
                    println!("{path}");
                    crate::hostile::$target(&bytes);
                }
            }

            proptest! {
                #[test]
                fn holds_for_changed_seeds(seed: prop::sample::Index, changes in prop::collection::vec(change(), 1..6)) {
                    try_changes(stringify!($target), seed, &changes)?;
                }

                #[test]
                fn holds_for_anything(bytes: Vec<u8>) {
                    crate::hostile::$target(&bytes);
                }
            }
        }
    )+};
}

targets!(batches, records, codecs, responses, rebuild);

#[test]
fn the_seeds_are_of_use() {
    // Each reaches what it is about: an answer that can't be read, or a batch that holds nothing, would test little.
    for (name, bytes) in super::seeds::all("responses") {
        assert!(super::responses::can_be_read(&bytes), "{name}");
    }
    for (name, bytes) in super::seeds::all("records") {
        assert!(super::records::holds_records(&bytes) || name.starts_with("compacted-1"), "{name}");
    }
}

/// Claims cost address space before they cost memory, so that is what is limited.
#[test]
fn little_memory_suffices() {
    const KIB: usize = 768 * 1024;
    let script = format!("ulimit -v {KIB} && exec \"$0\" hostile::tests:: --skip little_memory --test-threads 1");
    let run = std::process::Command::new("sh").arg("-c").arg(script).arg(std::env::current_exe().unwrap()).output();
    let run = run.unwrap();
    let printed = String::from_utf8_lossy(&run.stdout);
    // Three tests of each target, and what is said of seeds.
    assert!(printed.contains(&format!("{} passed; 0 failed", 3 * TARGETS.len() + 1)), "{run:?}");
}
