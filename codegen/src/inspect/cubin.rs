//! The resources of a kernel, read from its cubin: an ELF file whose sections `.nv.info` have the compiler's attributes.
use object::LittleEndian;
use object::elf::{FileHeader64, SHT_SYMTAB};
use object::read::elf::{FileHeader, SectionHeader, SectionTable, SymbolTable};
use std::collections::BTreeMap;

type Header = FileHeader64<LittleEndian>;

/// What a kernel takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Registers of 32 bits a thread.
    pub registers: u32,
    /// Bytes of local memory a thread: what does not fit into registers, and arrays with an index that is not constant.
    pub stack: u32,
    /// Bytes of shared memory a CTA that the code declares; what a launch adds is not in a cubin.
    pub shared: u64,
    /// Bytes of constant memory, by bank. Bank 0 has what the driver hands over, and the parameters at its end.
    pub constant: BTreeMap<u32, u64>,
    /// Bytes of the parameters.
    pub parameters: Option<u32>,
    /// The most threads a CTA may have, where the code bounds it.
    pub max_threads: Option<u32>,
}

/// Why a file tells nothing of a kernel.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cubin of `{entry}`: {what}")]
pub struct CubinError {
    /// Name of the kernel.
    pub entry: String,
    /// What is wrong.
    pub what: String,
}

/// Attributes of `.nv.info`, by their numbers.
const MAX_THREADS: u8 = 0x05;
const FRAME_SIZE: u8 = 0x11;
const CBANK_PARAM_SIZE: u8 = 0x19;
const REGCOUNT: u8 = 0x2f;

/// Compilers for sm_90 and later count the shared memory that the system keeps of each CTA into a kernel's section, and mark
/// that by a section of this name.
const RESERVED: &str = ".nv.shared.reserved.0";
const RESERVED_BYTES: u64 = 1024;

impl Resources {
    /// Of the kernel `entry` of a cubin.
    pub fn read(cubin: &[u8], entry: &str) -> Result<Resources, CubinError> {
        let error = |what: String| CubinError { entry: entry.into(), what };
        let elf = Elf::parse(cubin).map_err(|e| error(e.to_string()))?;
        let symbol = elf.symbol(entry).ok_or_else(|| error("it has no such kernel".into()))?;
        let damaged = || error("its attributes are damaged".into());
        let all = attributes(elf.data(".nv.info").unwrap_or_default()).ok_or_else(damaged)?;
        let own = attributes(elf.data(&format!(".nv.info.{entry}")).unwrap_or_default()).ok_or_else(damaged)?;
        // These attributes are pairs: the number of a symbol, and a value.
        let of_symbol = |code| {
            let pairs = all.iter().filter(|a| a.code == code).map(|a| (a.word(0), a.word(1)));
            pairs.filter_map(|(of, value)| (of? == symbol).then_some(value?)).next()
        };
        let own = |code| own.iter().find(|a| a.code == code);
        let missing = |what: &str| error(format!("it does not say how {what}"));
        Ok(Resources {
            registers: of_symbol(REGCOUNT).ok_or_else(|| missing("many registers a thread takes"))?,
            stack: of_symbol(FRAME_SIZE).ok_or_else(|| missing("large the stack is"))?,
            shared: elf.shared(entry),
            constant: elf.constant(entry),
            parameters: own(CBANK_PARAM_SIZE).map(|a| u32::from(a.half)),
            // Three numbers, one for each dimension.
            max_threads: own(MAX_THREADS).and_then(|a| a.word(0)?.checked_mul(a.word(1)?)?.checked_mul(a.word(2)?)),
        })
    }
}

/// The parts of an ELF file that are looked at.
struct Elf<'d> {
    bytes: &'d [u8],
    sections: SectionTable<'d, Header>,
    symbols: SymbolTable<'d, Header>,
}

impl<'d> Elf<'d> {
    fn parse(bytes: &'d [u8]) -> object::read::Result<Elf<'d>> {
        let header = Header::parse(bytes)?;
        let sections = header.sections(LittleEndian, bytes)?;
        let symbols = sections.symbols(LittleEndian, bytes, SHT_SYMTAB)?;
        Ok(Elf { bytes, sections, symbols })
    }

    /// Names of sections, and their sizes in memory.
    fn sizes(&self) -> impl Iterator<Item = (&str, u64)> {
        let name = |section| std::str::from_utf8(self.sections.section_name(LittleEndian, section).ok()?).ok();
        self.sections.iter().filter_map(move |section| Some((name(section)?, section.sh_size(LittleEndian))))
    }

    fn data(&self, name: &str) -> Option<&'d [u8]> {
        let (_, section) = self.sections.section_by_name(LittleEndian, name.as_bytes())?;
        section.data(LittleEndian, self.bytes).ok()
    }

    /// The number of a symbol.
    fn symbol(&self, name: &str) -> Option<u32> {
        let is_it = |symbol: &<Header as FileHeader>::Sym| {
            self.symbols.symbol_name(LittleEndian, symbol).is_ok_and(|found| found == name.as_bytes())
                && symbol.st_type() == object::elf::STT_FUNC
        };
        let (index, _) = self.symbols.enumerate().find(|(_, symbol)| is_it(symbol))?;
        u32::try_from(index.0).ok()
    }

    fn shared(&self, entry: &str) -> u64 {
        let own = format!(".nv.shared.{entry}");
        let size = self.sizes().find(|(name, _)| *name == own).map_or(0, |(_, size)| size);
        let reserved = self.sizes().any(|(name, _)| name == RESERVED);
        size.saturating_sub(if reserved { RESERVED_BYTES } else { 0 })
    }

    /// Banks are sections: `.nv.constant3` of all kernels, `.nv.constant0.NAME` of one.
    fn constant(&self, entry: &str) -> BTreeMap<u32, u64> {
        let bank = |(name, size): (&str, u64)| {
            let (bank, of) = name.strip_prefix(".nv.constant")?.split_once('.').unwrap_or((&name[12..], entry));
            (of == entry).then_some((bank.parse().ok()?, size))
        };
        let mut banks = BTreeMap::new();
        for (bank, size) in self.sizes().filter_map(bank) {
            *banks.entry(bank).or_default() += size;
        }
        banks
    }
}

/// An attribute: its number, and a value of 16 bits or a text of bytes.
struct Attribute<'d> {
    code: u8,
    half: u16,
    bytes: &'d [u8],
}

impl Attribute<'_> {
    fn word(&self, index: usize) -> Option<u32> {
        let bytes = self.bytes.get(index * 4..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }
}

/// Each has a format, a number, and 16 bits, which are the length of what follows where the format is `BYTES`.
fn attributes(mut data: &[u8]) -> Option<Vec<Attribute<'_>>> {
    const BYTES: u8 = 4;
    let mut found = Vec::new();
    while !data.is_empty() {
        let ([format, code, low, high], mut rest) = data.split_first_chunk()?;
        let half = u16::from_le_bytes([*low, *high]);
        let mut bytes: &[u8] = &[];
        if *format == BYTES {
            (bytes, rest) = rest.split_at_checked(usize::from(half))?;
        }
        found.push(Attribute { code: *code, half, bytes });
        data = rest;
    }
    Some(found)
}

#[cfg(test)]
mod tests;
