//! The quick reader of every other format: rows recognised by what their columns are for.
//!
//! ```text
//! 5 123456789012 eni-06a064d5b569b974c 167.94.247.180 10.0.1.32 56069 … REJECT OK vpc-0f9b… subnet-0263… i-005b… 2 …⏎
//!   └──────── identity ──────────────┘└─ flow: addresses, numbers ─┘└─ words ─┘└──────── identity ───────────┘
//!  compared with what the plain          read as in the default format         columns that no roll-up uses are
//!  decoder has passed                                                          only carried past
//! ```
//!
//! One pass over the line finds where its columns begin, and that it holds nothing but visible ASCII and
//! single spaces. What a format has that a [`QuickRow`] cannot say makes it one for the plain decoder
//! alone; what a row has, makes the row one.

use super::identities::{Identities, SPANS};
use super::{QuickRow, Spelled, v6_bits};
use crate::decode::digits::{Flaws, Marks, number};
use crate::decode::values::kind;
use crate::format::{Column, Format};
use crate::record::{Action, Direction, FIRST_BYTES, Field};

/// The most columns of a format that is read quickly.
const COLUMNS: usize = 64;
/// The longest row that is read quickly, with its line's end.
pub(super) const LONGEST: usize = 1024;
/// Bytes looked at at once.
const BLOCK: usize = 64;

/// Whether all rows of an interface have the same of a field, and a roll-up uses it.
pub(in crate::decode) fn is_identity(field: Field) -> bool {
    matches!(
        field,
        Field::AccountId
            | Field::InterfaceId
            | Field::ResourceId
            | Field::VpcId
            | Field::SubnetId
            | Field::InstanceId
            | Field::InterfaceTag
            | Field::InstanceTag
    )
}

/// Whether rows of a format can be quick ones: it has what each of them says, and nothing that none can
/// say, as what transit gateways have.
pub(in crate::decode) fn reads(format: &Format) -> bool {
    const NEEDED: [Field; 10] = [
        Field::InterfaceId,
        Field::Srcaddr,
        Field::Dstaddr,
        Field::Srcport,
        Field::Dstport,
        Field::Protocol,
        Field::Packets,
        Field::Bytes,
        Field::Start,
        Field::End,
    ];
    let may_say = |field: Field| {
        is_identity(field)
            || NEEDED.contains(&field)
            || kind(field).is_none()
            || matches!(
                field,
                Field::Action
                    | Field::LogStatus
                    | Field::FlowDirection
                    | Field::TcpFlags
                    | Field::TrafficPath
                    | Field::EncryptionStatus
                    | Field::RejectReason
                    | Field::PktSrcaddr
                    | Field::PktDstaddr
                    // Of these a wrong one is as good as none, and no roll-up uses a right one.
                    | Field::AzId
                    | Field::PktSrcAwsService
                    | Field::PktDstAwsService
            )
    };
    NEEDED.iter().all(|field| format.has(*field))
        && Field::ALL.iter().all(|field| !format.has(*field) || may_say(*field))
}

/// Which columns hold what a row needs to say, and what else it may say.
#[derive(Debug, Clone)]
struct Plan {
    columns: usize,
    interface: usize,
    src: usize,
    dst: usize,
    srcport: usize,
    dstport: usize,
    protocol: usize,
    packets: usize,
    bytes: usize,
    start: usize,
    end: usize,
    action: Option<usize>,
    log_status: Option<usize>,
    direction: Option<usize>,
    tcp_flags: Option<usize>,
    traffic_path: Option<usize>,
    encryption_status: Option<usize>,
    reject_reason: Option<usize>,
    packet_src: Option<usize>,
    packet_dst: Option<usize>,
    /// Columns that are the same for all rows of an interface: the first and the one after the last of
    /// those that stand side by side.
    spans: Vec<[usize; 2]>,
}

