//! A dump for programs: JSON, written by hand, since it is all that would need a library for it.

use super::{Channel, Direction, Dump, Kind, On, Routine, State, Use, Waiting, Waits, Worker};
use std::fmt::{self, Display, Write};

impl Dump {
    /// The dump as one JSON object, on one line: the fields of [`Dump`] by their names. Durations are in seconds, places in the
    /// source `"file:line:column"`, what is not known `null`; channels are numbered by their address.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, _rx) = gochan::bounded::<u8>(4);
    /// tx.set_name("jobs");
    /// let dump: serde_json::Value = serde_json::from_str(&gochan::debug::dump().to_json()).unwrap();
    /// let named = |channel: &&serde_json::Value| channel["name"] == "jobs";
    /// assert_eq!(dump["channels"].as_array().unwrap().iter().find(named).unwrap()["capacity"], 4);
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        // A string takes whatever is written to it.
        let _ = self.write(&mut out);
        out
    }
}

/// What has a form in JSON.
trait Json {
    fn write(&self, out: &mut String) -> fmt::Result;
}

/// An object's members.
macro_rules! object {
    ($out:ident, $first:literal: $value:expr $(, $name:literal: $more:expr)* $(,)?) => {{
        $out.push_str(concat!("{\"", $first, "\":"));
        $value.write($out)?;
        $(
            $out.push_str(concat!(",\"", $name, "\":"));
            $more.write($out)?;
        )*
        $out.push('}');
        Ok(())
    }};
}

/// Something as the string that it is shown as.
struct Text<T>(T);

impl<T: Display> Json for Text<T> {
    fn write(&self, out: &mut String) -> fmt::Result {
        out.push('"');
        for c in self.0.to_string().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                c if c < ' ' => write!(out, "\\u{:04x}", u32::from(c))?,
                c => out.push(c),
            }
        }
        out.push('"');
        Ok(())
    }
}

/// Something that is written as it is shown: a number, true, false.
struct Plain<T>(T);

impl<T: Display> Json for Plain<T> {
    fn write(&self, out: &mut String) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl<T: Json> Json for Option<T> {
    fn write(&self, out: &mut String) -> fmt::Result {
        match self {
            Some(value) => value.write(out),
            None => out.write_str("null"),
        }
    }
}

impl<T: Json> Json for Vec<T> {
    fn write(&self, out: &mut String) -> fmt::Result {
        for (i, value) in self.iter().enumerate() {
            out.push(if i == 0 { '[' } else { ',' });
            value.write(out)?;
        }
        out.push_str(if self.is_empty() { "[]" } else { "]" });
        Ok(())
    }
}

impl Json for Dump {
    fn write(&self, out: &mut String) -> fmt::Result {
        object!(out, "routines": self.routines, "channels": self.channels, "workers": self.workers)
    }
}

impl Json for Routine {
    fn write(&self, out: &mut String) -> fmt::Result {
        object!(out,
            "kind": self.kind,
            "id": self.id.map(Plain),
            "parent": self.parent.map(Plain),
            "name": self.name.as_ref().map(Text),
            "spawned_at": self.spawned_at.map(Text),
            "state": self.state,
            "waits": self.waits,
            "stack": self.stack.as_ref().map(Text),
        )
    }
}

impl Json for Kind {
    fn write(&self, out: &mut String) -> fmt::Result {
        Text(self).write(out)
    }
}

impl Json for State {
    fn write(&self, out: &mut String) -> fmt::Result {
        Text(self).write(out)
    }
}

impl Json for Direction {
    fn write(&self, out: &mut String) -> fmt::Result {
        Text(self).write(out)
    }
}

impl Json for Waits {
    fn write(&self, out: &mut String) -> fmt::Result {
        object!(out,
            "reason": Text(self.reason),
            "at": Text(self.at),
            "since": Plain(self.since.as_secs_f64()),
            "has_deadline": Plain(self.has_deadline),
            "on": self.on,
        )
    }
}

impl Json for On {
    fn write(&self, out: &mut String) -> fmt::Result {
        object!(out, "channel": Plain(self.channel), "direction": self.direction)
    }
}

impl Json for Channel {
    fn write(&self, out: &mut String) -> fmt::Result {
        object!(out,
            "id": Plain(self.id),
            "name": self.name.as_ref().map(Text),
            "element": Text(self.element),
            "made_at": Text(self.made_at),
            "capacity": self.capacity.map(Plain),
            "len": Plain(self.len),
            "closed": Plain(self.closed),
            "senders": Plain(self.senders),
            "receivers": Plain(self.receivers),
            "last_send": self.last_send,
            "last_receive": self.last_receive,
            "waiting": self.waiting,
        )
    }
}

impl Json for Use {
    fn write(&self, out: &mut String) -> fmt::Result {
        object!(out, "at": Text(self.at), "by": self.by.map(Numbered))
    }
}

/// Who, by kind and number.
struct Numbered((Kind, u64));

impl Json for Numbered {
    fn write(&self, out: &mut String) -> fmt::Result {
        object!(out, "kind": self.0.0, "id": Plain(self.0.1))
    }
}

impl Json for Waiting {
    fn write(&self, out: &mut String) -> fmt::Result {
        object!(out,
            "kind": self.kind,
            "id": self.id.map(Plain),
            "reason": Text(self.reason),
            "direction": self.direction,
            "at": Text(self.at),
            "asleep_for": self.asleep_for.map(|since| Plain(since.as_secs_f64())),
            "has_deadline": Plain(self.has_deadline),
        )
    }
}

impl Json for Worker {
    fn write(&self, out: &mut String) -> fmt::Result {
        object!(out,
            "runtime": Plain(self.runtime),
            "index": Plain(self.index),
            "is_asleep": Plain(self.is_asleep),
            "busy_with": self.busy_with.map(Numbered),
            "busy_with_spawned_at": self.busy_with_spawned_at.map(Text),
            "residents": Plain(self.residents),
            "inbox": Plain(self.inbox),
            "fresh": Plain(self.fresh),
        )
    }
}
