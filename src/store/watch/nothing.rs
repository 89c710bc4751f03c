//! Elsewhere nobody tells: kqueue wants a descriptor for every file.

use std::rc::Rc;
use std::time::Instant;

use crate::store::FileVersion;
use crate::store::beneath::Root;

/// No files.
#[derive(Debug)]
pub(crate) struct Watches;

/// There is none.
#[derive(Debug)]
pub enum Watch {}

impl Watches {
    /// None, whatever the root.
    pub(crate) fn new(_root: Rc<Root>) -> Rc<Watches> {
        Rc::new(Watches)
    }

    /// Never watches.
    pub(crate) fn watch(&self, _path: &[u8], _version: FileVersion, _now: Instant) -> Option<Watch> {
        None
    }
}

impl Watch {
    /// Of no watch.
    pub fn is_quiet(&mut self, _now: Instant) -> bool {
        match *self {}
    }
}