impl Plan {
    /// The plan of a format whose rows can be read quickly.
    fn of(format: &Format) -> Option<Self> {
        if format.len() > COLUMNS || !reads(format) {
            return None;
        }
        let mut spans: Vec<[usize; 2]> = Vec::new();
        for (at, column) in format.columns().iter().enumerate() {
            let Column::Known(field) = column else { continue };
            match spans.last_mut() {
                _ if !is_identity(*field) => {}
                Some([_, end]) if *end == at => *end += 1,
                _ => spans.push([at, at + 1]),
            }
        }
        let at = |field| format.position(field);
        (spans.len() <= SPANS).then_some(Self {
            columns: format.len(),
            interface: at(Field::InterfaceId)?,
            src: at(Field::Srcaddr)?,
            dst: at(Field::Dstaddr)?,
            srcport: at(Field::Srcport)?,
            dstport: at(Field::Dstport)?,
            protocol: at(Field::Protocol)?,
            packets: at(Field::Packets)?,
            bytes: at(Field::Bytes)?,
            start: at(Field::Start)?,
            end: at(Field::End)?,
            action: at(Field::Action),
            log_status: at(Field::LogStatus),
            direction: at(Field::FlowDirection),
            tcp_flags: at(Field::TcpFlags),
            traffic_path: at(Field::TrafficPath),
            encryption_status: at(Field::EncryptionStatus),
            reject_reason: at(Field::RejectReason),
            packet_src: at(Field::PktSrcaddr),
            packet_dst: at(Field::PktDstaddr),
            spans,
        })
    }
}

/// Where the columns of a line begin; the one after the last is where the next line does. Behind that is
/// room for what is written before it is known how much there is.
type Begins = [u32; COLUMNS + 1 + BLOCK];

/// Reads rows of a format by its plan.
#[derive(Debug)]
pub(in crate::decode) struct ColumnsReader {
    plan: Plan,
    identities: Identities,
    begins: Begins,
    /// A line that is learned from, with room behind it.
    line: Vec<u8>,
}

impl ColumnsReader {
    /// A reader that knows no interface yet, of a format that can be read quickly.
    pub(super) fn new(format: &Format) -> Option<Self> {
        Some(Self {
            plan: Plan::of(format)?,
            identities: Identities::default(),
            begins: [0; COLUMNS + 1 + BLOCK],
            line: Vec::new(),
        })
    }

    /// Reads the row that `text` begins with into `row` and returns its length with the line's end, if
    /// it is a plain one of a known interface.
    #[inline]
    pub(super) fn row(&mut self, text: &[u8], row: &mut QuickRow) -> Option<usize> {
        let length = split(text, self.plan.columns, &mut self.begins)?;
        let line = Line { text, begins: &self.begins };
        row.head = self.identities.find(self.plan.interface(line)?, self.plan.spans(line))?;
        self.plan.read(line, row)?;
        Some(length)
    }

    /// Remembers whose row it is that the plain decoder has passed, and returns the number of that.
    pub(super) fn learn(&mut self, line: &[u8]) -> Option<u32> {
        if line.len() >= LONGEST {
            return None;
        }
        self.line.clear();
        self.line.extend_from_slice(line);
        self.line.push(b'\n');
        self.line.resize(line.len() + 1 + 2 * BLOCK, 0);
        split(&self.line, self.plan.columns, &mut self.begins)?;
        let line = Line { text: &self.line, begins: &self.begins };
        let interface = self.plan.interface(line)?;
        let known = self.identities.find(interface, self.plan.spans(line));
        known.or_else(|| self.identities.insert(interface, self.plan.spans(line)))
    }
}

/// Finds where the columns of the line that `text` begins with begin. Returns its length with the line's
/// end, if there are so many, single spaces between them and none at either end, all of it visible ASCII.
#[inline]
fn split(text: &[u8], columns: usize, begins: &mut Begins) -> Option<usize> {
    /// How many columns are noted at a time.
    const GROUP: usize = 4;
    // Of columns that begin, how many are noted; the first one does where the text does.
    let (mut found, mut before, mut side_by_side) = (1, 1, 0);
    let mut from = 0;
    for block in &text.as_chunks::<BLOCK>().0[..text.len().min(LONGEST) / BLOCK] {
        let Marks { spaces, others } = Marks::of(block);
        // What stands before the first byte that is neither space nor visible.
        let mut spaces = spaces & others.wrapping_sub(1) & !others;
        side_by_side |= spaces & (spaces << 1 | before);
        before = spaces >> 63;
        let (mut at, more) = (found, spaces.count_ones() as usize);
        while spaces != 0 {
            for begin in begins.get_mut(at..)?.first_chunk_mut::<GROUP>()? {
                *begin = from + spaces.trailing_zeros() + 1;
                spaces &= spaces.wrapping_sub(1);
            }
            at += GROUP;
        }
        found += more;
        if found > columns {
            return None;
        }
        if others != 0 {
            let at = others.trailing_zeros();
            let last = begins.get(found - 1)?;
            let end = from + at;
            let whole = block[at as usize] == b'\n' && found == columns && *last < end;
            if !whole || side_by_side != 0 || text[0] == b'#' {
                return None;
            }
            *begins.get_mut(columns)? = end + 1;
            return Some(end as usize + 1);
        }
        from += 64;
    }
    None
}

