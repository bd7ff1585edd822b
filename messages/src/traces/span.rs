//! A span as OpenTelemetry has it (opentelemetry-proto, trace.proto), which is written down while it is told.

use super::{
    choice::Place,
    outlet::Outlet,
    wire::{Message, Value},
};
use crate::{
    clock::SystemClock,
    limits::{SPAN_BYTES_USUAL, SPANS_SPARE_MAX},
};
use std::{cell::RefCell, mem, sync::Arc};

const TRACE_ID: u8 = 1;
const SPAN_ID: u8 = 2;
const TRACE_STATE: u8 = 3;
const PARENT_SPAN_ID: u8 = 4;
const NAME: u8 = 5;
const KIND: u8 = 6;
const START_TIME_UNIX_NANO: u8 = 7;
const END_TIME_UNIX_NANO: u8 = 8;
const ATTRIBUTES: u8 = 9;
const STATUS: u8 = 15;
const FLAGS: u8 = 16;

const STATUS_MESSAGE: u8 = 2;
const STATUS_CODE: u8 = 3;
const STATUS_CODE_ERROR: u64 = 2;

/// The trace is recorded, and it is known whether the parent is elsewhere.
const SAMPLED: u32 = 0x101;
const PARENT_IS_REMOTE: u32 = 0x200;

thread_local! {
    /// Room that spans have had which ended on this thread. To ask for it anew was half of what a span costs.
    static SPARE: RefCell<Vec<Message>> = const { RefCell::new(Vec::new()) };
}

/// Which side of a request a span is on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Server = 2,
    Client = 3,
}

/// Something that takes time. It ends when this is dropped.
#[derive(Debug)]
pub struct Work {
    span: Message,
    begun_ns: u64,
    outlet: Arc<Outlet>,
}

impl Work {
    /// The name may be of several parts.
    pub(super) fn begin(place: &Place, name: &[&str], kind: Kind, outlet: Arc<Outlet>) -> Self {
        let begun_ns = SystemClock.now_ns();
        let mut span = room();
        span.bytes(TRACE_ID, &place.trace.to_bytes());
        span.bytes(SPAN_ID, &place.span.to_bytes());
        if let Some(parent) = place.parent {
            span.bytes(PARENT_SPAN_ID, &parent.to_bytes());
            span.text(TRACE_STATE, &[&place.state.header()]);
        }
        span.text(NAME, name);
        span.number(KIND, kind as u64);
        span.fixed32(FLAGS, place.parent.map_or(SAMPLED, |_| SAMPLED | PARENT_IS_REMOTE));
        span.fixed64(START_TIME_UNIX_NANO, begun_ns);
        Self { span, begun_ns, outlet }
    }

    /// Says more of it.
    pub fn tell<'a>(&mut self, name: &'static str, value: impl Into<Value<'a>>) {
        self.span.attribute(ATTRIBUTES, name, value.into());
    }

    /// It went wrong in a way that somebody may want to look at.
    pub fn failed(&mut self, why: &'static str) {
        self.tell("error.type", why);
        let mut status = Message::default();
        status.text(STATUS_MESSAGE, &[why]);
        status.number(STATUS_CODE, STATUS_CODE_ERROR);
        self.span.bytes(STATUS, status.as_bytes());
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Clocks of the day may be set back.
        self.span.fixed64(END_TIME_UNIX_NANO, SystemClock.now_ns().max(self.begun_ns));
        self.outlet.ended(&self.span);
        give_back(mem::take(&mut self.span));
    }
}

fn room() -> Message {
    let spare = SPARE.with_borrow_mut(Vec::pop);
    spare.unwrap_or_else(|| Message::with_capacity(SPAN_BYTES_USUAL))
}

/// Keeps what is neither too much nor too large.
fn give_back(mut span: Message) {
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPANS_SPARE_MAX && span.capacity() <= SPAN_BYTES_USUAL {
            span.clear();
            spare.push(span);
        }
    });
}
