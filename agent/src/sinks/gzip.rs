//! Gzip (RFC 1952) in two parts: what many share is deflated once, what differs is deflated for each and joined to it, and together they are one member.
//! Members one after the other would be legal too, but not every client reads past the first: curl and browsers stop there.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Ten bytes (RFC 1952, 2.3): deflate, no name, no time, fastest, system unknown.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// The output grows by at least this much.
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

/// A beginning as it is written.
pub struct Writer<'a> {
    deflate: &'a mut Compress,
    out: Vec<u8>,
    check: Crc,
}

impl Gzip {
    /// At the fastest level: text like ours shrinks to a fifteenth already.
    #[expect(clippy::new_without_default, reason = "its tables are a quarter of a MiB: made on purpose, not by default")]
    pub fn new() -> Gzip {
        Gzip(Compress::new(Compression::fast(), false))
    }

    /// Begins a member of about `room` bytes.
    pub fn begin(&mut self, room: usize) -> Writer<'_> {
        self.0.reset();
        let mut out = Vec::with_capacity(room.max(ROOM));
        out.extend_from_slice(&HEADER);
        Writer { deflate: &mut self.0, out, check: Crc::new() }
    }

    /// The bytes that, behind those of the beginning, make it a whole member whose text ends in `plain`.
    pub fn end(&mut self, beginning: &Beginning, plain: &[u8]) -> Bytes {
        self.0.reset();
        let mut rest = Writer { deflate: &mut self.0, out: Vec::with_capacity(plain.len() / 2 + 256), check: Crc::new() };
        rest.check.combine(&beginning.check);
        rest.deflate(plain, FlushCompress::Finish);
        let mut tail = Crc::new();
        tail.update(plain);
        rest.check.combine(&tail);
        rest.out.extend_from_slice(&rest.check.sum().to_le_bytes());
        rest.out.extend_from_slice(&rest.check.amount().to_le_bytes());
        rest.out.into()
    }
}

impl Writer<'_> {
    /// Adds text.
    pub fn write(&mut self, plain: &[u8]) {
        self.check.update(plain);
        self.deflate(plain, FlushCompress::None);
    }

    /// Ends it at a whole byte, where another deflater can go on (an empty stored block, RFC 1951, 3.2.4).
    pub fn finish(mut self) -> Beginning {
        self.deflate(&[], FlushCompress::Sync);
        Beginning { bytes: self.out.into(), check: self.check }
    }

    fn deflate(&mut self, mut plain: &[u8], flush: FlushCompress) {
        loop {
            if self.out.capacity() - self.out.len() < 64 {
                self.out.reserve(ROOM);
            }
            let before = self.deflate.total_in();
            let status = self.deflate.compress_vec(plain, &mut self.out, flush).expect("deflating knows no wrong text");
            plain = &plain[(self.deflate.total_in() - before) as usize..];
            let done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                // What it still holds back is written once it leaves room.
                _ => plain.is_empty() && self.out.len() < self.out.capacity(),
            };
            if done {
                return;
            }
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
            room in 0_usize..200_000,
        ) {
            let mut gzip = Gzip::new();
            let mut writer = gzip.begin(room);
            blocks.iter().for_each(|block| writer.write(block));
            let beginning = writer.finish();
            for end in ends {
                let rest = gzip.end(&beginning, end.as_bytes());
                let text = unpack(&[&beginning.bytes[..], &rest[..]].concat());
                prop_assert!(text == [blocks.concat(), end.into_bytes()].concat());
            }
        }
    }

    #[test]
    fn nothing_is_a_member_too() {
        let mut gzip = Gzip::new();
        let beginning = gzip.begin(0).finish();
        let rest = gzip.end(&beginning, b"");
        assert_eq!(unpack(&[&beginning.bytes[..], &rest[..]].concat()), b"");
    }
}