/// A line and where its columns begin.
#[derive(Clone, Copy)]
struct Line<'a> {
    text: &'a [u8],
    begins: &'a Begins,
}

impl<'a> Line<'a> {
    /// What a column begins, and its length.
    #[inline]
    fn column(self, at: usize) -> Option<(&'a [u8], usize)> {
        let (begin, next) = (*self.begins.get(at)? as usize, *self.begins.get(at + 1)? as usize);
        Some((self.text.get(begin..)?, next - 1 - begin))
    }

    /// The text of a column of at most eight bytes, the first one lowest, then zeros.
    #[inline]
    fn word(self, at: usize) -> Option<u64> {
        let (from, length) = self.column(at)?;
        if !(1..=8).contains(&length) {
            return None;
        }
        let behind = 64 - 8 * length;
        Some(u64::from_le_bytes(*from.first_chunk()?) << behind >> behind)
    }

    /// Whether a column says `-`.
    #[inline]
    fn is_nothing(self, at: usize) -> Option<bool> {
        let (from, length) = self.column(at)?;
        Some(length == 1 && *from.first()? == b'-')
    }

    /// A number of up to eight digits.
    #[inline]
    fn short(self, at: usize, flaws: &mut Flaws) -> Option<u64> {
        let (from, length) = self.column(at)?;
        Some(number(*from.first_chunk()?, length - 1, flaws))
    }

    /// A number of up to sixteen digits.
    #[inline]
    fn long(self, at: usize, flaws: &mut Flaws) -> Option<u64> {
        let (from, length) = self.column(at)?;
        let first = *from.first_chunk()?;
        if length <= 8 {
            return Some(number(first, length - 1, flaws));
        }
        let above = number(first, length - 9, flaws);
        let last = *from.get(length - 8..)?.first_chunk()?;
        Some(above * 100_000_000 + number(last, 7, flaws))
    }

    /// A time of ten digits.
    #[inline]
    fn time(self, at: usize, flaws: &mut Flaws) -> Option<i64> {
        let (from, length) = self.column(at)?;
        let [tens, ones] = from.first_chunk()?.map(|digit: u8| digit.wrapping_sub(b'0'));
        flaws.note(length != 10 || tens > 9 || ones > 9);
        let above = u64::from(tens) * 10 + u64::from(ones);
        let last = number(*from.get(2..)?.first_chunk()?, 7, flaws);
        Some((above * 100_000_000 + last).cast_signed())
    }

    /// Reads a number of eight bits, or none, if there is such a column.
    #[inline]
    fn byte(self, at: Option<usize>, into: &mut Option<u8>, flaws: &mut Flaws) -> Option<()> {
        let Some(at) = at else { return Some(()) };
        let (from, length) = self.column(at)?;
        let from = *from.first_chunk()?;
        *into = if length == 1 && from[0] == b'-' {
            None
        } else {
            Some(u8::try_from(number(from, length - 1, flaws)).ok()?)
        };
        Some(())
    }

    /// A text of at most fifteen bytes, as that of an IPv4 address.
    #[inline]
    fn spelled(self, at: usize) -> Option<Spelled> {
        let (from, length) = self.column(at)?;
        let bits = u128::from_le_bytes(*from.first_chunk()?) & FIRST_BYTES.get(length)?;
        Some(Spelled { bits, family: Spelled::V4 })
    }

    /// An IPv6 address.
    #[inline(never)]
    fn v6(self, at: usize) -> Option<Spelled> {
        let (from, length) = self.column(at)?;
        let bits = v6_bits(from.get(..length)?)?;
        Some(Spelled { bits, family: Spelled::V6 })
    }

    /// Whether an address, of that column, is the packet's own, too: if its column says the same, or
    /// nothing.
    #[inline]
    fn is_of_packet(self, at: usize, address: Spelled, packet: Option<usize>) -> Option<bool> {
        let Some(packet) = packet else { return Some(true) };
        if address.family == Spelled::V4 && self.spelled(packet) == Some(address) {
            return Some(true);
        }
        let ((one, length), (other, as_long)) = (self.column(at)?, self.column(packet)?);
        let same = length == as_long && one.get(..length)? == other.get(..length)?;
        Some(same || self.is_nothing(packet)?)
    }
}

