//! A body that nobody wants, and the request that waits for its end.

use crate::limits::UNWANTED_BODY_MAX_BYTES;

use super::body::{Body, Framing};
use super::status::Refusal;

/// A body that is being read and thrown away.
#[derive(Debug)]
pub struct Unwanted {
    body: Body,
    read: u64,
    /// The head of the request, to be read again when it is answered. That is at the body's end,
    /// so that a malformed body is refused, or when the body pauses. None: it was answered.
    head: Option<Box<[u8]>>,
}

/// How far a body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Come {
    /// More of it is to come.
    Partly,
    /// To its end.
    Whole,
    /// Too far.
    TooLong,
}

impl Unwanted {
    /// The body behind `head`.
    pub fn new(framing: Framing, head: &[u8]) -> Unwanted {
        Unwanted { body: Body::new(framing), read: 0, head: Some(head.into()) }
    }

    /// Takes from `input` what belongs to the body: so many bytes, and how far it has come.
    pub fn take(&mut self, input: &[u8]) -> Result<(usize, Come), Refusal> {
        let taken = self.body.take(input, |_| ())?;
        self.read += taken.consumed as u64;
        let come = match taken.done {
            _ if self.read > UNWANTED_BODY_MAX_BYTES => Come::TooLong,
            true => Come::Whole,
            false => Come::Partly,
        };
        Ok((taken.consumed, come))
    }

    /// How many bytes of it are sure to come.
    pub fn expected(&self) -> usize {
        self.body.expected()
    }

    /// Whether it is sure to end within the bound.
    pub fn is_bounded(&self) -> bool {
        matches!(self.body, Body::Length(_))
    }

    /// Whether the request was answered.
    pub fn is_answered(&self) -> bool {
        self.head.is_none()
    }

    /// Takes the head, to answer the request now.
    pub fn take_head(&mut self) -> Option<Box<[u8]>> {
        self.head.take()
    }
}
