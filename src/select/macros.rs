//! select!, select_biased!: the grammar, and what it expands to.

/// Waits until one of several operations is possible, carries it out, and runs its body. Go's `select`.
///
/// ```text
/// select! {
///     recv(receiver) -> pattern => body,
///     send(sender, message) -> pattern => body,
///     default => body,
/// }
/// ```
///
/// A case is a receive, whose pattern is bound to `Result<T, RecvError>`, or a send, whose pattern is bound to
/// `Result<(), SendError<T>>`. If several are possible, one is chosen at random, each with the same probability
/// ([`select_biased!`](crate::select_biased!) takes the first). A closed channel makes its cases possible: they fail. A
/// nil channel ([`never`](crate::never()), [`Sender::never`](crate::Sender::never)) makes them impossible, which is how a
/// case is turned off.
///
/// With `default => body` nothing is waited for: the body runs if there was a moment at which no case was possible. With
/// `default(timeout) => body`, where the timeout is a [`Duration`](std::time::Duration), it runs if none becomes possible
/// in time.
///
/// The macro's value is that of the body. A body that is a block needs no comma behind it. Bodies may `break`, `continue`,
/// `return` and use `?`. There may be up to 64 cases.
///
/// Handles are expressions: [`Receiver`](crate::Receiver) and [`Sender`](crate::Sender), references to them, or anything
/// that derefs to them. With a [`Chan`](crate::Chan) a receive binds `Option<T>`, and a send binds `()` and panics if the
/// channel is closed, both as in Go.
///
/// **A message is evaluated when its case has been chosen**, and not otherwise; in Go every operand is evaluated first.
/// While it is being evaluated, the receiver that it is for waits: also one that asked not to wait longer than that
/// ([`try_recv`](crate::Receiver::try_recv), `default`). If its evaluation panics, returns or breaks, nothing is sent, and
/// the receiver waits on as if nothing had happened.
///
/// Nothing is allocated for up to 16 cases.
///
/// # Examples
///
/// ```
/// use gochan::{after, bounded, never, select, tick};
/// use std::time::Duration;
///
/// let (tx, rx) = bounded(1);
/// let (results, _keep) = bounded(1);
/// let ticker = tick(Duration::from_millis(1));
/// let deadline = after(Duration::from_secs(5));
/// tx.send(3).unwrap();
/// let mut ticks = 0;
/// let value = loop {
///     // Only while there is something to send.
///     let out = (ticks > 2).then_some(&results);
///     select! {
///         recv(rx) -> value => assert_eq!(value, Ok(3)),
///         recv(ticker) -> _ => ticks += 1,
///         send(out.unwrap_or(&gochan::Sender::never()), ticks) -> sent => break sent,
///         recv(deadline) -> _ => panic!("timed out"),
///     }
/// };
/// assert_eq!(value, Ok(()));
/// ```
///
/// As in Go, with a channel that panics and ends as Go's do:
///
/// ```
/// use gochan::{Chan, select};
///
/// let ch = Chan::new(1);
/// select! {
///     send(ch, "hello") -> () => {}
///     default => unreachable!(),
/// }
/// ch.close();
/// let mut got = Vec::new();
/// loop {
///     select! {
///         recv(ch) -> value => match value {
///             Some(value) => got.push(value),
///             None => break,
///         }
///     }
/// }
/// assert_eq!(got, ["hello"]);
/// ```
#[macro_export]
macro_rules! select {
    ($($cases:tt)*) => {
        $crate::__select!(@start select (blocking false) $($cases)*)
    };
}

/// As [`select!`](crate::select!), but of several cases that are possible the first is chosen.
///
/// ```
/// use gochan::{select_biased, unbounded};
///
/// let (tx1, rx1) = unbounded();
/// let (tx2, rx2) = unbounded();
/// tx1.send(1).unwrap();
/// tx2.send(2).unwrap();
/// let first = select_biased! {
///     recv(rx1) -> value => value,
///     recv(rx2) -> value => value,
/// };
/// assert_eq!(first, Ok(1));
/// ```
#[macro_export]
macro_rules! select_biased {
    ($($cases:tt)*) => {
        $crate::__select!(@start select_biased (blocking true) $($cases)*)
    };
}

