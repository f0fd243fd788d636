//! What cannot be read as cases. Each is told in words, where the macro was called.

use gochan::{Receiver, Sender, select, select_async, select_biased};
use std::time::Duration;

fn empty() {
    select! {} //~ empty `select!` block
    select_biased! {} //~ empty `select_biased!` block
}

async fn empty_async() {
    select_async! {} //~ empty `select_async!` block
}

fn not_a_case(rx: Receiver<u8>) {
    select! { receive(rx) -> _ => {} } //~ expected a `recv`, `send` or `default` case of `select!`, found `receive`
    select! { recv(rx) -> _ => {} else => {} } //~ expected a `recv`, `send` or `default` case of `select!`, found `else`
    select! { rx -> _ => {} } //~ expected a `recv`, `send` or `default` case of `select!`, found `rx`
    select! { _ = rx.recv() => {} } //~ expected a `recv`, `send` or `default` case of `select!`, found `_`
    select! { - => {} } //~ expected a `recv`, `send` or `default` case of `select!`, found `-`
    select! { = => {} } //~ expected a `recv`, `send` or `default` case of `select!`, found `=`
    select! { 'a => {} } //~ expected a `recv`, `send` or `default` case of `select!`, found `'a`
    select! { 1.5 => {} } //~ expected a `recv`, `send` or `default` case of `select!`, found `1.5`
    select! { {} => {} } //~ expected a `recv`, `send` or `default` case of `select!`, found `{}`
    select! { "recv" => {} } //~ expected a `recv`, `send` or `default` case of `select!`, found `"recv"`
    select! { (rx) -> _ => {} } //~ expected a `recv`, `send` or `default` case of `select!`, found `(rx)`
    select! { , recv(rx) -> _ => {} } //~ expected a `recv`, `send` or `default` case of `select!`, found `,`
    select! { recv(rx) -> _ => {}; default => {} } //~ expected a `recv`, `send` or `default` case of `select!`, found `;`
    select! { recv(rx) -> _ => {},, default => {} } //~ expected a `recv`, `send` or `default` case of `select!`, found `,`
    select_biased! { recv(rx) -> _ => {} complete => {} } //~ expected a `recv`, `send` or `default` case of `select_biased!`, found `complete`
}

fn recv(rx: Receiver<u8>) {
    select! { recv(rx) => {} } //~ a `recv` case of `select!` is written `recv(receiver) -> pattern => body`
    select! { recv(rx) -> => {} } //~ a `recv` case of `select!` is written `recv(receiver) -> pattern => body`
    select! { recv(rx) -> value } //~ a `recv` case of `select!` is written `recv(receiver) -> pattern => body`
    select! { recv(rx) -> value => } //~ a `recv` case of `select!` is written `recv(receiver) -> pattern => body`
    select! { recv(rx) -> value, default => {} } //~ a `recv` case of `select!` is written `recv(receiver) -> pattern => body`
    select! { recv() -> _ => {} } //~ a `recv` case of `select!` is written `recv(receiver) -> pattern => body`
    select! { recv -> _ => {} } //~ a `recv` case of `select!` is written `recv(receiver) -> pattern => body`
    select! { recv(rx, rx) -> _ => {} } //~ a `recv` case of `select!` is written `recv(receiver) -> pattern => body`
    select! { recv[rx] -> _ => {} } //~ a `recv` case of `select!` is written `recv(receiver) -> pattern => body`
    select! { recv(rx) -> value if true => {} } //~ a `recv` case of `select!` is written `recv(receiver) -> pattern => body`
    select! { recv(rx) value => {} } //~ a `recv` case of `select!` is written `recv(receiver) -> pattern => body`
    select_biased! { default => {} recv(rx) => {} } //~ a `recv` case of `select_biased!` is written
}

fn send(tx: Sender<u8>) {
    select! { send(tx, 1) => {} } //~ a `send` case of `select!` is written `send(sender, message) -> pattern => body`
    select! { send(tx) -> _ => {} } //~ a `send` case of `select!` is written `send(sender, message) -> pattern => body`
    select! { send() -> _ => {} } //~ a `send` case of `select!` is written `send(sender, message) -> pattern => body`
    select! { send(tx,) -> _ => {} } //~ a `send` case of `select!` is written `send(sender, message) -> pattern => body`
    select! { send(tx, 1, 2) -> _ => {} } //~ a `send` case of `select!` is written `send(sender, message) -> pattern => body`
    select! { send(tx, 1) -> _ } //~ a `send` case of `select!` is written `send(sender, message) -> pattern => body`
    select! { send(tx, 1) -> _ => } //~ a `send` case of `select!` is written `send(sender, message) -> pattern => body`
    select! { send -> _ => {} } //~ a `send` case of `select!` is written `send(sender, message) -> pattern => body`
}

async fn send_async(tx: Sender<u8>) {
    select_async! { send(tx) -> _ => {} } //~ a `send` case of `select_async!` is written
}

fn default(rx: Receiver<u8>) {
    select! { default } //~ a `default` case of `select!` is written `default => body` or `default(timeout) => body`
    select! { default => } //~ a `default` case of `select!` is written `default => body` or `default(timeout) => body`
    select! { default -> _ => {} } //~ a `default` case of `select!` is written `default => body` or `default(timeout) => body`
    select! { default(Duration::ZERO, 1) => {} } //~ a `default` case of `select!` is written `default => body` or `default(timeout) => body`
    select! { default => {} default => {} } //~ there can be only one `default` case in a `select!` block
    select! { default => {} recv(rx) -> _ => {} default(Duration::ZERO) => {} } //~ there can be only one `default` case in a `select!` block
    select_biased! { default => (), default => () } //~ there can be only one `default` case in a `select_biased!` block
}

fn no_comma(rx: Receiver<u8>, tx: Sender<u8>) {
    select! { recv(rx) -> _ => () default => {} } //~ expected a comma behind the body of a `recv` case of `select!`
    select! { send(tx, 1) -> _ => drop(rx) recv(rx) -> _ => {} } //~ expected a comma behind the body of a `send` case of `select!`
    select! { default => 1 recv(rx) -> _ => 2 } //~ expected a comma behind the body of a `default` case of `select!`
    select! { recv(rx) -> value => match value { _ => {} } default => {} } //~ expected a comma behind the body of a `recv` case of `select!`
    select_biased! { recv(rx) -> _ => 1; default => 2 } //~ expected a comma behind the body of a `recv` case of `select_biased!`
}

fn main() {}
