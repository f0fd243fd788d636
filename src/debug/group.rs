//! A dump of a large program: those who wait in the same place and come from the same place are one entry.

use super::dump::write_minutes;
use super::{Dump, Kind, Reason, Routine, State};
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// Who waits where, many in one entry: see [`Dump::grouped`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Groups {
    /// Those who have waited longest first, then those who wait for nothing.
    pub groups: Vec<Group>,
}

/// All that are of one kind, come from one place, and wait in one place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Group {
    /// What they are.
    pub kind: Kind,
    /// What they do.
    pub state: State,
    /// Why they wait, and in which call.
    pub waits: Option<(Reason, &'static Location<'static>)>,
    /// Where they were started.
    pub spawned_at: Option<&'static Location<'static>>,
    /// How many they are.
    pub count: usize,
    /// For how long the first of them has waited.
    pub longest: Duration,
    /// The number of that one.
    pub oldest: Option<u64>,
}

type Key = (Kind, State, Option<(Reason, &'static Location<'static>)>, Option<&'static Location<'static>>);

impl Dump {
    /// The dump with those in one entry that are alike: of the same kind, started in the same place, waiting in the same place.
    /// Those who have waited longest come first. What there is of a hundred thousand goroutines is a few dozen lines.
    ///
    /// # Examples
    ///
    /// ```
    /// use gochan::{bounded, debug, go};
    ///
    /// let (tx, rx) = bounded::<u8>(0);
    /// let all: Vec<_> = (0..100).map(|_| rx.clone()).map(|rx| go(move || rx.recv())).collect();
    /// # let all_wait = || debug::dump().grouped().groups.iter().any(|group| group.count == 100);
    /// # while !all_wait() {
    /// #     std::thread::sleep(std::time::Duration::from_millis(1));
    /// # }
    /// // 100 goroutines [chan receive], the first of them goroutine 1:
    /// //     src/main.rs:4:70
    /// // created at src/main.rs:4:59
    /// println!("{}", debug::dump().grouped());
    /// drop(tx);
    /// # for one in all {
    /// #     assert!(one.join().unwrap().is_err());
    /// # }
    /// ```
    #[must_use]
    pub fn grouped(&self) -> Groups {
        let mut groups: HashMap<Key, Group> = HashMap::new();
        for routine in &self.routines {
            let Routine { kind, state, spawned_at, .. } = *routine;
            let waits = routine.waits.as_ref().map(|waits| (waits.reason, waits.at));
            let since = routine.waits.as_ref().map_or(Duration::ZERO, |waits| waits.since);
            let (count, longest, oldest) = (0, since, routine.id);
            let new = Group { kind, state, waits, spawned_at, count, longest, oldest };
            let group = groups.entry((kind, state, waits, spawned_at)).or_insert(new);
            group.count += 1;
            if since > group.longest {
                (group.longest, group.oldest) = (since, routine.id);
            }
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_by_key(|group| (group.waits.is_none(), std::cmp::Reverse(group.longest), group.kind, group.oldest));
        Groups { groups }
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in &self.groups {
            write!(f, "{} {}{} [", group.count, group.kind, if group.count == 1 { "" } else { "s" })?;
            match group.waits {
                Some((reason, _)) => write!(f, "{reason}")?,
                None => write!(f, "{}", group.state)?,
            }
            write_minutes(f, group.longest)?;
            write!(f, "]")?;
            if let Some(id) = group.oldest {
                let first = if group.count == 1 { "" } else { "the first of them " };
                write!(f, ", {first}{} {id}", group.kind)?;
            }
            writeln!(f, ":")?;
            if let Some((_, at)) = group.waits {
                writeln!(f, "    {at}")?;
            }
            if let Some(at) = group.spawned_at {
                writeln!(f, "created at {at}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
