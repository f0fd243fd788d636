//! Tests of the budget of operations.

use crate::park::{spend, spend_at_once};
use crate::rt::bridge::Polling;

/// In a poll nobody is let run. So it need not be asked whether anybody is, but once in a while.
#[test]
fn a_poll_is_not_asked_at_each_operation() {
    let polling = Polling::begin();
    let operations = (0..1000).filter(|_| {
        let is_asked = !spend_at_once();
        if is_asked {
            spend();
        }
        is_asked
    });
    assert!(operations.count() < 20);
    drop(polling);
}
