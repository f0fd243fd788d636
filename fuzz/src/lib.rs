//! What the targets do with their bytes. Each panics if something is wrong.

#[path = "../../tests/history/mod.rs"]
mod history;
#[path = "../../tests/model/mod.rs"]
mod model;
/// What the buffer's source asks of its crate.
mod primitive {
    pub(crate) const LINE: usize = 64;

    pub(crate) fn will_write<T>(_: *const T) {}
}
pub mod ring;

/// Plays a program of futures that are polled by hand; the model must explain what they did. (`tests/fuzz_corpus.rs` does so,
/// too, as a test.)
pub fn programs(bytes: &[u8], selects: bool) {
    let (history, live) = history::polled::play(bytes, selects);
    if let Err(unexplained) = history::check(&history) {
        panic!("no order explains this\n{}", history::diagram(&history, Some(&unexplained)));
    }
    assert_eq!(live, 0, "values that were not dropped\n{}", history::diagram(&history, None));
}
