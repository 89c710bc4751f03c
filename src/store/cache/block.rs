//! An entry's bytes in one piece: each part lies where the one before has just been read, which spares
//! a cache miss on the way to it, and what is served leaves with one send.

use std::rc::Rc;

use crate::slice::Slice;

/// Key, path, head and content.
pub struct Block {
    bytes: Rc<[u8]>,
    key_end: u32,
    path_end: u32,
    head_end: u32,
}

impl Block {
    /// Of its parts.
    pub fn new(parts: [&[u8]; 4]) -> Block {
        let end = |count: usize| parts[..count].iter().map(|part| part.len() as u32).sum();
        Block { key_end: end(1), path_end: end(2), head_end: end(3), bytes: parts.concat().into() }
    }

    /// What is asked for.
    pub fn key(&self) -> &[u8] {
        &self.bytes[..self.key_end as usize]
    }

    /// Where the file stands, which need not be what was asked for.
    pub fn path(&self) -> &[u8] {
        &self.bytes[self.key_end as usize..self.path_end as usize]
    }

    /// What the protocol has made of the file.
    pub fn head(&self) -> Slice {
        Slice::of(&self.bytes, self.path_end as usize..self.head_end as usize)
    }

    /// What is in memory of the file.
    pub fn content(&self) -> Slice {
        Slice::of(&self.bytes, self.head_end as usize..self.bytes.len())
    }

    /// Head and content, with `new` at `at`. `None` if it would change under the hands of who is still
    /// sending it.
    pub fn message(&mut self, at: usize, new: &[u8]) -> Option<Slice> {
        let start = self.path_end as usize;
        let place = start + at..start + at + new.len();
        if self.bytes[place.clone()] != *new {
            Rc::get_mut(&mut self.bytes)?[place].copy_from_slice(new);
        }
        Some(Slice::of(&self.bytes, start..self.bytes.len()))
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}