/// As [`select!`](crate::select!), in an `async` block: awaits instead of blocking the thread, on any executor.
///
/// Grammar, laziness, fairness and `default` are the same. Bodies, and the expressions of messages, may `.await`; while a
/// message is awaited, the slot or the receiver is kept for it.
///
/// With `default(timeout)`, or timers among the cases, the first such wait of a process starts a thread that keeps the time
/// for all.
///
/// # Cancel safety
///
/// Dropping the block while it awaits loses nothing: no case has happened, and a value that one had been handed goes to the
/// next receiver, or waits for one, before all others. A message that exists already is dropped.
///
/// # Examples
///
/// ```
/// use gochan::{after, bounded, select_async};
/// use std::time::Duration;
///
/// let (tx, rx) = bounded(0);
/// let (results, sums) = bounded(1);
/// std::thread::spawn(move || tx.send(7));
/// futures_executor::block_on(async {
///     select_async! {
///         recv(rx) -> value => results.send_async(value.unwrap() + 1).await.unwrap(),
///         recv(after(Duration::from_secs(5))) -> _ => panic!("timed out"),
///     }
/// });
/// assert_eq!(sums.recv(), Ok(8));
/// ```
#[macro_export]
macro_rules! select_async {
    ($($cases:tt)*) => {
        $crate::__select!(@start select_async (awaiting false) $($cases)*)
    };
}

/// crossbeam-channel's own name for what its macros expand to; programs that reach for it find it here.
#[doc(hidden)]
#[macro_export]
macro_rules! crossbeam_channel_internal {
    ($($cases:tt)*) => {
        $crate::__select!(@start select (blocking _IS_BIASED) $($cases)*)
    };
}

