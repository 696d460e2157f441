//! Gzip (RFC 1952) in parts that together are one member: what many share is deflated once, what differs is deflated for each and joined to it. Members one after the
//! other would be legal too, but not every client reads past the first: curl and browsers stop there.
//!
//! The shared part is made of blocks that know nothing of each other, so that a block that is the same as at the look before is not deflated again. Half of the lines
//! of a busy host are such, and nearly all of one at rest.

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use foldhash::quality::RandomState;

/// Ten bytes (RFC 1952, 2.3): deflate, no name, no time, fastest, system unknown.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// The output grows by this much: doubling would hold half of it in vain.
const ROOM: usize = 16 << 10;

/// Deflates; its tables are used again.
pub struct Gzip(Compress);

/// The beginning of a member, deflated and without an end.
#[derive(Debug, Default)]
pub struct Beginning {
    /// To be sent first.
    pub bytes: Bytes,
    check: Crc,
}

/// The blocks of the last beginning.
#[derive(Default)]
pub struct Blocks {
    kept: Vec<Block>,
    /// The last beginning, where they lie.
    last: Bytes,
    hash: RandomState,
    /// How many of the last beginning were deflated; the others were as before.
    pub deflated: usize,
}

/// One block, known again by its length, its checksum and 64 bits of a hash whose seed nobody knows.
struct Block {
    hash: u64,
    check: Crc,
    /// Where it lies in the beginning.
    at: Range<usize>,
}

/// A beginning as it is written.
pub struct Writer<'a> {
    deflate: &'a mut Compress,
    blocks: &'a mut Blocks,
    written: usize,
    bytes: Vec<u8>,
}

impl Gzip {
    /// At the fastest level: text like ours shrinks to a tenth already.
    #[expect(clippy::new_without_default, reason = "its tables are a quarter of a MiB: made on purpose, not by default")]
    pub fn new() -> Gzip {
        Gzip(Compress::new(Compression::fast(), false))
    }

    /// Begins a member over the blocks of the last one of its kind.
    pub fn begin<'a>(&'a mut self, blocks: &'a mut Blocks) -> Writer<'a> {
        blocks.deflated = 0;
        let mut bytes = Vec::with_capacity(blocks.last.len() + ROOM);
        bytes.extend_from_slice(&HEADER);
        Writer { deflate: &mut self.0, blocks, written: 0, bytes }
    }

    /// The bytes that, behind those of the beginning, make it a whole member whose text ends in `plain`.
    pub fn end(&mut self, beginning: &Beginning, plain: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(plain.len() / 2 + 256);
        deflate(&mut self.0, plain, FlushCompress::Finish, &mut out);
        let (mut check, mut tail) = (Crc::new(), Crc::new());
        check.combine(&beginning.check);
        tail.update(plain);
        check.combine(&tail);
        out.extend_from_slice(&check.sum().to_le_bytes());
        out.extend_from_slice(&check.amount().to_le_bytes());
        out.into()
    }
}

impl Writer<'_> {
    /// Adds a block of text. One of 32 KiB, the window of deflate, or more loses little by not knowing what stood before it.
    pub fn write(&mut self, plain: &[u8]) {
        if plain.is_empty() {
            return;
        }
        let Blocks { kept, last, hash, deflated } = &mut *self.blocks;
        let mut hasher = hash.build_hasher();
        hasher.write(plain);
        let hash = hasher.finish();
        let mut check = Crc::new();
        check.update(plain);
        if kept.len() == self.written {
            kept.push(Block { hash, check: Crc::new(), at: 0..0 });
        }
        let block = &mut kept[self.written];
        self.written += 1;
        let start = self.bytes.len();
        if block.hash == hash && block.check.sum() == check.sum() && block.check.amount() == check.amount() {
            self.bytes.extend_from_slice(&last[block.at.clone()]);
        } else {
            *deflated += 1;
            (block.hash, block.check) = (hash, check);
            // Ends at a whole byte, where another deflater can go on (an empty stored block, RFC 1951, 3.2.4).
            deflate(self.deflate, plain, FlushCompress::Sync, &mut self.bytes);
        }
        block.at = start..self.bytes.len();
    }

    /// What was written, as the beginning of a member.
    pub fn finish(self) -> Beginning {
        self.blocks.kept.truncate(self.written);
        let mut check = Crc::new();
        self.blocks.kept.iter().for_each(|block| check.combine(&block.check));
        self.blocks.last = self.bytes.into();
        Beginning { bytes: self.blocks.last.clone(), check }
    }
}

/// Deflates one text that knows of no other.
fn deflate(deflate: &mut Compress, mut plain: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
    deflate.reset();
    loop {
        if out.capacity() - out.len() < 64 {
            out.reserve_exact(ROOM);
        }
        let before = deflate.total_in();
        let status = deflate.compress_vec(plain, out, flush).expect("deflating knows no wrong text");
        plain = &plain[(deflate.total_in() - before) as usize..];
        let done = match flush {
            FlushCompress::Finish => status == Status::StreamEnd,
            // What it still holds back is written once it leaves room.
            _ => plain.is_empty() && out.len() < out.capacity(),
        };
        if done {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn unpack(bytes: &[u8]) -> Vec<u8> {
        let (mut one, mut text) = (GzDecoder::new(bytes), Vec::new());
        // One member: whatever follows it is not read, so nothing may.
        one.read_to_end(&mut text).unwrap();
        assert_eq!(one.into_inner().len(), 0, "bytes behind the member");
        text
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn both_parts_are_one_member(
            blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20_000), 0..4),
            ends in prop::collection::vec("[a-c\n]{0,300}", 1..3),
            looks in prop::collection::vec(prop::collection::vec(0_usize..4, 0..5), 1..4),
        ) {
            let (mut gzip, mut kept) = (Gzip::new(), Blocks::default());
            for look in looks {
                // Blocks change, move, come and go.
                let blocks: Vec<&[u8]> = look.iter().filter_map(|at| blocks.get(*at)).map(Vec::as_slice).collect();
                let mut writer = gzip.begin(&mut kept);
                blocks.iter().for_each(|block| writer.write(block));
                let beginning = writer.finish();
                for end in &ends {
                    let rest = gzip.end(&beginning, end.as_bytes());
                    let text = unpack(&[&beginning.bytes[..], &rest[..]].concat());
                    prop_assert!(text == [blocks.concat(), end.clone().into_bytes()].concat());
                }
            }
        }
    }

    #[test]
    fn what_is_as_before_is_not_deflated_again() {
        let (mut gzip, mut blocks) = (Gzip::new(), Blocks::default());
        for (texts, deflated) in [(["a 1\n", "b 1\n", "c 1\n"], 3), (["a 1\n", "b 2\n", "c 1\n"], 1), (["a 1\n", "b 2\n", "c 1\n"], 0)] {
            let mut writer = gzip.begin(&mut blocks);
            texts.iter().for_each(|text| writer.write(text.as_bytes()));
            let beginning = writer.finish();
            let rest = gzip.end(&beginning, b"");
            assert_eq!(unpack(&[&beginning.bytes[..], &rest[..]].concat()), texts.concat().as_bytes());
            assert_eq!(blocks.deflated, deflated);
        }
    }

    #[test]
    fn nothing_is_a_member_too() {
        let mut gzip = Gzip::new();
        let beginning = gzip.begin(&mut Blocks::default()).finish();
        let rest = gzip.end(&beginning, b"");
        assert_eq!(unpack(&[&beginning.bytes[..], &rest[..]].concat()), b"");
    }
}
