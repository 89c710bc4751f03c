//! Memory for the unread input of connections that wait for the rest of a request. It is in few large blocks,
//! apart from the heap: after a flood of half requests the heap would have holes between longer-lived
//! allocations, and the system would not get the memory back.

use std::cell::RefCell;
use std::rc::Rc;

use crate::limits::{INBOX_MAX_BYTES, PARKED_MIN_BYTES};

/// The blocks, shared by all connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Parking(Rc<RefCell<Blocks>>);

#[derive(Debug, Default)]
struct Blocks(Vec<Option<ParkingBlock>>);

/// A block of slots, each for the unread input of one connection.
#[derive(Debug)]
struct ParkingBlock {
    bytes: Vec<u8>,
    /// The number of slots that were used since the block was allocated. The system has provided memory for
    /// no others.
    touched: usize,
    /// Those of them that are free now.
    free: Vec<usize>,
}

/// A slot with bytes in it, freed on drop.
#[derive(Debug)]
pub(super) struct Parked {
    parking: Parking,
    block: u32,
    slot: u16,
    length: u16,
}

/// The size of a block. The C library never takes an allocation of this size from its heap (M_MMAP_THRESHOLD
/// in mallopt(3)), so it is only address space until it is written to, and is returned to the system when it
/// is freed.
const BLOCK_BYTES: usize = 32 << 20;

const SLOT_BYTES: usize = INBOX_MAX_BYTES;

const SLOTS: usize = BLOCK_BYTES / SLOT_BYTES;

/// An empty block is kept if no more slots than this were used: freeing it would save less than the system
/// calls for the next block cost.
const KEPT_SLOTS: usize = 64;

const _: () = {
    assert!(SLOTS <= u16::MAX as usize);
    assert!(INBOX_MAX_BYTES <= u16::MAX as usize);
};

impl Parking {
    /// Copies `bytes` into a free slot. Returns `None` if they are too few to be worth one.
    pub(super) fn park(&self, bytes: &[u8]) -> Option<Parked> {
        if !(PARKED_MIN_BYTES..=SLOT_BYTES).contains(&bytes.len()) {
            return None;
        }
        let mut parked = self.take_slot();
        parked.length = bytes.len() as u16;
        self.0.borrow_mut().slot(&parked).copy_from_slice(bytes);
        Some(parked)
    }

    /// Takes a free slot of the first block that has one, so that the last blocks become empty.
    fn take_slot(&self) -> Parked {
        let blocks = &mut self.0.borrow_mut().0;
        let has_room = |block: &Option<ParkingBlock>| block.as_ref().is_none_or(ParkingBlock::has_room);
        let index = blocks.iter().position(has_room).unwrap_or_else(|| {
            blocks.push(None);
            blocks.len() - 1
        });
        let slot = blocks[index].get_or_insert_with(ParkingBlock::new).take();
        Parked { parking: self.clone(), block: index as u32, slot: slot as u16, length: 0 }
    }
}

impl Blocks {
    /// Returns the bytes in a slot.
    fn slot(&mut self, parked: &Parked) -> &mut [u8] {
        let start = usize::from(parked.slot) * SLOT_BYTES;
        match &mut self.0[parked.block as usize] {
            Some(block) => &mut block.bytes[start..start + usize::from(parked.length)],
            None => &mut [],
        }
    }
}

impl ParkingBlock {
    fn new() -> ParkingBlock {
        ParkingBlock { bytes: vec![0; BLOCK_BYTES], touched: 0, free: Vec::new() }
    }

    fn has_room(&self) -> bool {
        self.touched < SLOTS || !self.free.is_empty()
    }

    fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.touched += 1;
            self.touched - 1
        })
    }
}

impl Parked {
    /// Returns a copy of the bytes.
    pub(super) fn copy(&self) -> Vec<u8> {
        self.parking.0.borrow_mut().slot(self).to_vec()
    }

    /// Returns the number of bytes in the slot.
    pub(super) fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// Returns the bytes of memory held.
    pub(super) fn capacity(&self) -> usize {
        SLOT_BYTES
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let place = &mut self.parking.0.borrow_mut().0[self.block as usize];
        if let Some(block) = place {
            block.free.push(usize::from(self.slot));
            if block.free.len() == block.touched && block.touched > KEPT_SLOTS {
                *place = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(parking: &Parking) -> usize {
        parking.0.borrow().0.iter().flatten().count()
    }

    #[test]
    fn parked_bytes_are_returned_whatever_is_parked_beside_them() {
        let (parking, mut random) = (Parking::default(), fastrand::Rng::with_seed(1));
        let mut all: Vec<(Vec<u8>, Option<Parked>)> = Vec::new();
        for _ in 0..20_000 {
            let bytes = vec![random.u8(..); random.usize(PARKED_MIN_BYTES..=INBOX_MAX_BYTES)];
            if all.len() > 500 {
                let (bytes, parked) = all.swap_remove(random.usize(..all.len()));
                assert!(parked.map(|parked| parked.copy()) == Some(bytes));
            }
            if random.bool() {
                all.pop();
            }
            let parked = parking.park(&bytes);
            all.push((bytes, parked));
        }
        assert!(all.iter().all(|(bytes, parked)| parked.as_ref().map(Parked::copy).as_ref() == Some(bytes)));
        assert_eq!(blocks(&parking), 1);
    }

    #[test]
    fn empty_blocks_are_freed_unless_few_slots_were_used() {
        let parking = Parking::default();
        let bytes = [7; PARKED_MIN_BYTES];
        assert!(parking.park(&bytes[1..]).is_none() && blocks(&parking) == 0);
        let mut all: Vec<_> = (0..2 * SLOTS + 1).map(|_| parking.park(&bytes)).collect();
        assert_eq!(blocks(&parking), 3);
        all.truncate(SLOTS + 1);
        // The third block is kept: only one of its slots was used.
        assert_eq!(blocks(&parking), 3);
        all.remove(0);
        all.push(parking.park(&bytes));
        drop(all);
        assert_eq!(blocks(&parking), 1);
    }
}