impl Plan {
    /// The last bytes of the interface's id.
    #[inline]
    fn interface(&self, line: Line<'_>) -> Option<u64> {
        let (from, length) = line.column(self.interface)?;
        Some(u64::from_le_bytes(*from.get(length.checked_sub(8)?..)?.first_chunk()?))
    }

    /// The text of each span, with what separates it from the next column.
    #[inline]
    fn spans<'a>(&self, line: Line<'a>) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.spans.iter().map(move |[first, after]| {
            let (begin, end) = (line.begins[*first] as usize, line.begins[*after] as usize);
            line.text.get(begin..end).unwrap_or_default()
        })
    }

    /// Reads everything but whose row it is.
    #[inline]
    fn read(&self, line: Line<'_>, row: &mut QuickRow) -> Option<()> {
        const ACCEPT: u64 = u64::from_le_bytes(*b"ACCEPT\0\0");
        const REJECT: u64 = u64::from_le_bytes(*b"REJECT\0\0");
        const OK: u64 = u64::from_le_bytes(*b"OK\0\0\0\0\0\0");
        const INGRESS: u64 = u64::from_le_bytes(*b"ingress\0");
        const EGRESS: u64 = u64::from_le_bytes(*b"egress\0\0");
        if let Some(at) = self.log_status
            && line.word(at)? != OK
        {
            return None;
        }
        row.action = match self.action {
            None => Action::Other,
            Some(at) => match line.word(at)? {
                ACCEPT => Action::Accept,
                REJECT => Action::Reject,
                _ => return None,
            },
        };
        row.direction = match self.direction {
            None => None,
            Some(at) => match line.word(at)? {
                INGRESS => Some(Direction::Ingress),
                EGRESS => Some(Direction::Egress),
                _ => return None,
            },
        };
        if let Some(at) = self.reject_reason
            && !line.is_nothing(at)?
        {
            return None;
        }
        let mut flaws = Flaws::default();
        row.start = line.time(self.start, &mut flaws)?;
        row.end = line.time(self.end, &mut flaws)?;
        row.srcport = u16::try_from(line.short(self.srcport, &mut flaws)?).ok()?;
        row.dstport = u16::try_from(line.short(self.dstport, &mut flaws)?).ok()?;
        row.protocol = u8::try_from(line.short(self.protocol, &mut flaws)?).ok()?;
        row.packets = line.long(self.packets, &mut flaws)?;
        row.bytes = line.long(self.bytes, &mut flaws)?;
        line.byte(self.tcp_flags, &mut row.tcp_flags, &mut flaws)?;
        line.byte(self.traffic_path, &mut row.traffic_path, &mut flaws)?;
        line.byte(self.encryption_status, &mut row.encryption_status, &mut flaws)?;
        (row.src, row.dst) = match (line.spelled(self.src), line.spelled(self.dst)) {
            (Some(src), Some(dst)) => (src, dst),
            _ => (line.v6(self.src)?, line.v6(self.dst)?),
        };
        if !flaws.none() || row.start > row.end {
            return None;
        }
        let src = line.is_of_packet(self.src, row.src, self.packet_src)?;
        let dst = line.is_of_packet(self.dst, row.dst, self.packet_dst)?;
        if src && dst { Some(()) } else { self.translate(line, row) }
    }

    /// Where the packets have other addresses: an accepted row is counted under that of the other side,
    /// and of all others that it names only that they are addresses matters.
    #[inline(never)]
    fn translate(&self, line: Line<'_>, row: &mut QuickRow) -> Option<()> {
        let packet = |of: usize, packet: Option<usize>| match packet {
            Some(packet) if !line.is_nothing(packet)? => line.spelled(packet),
            _ => line.spelled(of),
        };
        let (src, dst) = (packet(self.src, self.packet_src)?, packet(self.dst, self.packet_dst)?);
        if row.action == Action::Reject || row.src.family != Spelled::V4 {
            return None;
        }
        match row.direction? {
            Direction::Ingress => {
                row.src.address().and(dst.address())?;
                row.src = src;
            }
            Direction::Egress | Direction::Unknown => {
                row.dst.address().and(src.address())?;
                row.dst = dst;
            }
        }
        Some(())
    }
}
