//! The fuzzer's corpus, and some random bytes, as a test: programs of futures that are polled by hand, on one thread, must be
//! explained by the model. `scripts/fuzz` looks for bytes that are worth keeping.

mod history;
mod model;

use history::polled::play;
use history::program::Rng;
use history::{check, diagram};
use model::op::{Op, Ret};
use std::collections::BTreeMap;
use std::path::Path;

/// What of a history came to what: so that a test cannot pass because nothing happens.
type Tally = BTreeMap<&'static str, usize>;

fn explained(name: &str, bytes: &[u8], selects: bool, tally: &mut Tally) {
    let (history, live) = play(bytes, selects);
    if let Err(unexplained) = check(&history) {
        panic!("{name}: no order explains this\n{bytes:?}\n{}", diagram(&history, Some(&unexplained)));
    }
    assert_eq!(live, 0, "{name}: values that were not dropped\n{bytes:?}\n{}", diagram(&history, None));
    for record in &history.records {
        let what = match (&record.op, record.returned.map(|(_, ret)| ret)) {
            (_, None) => "parked",
            (Op::Select(..), Some(Ret::Chose(..))) => "chosen",
            (_, Some(Ret::Cancelled)) => "cancelled",
            (_, Some(Ret::Broken)) => "broken",
            (_, Some(Ret::Got(_))) => "received",
            (_, Some(Ret::Closed)) => "closed",
            _ => continue,
        };
        *tally.entry(what).or_default() += 1;
    }
}

#[test]
fn the_corpus_is_explained_by_the_model() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut count = 0;
    for (target, selects) in [("programs", false), ("selects", true)] {
        // The package as it is published has no corpus.
        let Ok(files) = corpus.join(target).read_dir() else { continue };
        for file in files {
            let path = file.unwrap().path();
            explained(&path.display().to_string(), &std::fs::read(&path).unwrap(), selects, &mut Tally::new());
            count += 1;
        }
    }
    println!("{count} files");
}

#[test]
fn random_bytes_are_explained_by_the_model() {
    let programs = std::env::var("GOCHAN_PROGRAMS").map_or(4000, |programs| programs.parse().expect("a number"));
    let only = std::env::var("GOCHAN_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let mut tally = Tally::new();
    for seed in only.map_or(0..programs, |seed: u64| seed..seed + 1) {
        let mut rng = Rng(seed);
        let bytes: Vec<u8> = (0..40 + rng.below(260)).map(|_| rng.next() as u8).collect();
        explained(&format!("GOCHAN_SEED={seed}"), &bytes, seed % 2 == 0, &mut tally);
    }
    println!("{tally:?}");
    if only.is_none() && programs >= 1000 {
        assert!(tally.len() == 6 && tally.values().all(|count| *count > 500), "{tally:?}");
    }
}