// `@cases NAME HOW [cases] [default] [numbers] rest` takes one case off the rest, in one step: the depth of expansion is
// limited to 128 by default. Each gets a number. The last step makes a tuple of handles, which live as long as the select,
// and a tuple of arms.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    (@start $name:ident $how:tt) => {
        $crate::__select!(@error "empty `", [$name], "!` block")
    };
    (@start $name:ident $how:tt $($cases:tt)+) => {
        $crate::__select!(
            @cases $name $how [] []
            [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
             32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63]
            $($cases)+
        )
    };

    (@cases $name:ident $how:tt [$($case:tt)*] $default:tt $is:tt) => {
        match ($($crate::__select!(@handle $case),)*) {
            handles => {
                let mut arms = ($($crate::__select!(@arm handles $case),)*);
                $crate::__select!(@select arms $how $default $($case)*)
            }
        }
    };

    // A case. Its body is the last, a block or an expression (of blocks, rustc does not say then that their braces are
    // superfluous); or it has a comma behind it; or it is a block without one.
    (
        @cases $name:ident $how:tt [$($cases:tt)*] $default:tt [$i:tt $($is:tt)*]
        recv($r:expr $(,)?) -> $p:pat => $b:block $(,)?
    ) => {
        $crate::__select!(@cases $name $how [$($cases)* {$i recv ($r) ($p) ($b)}] $default [$($is)*])
    };
    (
        @cases $name:ident $how:tt [$($cases:tt)*] $default:tt [$i:tt $($is:tt)*]
        recv($r:expr $(,)?) -> $p:pat => $b:expr $(,)?
    ) => {
        $crate::__select!(@cases $name $how [$($cases)* {$i recv ($r) ($p) ($b)}] $default [$($is)*])
    };
    (
        @cases $name:ident $how:tt [$($cases:tt)*] $default:tt [$i:tt $($is:tt)*]
        recv($r:expr $(,)?) -> $p:pat => $b:block, $($rest:tt)+
    ) => {
        $crate::__select!(@cases $name $how [$($cases)* {$i recv ($r) ($p) ($b)}] $default [$($is)*] $($rest)+)
    };
    (
        @cases $name:ident $how:tt [$($cases:tt)*] $default:tt [$i:tt $($is:tt)*]
        recv($r:expr $(,)?) -> $p:pat => $b:expr, $($rest:tt)+
    ) => {
        $crate::__select!(@cases $name $how [$($cases)* {$i recv ($r) ($p) ($b)}] $default [$($is)*] $($rest)+)
    };
    (
        @cases $name:ident $how:tt [$($cases:tt)*] $default:tt [$i:tt $($is:tt)*]
        recv($r:expr $(,)?) -> $p:pat => $b:block $($rest:tt)+
    ) => {
        $crate::__select!(@cases $name $how [$($cases)* {$i recv ($r) ($p) ($b)}] $default [$($is)*] $($rest)+)
    };
    (
        @cases $name:ident $how:tt [$($cases:tt)*] $default:tt [$i:tt $($is:tt)*]
        send($s:expr, $m:expr $(,)?) -> $p:pat => $b:block $(,)?
    ) => {
        $crate::__select!(@cases $name $how [$($cases)* {$i send ($s) ($m) ($p) ($b)}] $default [$($is)*])
    };
    (
        @cases $name:ident $how:tt [$($cases:tt)*] $default:tt [$i:tt $($is:tt)*]
        send($s:expr, $m:expr $(,)?) -> $p:pat => $b:expr $(,)?
    ) => {
        $crate::__select!(@cases $name $how [$($cases)* {$i send ($s) ($m) ($p) ($b)}] $default [$($is)*])
    };
    (
        @cases $name:ident $how:tt [$($cases:tt)*] $default:tt [$i:tt $($is:tt)*]
        send($s:expr, $m:expr $(,)?) -> $p:pat => $b:block, $($rest:tt)+
    ) => {
        $crate::__select!(@cases $name $how [$($cases)* {$i send ($s) ($m) ($p) ($b)}] $default [$($is)*] $($rest)+)
    };
    (
        @cases $name:ident $how:tt [$($cases:tt)*] $default:tt [$i:tt $($is:tt)*]
        send($s:expr, $m:expr $(,)?) -> $p:pat => $b:expr, $($rest:tt)+
    ) => {
        $crate::__select!(@cases $name $how [$($cases)* {$i send ($s) ($m) ($p) ($b)}] $default [$($is)*] $($rest)+)
    };
    (
        @cases $name:ident $how:tt [$($cases:tt)*] $default:tt [$i:tt $($is:tt)*]
        send($s:expr, $m:expr $(,)?) -> $p:pat => $b:block $($rest:tt)+
    ) => {
        $crate::__select!(@cases $name $how [$($cases)* {$i send ($s) ($m) ($p) ($b)}] $default [$($is)*] $($rest)+)
    };
    (@cases $name:ident $how:tt $cases:tt [] $is:tt default $(())? => $b:block $(,)?) => {
        $crate::__select!(@cases $name $how $cases [(None) ($b)] $is)
    };
    (@cases $name:ident $how:tt $cases:tt [] $is:tt default $(())? => $b:expr $(,)?) => {
        $crate::__select!(@cases $name $how $cases [(None) ($b)] $is)
    };
    (@cases $name:ident $how:tt $cases:tt [] $is:tt default $(())? => $b:block, $($rest:tt)+) => {
        $crate::__select!(@cases $name $how $cases [(None) ($b)] $is $($rest)+)
    };
    (@cases $name:ident $how:tt $cases:tt [] $is:tt default $(())? => $b:expr, $($rest:tt)+) => {
        $crate::__select!(@cases $name $how $cases [(None) ($b)] $is $($rest)+)
    };
    (@cases $name:ident $how:tt $cases:tt [] $is:tt default $(())? => $b:block $($rest:tt)+) => {
        $crate::__select!(@cases $name $how $cases [(None) ($b)] $is $($rest)+)
    };
    (@cases $name:ident $how:tt $cases:tt [] $is:tt default($t:expr $(,)?) => $b:block $(,)?) => {
        $crate::__select!(@cases $name $how $cases [(Some($t)) ($b)] $is)
    };
    (@cases $name:ident $how:tt $cases:tt [] $is:tt default($t:expr $(,)?) => $b:expr $(,)?) => {
        $crate::__select!(@cases $name $how $cases [(Some($t)) ($b)] $is)
    };
    (@cases $name:ident $how:tt $cases:tt [] $is:tt default($t:expr $(,)?) => $b:block, $($rest:tt)+) => {
        $crate::__select!(@cases $name $how $cases [(Some($t)) ($b)] $is $($rest)+)
    };
    (@cases $name:ident $how:tt $cases:tt [] $is:tt default($t:expr $(,)?) => $b:expr, $($rest:tt)+) => {
        $crate::__select!(@cases $name $how $cases [(Some($t)) ($b)] $is $($rest)+)
    };
    (@cases $name:ident $how:tt $cases:tt [] $is:tt default($t:expr $(,)?) => $b:block $($rest:tt)+) => {
        $crate::__select!(@cases $name $how $cases [(Some($t)) ($b)] $is $($rest)+)
    };

    // What cannot be read.
    (@cases $name:ident $how:tt $cases:tt $default:tt [] recv $($rest:tt)*) => {
        $crate::__select!(@error "too many cases in a `", [$name], "!` block: at most 64 are possible")
    };
    (@cases $name:ident $how:tt $cases:tt $default:tt [] send $($rest:tt)*) => {
        $crate::__select!(@error "too many cases in a `", [$name], "!` block: at most 64 are possible")
    };
    (@cases $name:ident $how:tt $cases:tt [$($default:tt)+] $is:tt default $($rest:tt)*) => {
        $crate::__select!(@error "there can be only one `default` case in a `", [$name], "!` block")
    };
    (@cases $name:ident $how:tt $cases:tt $default:tt $is:tt recv($r:expr $(,)?) -> $p:pat => $($rest:tt)+) => {
        $crate::__select!(@error "expected a comma behind the body of a `recv` case of `", [$name], "!`")
    };
    (@cases $name:ident $how:tt $cases:tt $default:tt $is:tt send($s:expr, $m:expr $(,)?) -> $p:pat => $($rest:tt)+) => {
        $crate::__select!(@error "expected a comma behind the body of a `send` case of `", [$name], "!`")
    };
    (@cases $name:ident $how:tt $cases:tt $default:tt $is:tt default $(())? => $($rest:tt)+) => {
        $crate::__select!(@error "expected a comma behind the body of a `default` case of `", [$name], "!`")
    };
    (@cases $name:ident $how:tt $cases:tt $default:tt $is:tt default($t:expr $(,)?) => $($rest:tt)+) => {
        $crate::__select!(@error "expected a comma behind the body of a `default` case of `", [$name], "!`")
    };
    (@cases $name:ident $how:tt $cases:tt $default:tt $is:tt recv $($rest:tt)*) => {
        $crate::__select!(@error "a `recv` case of `", [$name], "!` is written `recv(receiver) -> pattern => body`")
    };
    (@cases $name:ident $how:tt $cases:tt $default:tt $is:tt send $($rest:tt)*) => {
        $crate::__select!(
            @error "a `send` case of `", [$name], "!` is written `send(sender, message) -> pattern => body`"
        )
    };
    (@cases $name:ident $how:tt $cases:tt $default:tt $is:tt default $($rest:tt)*) => {
        $crate::__select!(
            @error "a `default` case of `", [$name], "!` is written `default => body` or `default(timeout) => body`"
        )
    };
    (@cases $name:ident $how:tt $cases:tt $default:tt $is:tt $t:tt $($rest:tt)*) => {
        $crate::__select!(
            @error "expected a `recv`, `send` or `default` case of `", [$name], "!`, found `", [$t], "`"
        )
    };
    // Of texts, and of [tokens].
    (@error $($part:tt),+) => {
        ::core::compile_error!(::core::concat!($($crate::__select!(@text $part)),+))
    };
    (@text [$text:tt]) => { ::core::stringify!($text) };
    (@text $text:literal) => { $text };

    (@handle {$i:tt recv ($r:expr) $p:tt $b:tt}) => { &$r };
    (@handle {$i:tt send ($s:expr) $m:tt $p:tt $b:tt}) => { &$s };
    (@arm $handles:ident {$i:tt recv $r:tt $p:tt $b:tt}) => { $handles.$i.__recv_arm() };
    (@arm $handles:ident {$i:tt send $s:tt $m:tt $p:tt $b:tt}) => { $handles.$i.__send_arm() };

    (@select $arms:ident $how:tt $default:tt $({$i:tt $($case:tt)*})*) => {
        match $crate::__select!(@run $how $default [$($arms.$i.arm()),*]) {
            $($i => $crate::__select!(@finish $arms $i $($case)*),)*
            _ => $crate::__select!(@default $default),
        }
    };
    (@run (blocking $biased:tt) $default:tt $arms:tt) => {
        $crate::__private::select($arms, $biased, $crate::__select!(@wait $default))
    };
    (@run (awaiting $biased:tt) $default:tt $arms:tt) => {
        $crate::__private::select_async($arms, $biased, $crate::__select!(@wait $default)).await
    };
    (@wait []) => { ::core::option::Option::None };
    (@wait [(None) $b:tt]) => { ::core::option::Option::Some(::core::option::Option::None) };
    (@wait [(Some($t:expr)) $b:tt]) => { ::core::option::Option::Some(::core::option::Option::Some($t)) };
    (@default []) => { ::core::unreachable!() };
    (@default [$wait:tt ($b:expr)]) => { $b };

    (@finish $arms:ident $i:tt recv $r:tt ($p:pat) ($b:expr)) => {{
        let received = $arms.$i.finish();
        let $p = received;
        $b
    }};
    (@finish $arms:ident $i:tt send $s:tt ($m:expr) ($p:pat) ($b:expr)) => {{
        let promise = $arms.$i.promise();
        let sent = promise.keep($m);
        let $p = sent;
        $b
    }};
}
