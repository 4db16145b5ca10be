//! Filters that the kernel of a node runs, without I/O.

use std::str::FromStr;

use talos_proto::machine as proto;

/// One instruction of a filter: the fields of `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BpfInstruction {
    /// What to do.
    pub op: u16,
    /// How many instructions to leave out if it is true.
    pub jump_true: u8,
    /// How many instructions to leave out if it is false.
    pub jump_false: u8,
    /// A value, which depends on what to do.
    pub k: u32,
}

/// A filter in the form of classic BPF, checked as Linux does: a node would refuse anything else.
///
/// `tcpdump -dd EXPRESSION` prints one, and its lines can be parsed:
///
/// ```
/// use talos_client::api::capture::BpfProgram;
///
/// // tcpdump -dd ip
/// let filter: BpfProgram = "
///     { 0x28, 0, 0, 0x0000000c },
///     { 0x15, 0, 1, 0x00000800 },
///     { 0x6, 0, 0, 0x00040000 },
///     { 0x6, 0, 0, 0x00000000 },
/// "
/// .parse()?;
/// assert_eq!(filter.instructions().len(), 4);
/// # Ok::<_, talos_client::api::capture::BpfError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BpfProgram(Vec<BpfInstruction>);

/// Why something is no filter. Instructions are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BpfError {
    /// A line is not of the form `{ 0x28, 0, 0, 0x0000000c },`.
    #[error("line {line} is no instruction: {{ op, jt, jf, k }}")]
    Syntax {
        /// Which line, counted from 1.
        line: usize,
    },
    /// There are none, or more than 4,096.
    #[error("a filter has 1 to 4096 instructions, not {count}")]
    Length {
        /// How many there are.
        count: usize,
    },
    /// There is no such instruction.
    #[error("instruction {index} has the operation {op:#x}, which does not exist")]
    Operation {
        /// Which one.
        index: usize,
        /// What it would do.
        op: u16,
    },
    /// It leads out of the filter.
    #[error("instruction {index} jumps out of the filter")]
    Jump {
        /// Which one.
        index: usize,
    },
    /// It divides by zero, shifts by 32 or more, or uses memory that there is not.
    #[error("instruction {index} cannot have the value {k:#x}")]
    Value {
        /// Which one.
        index: usize,
        /// Its value.
        k: u32,
    },
    /// It does not end with a return.
    #[error("the last instruction is no return")]
    NoReturn,
}

impl BpfProgram {
    /// Checks a filter.
    ///
    /// # Errors
    ///
    /// Says which instruction the kernel would refuse.
    pub fn new(instructions: impl Into<Vec<BpfInstruction>>) -> Result<Self, BpfError> {
        let instructions = instructions.into();
        let count = instructions.len();
        if !(1..=MAX_LENGTH).contains(&count) {
            return Err(BpfError::Length { count });
        }
        for (index, instruction) in instructions.iter().enumerate() {
            instruction.check(index, count)?;
        }
        match instructions.last().map(|last| last.op) {
            Some(RET_K | RET_A) => Ok(Self(instructions)),
            _ => Err(BpfError::NoReturn),
        }
    }

    /// Its instructions.
    pub fn instructions(&self) -> &[BpfInstruction] {
        &self.0
    }

    pub(super) fn into_message(self) -> Vec<proto::BpfInstruction> {
        let instruction = |instruction: BpfInstruction| proto::BpfInstruction {
            op: instruction.op.into(),
            jt: instruction.jump_true.into(),
            jf: instruction.jump_false.into(),
            k: instruction.k,
        };
        self.0.into_iter().map(instruction).collect()
    }
}

impl BpfInstruction {
    fn check(&self, index: usize, count: usize) -> Result<(), BpfError> {
        let Self { op, k, .. } = *self;
        let ahead = count - index - 1;
        let reaches = |jump: usize| jump < ahead;
        let value = |good: bool| {
            if good {
                Ok(())
            } else {
                Err(BpfError::Value { index, k })
            }
        };
        match op {
            // Loads of the packet, constants and lengths; arithmetic; copies between registers; returns.
            0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 | 0x80 | 0x81 | 0xb1 | 0x00 | 0x01 => Ok(()),
            0x04 | 0x0c | 0x14 | 0x1c | 0x24 | 0x2c | 0x3c | 0x9c | 0x54 | 0x5c | 0x44 | 0x4c | 0xa4
            | 0xac | 0x6c | 0x7c | 0x84 => Ok(()),
            0x07 | 0x87 | RET_K | RET_A => Ok(()),
            // Division by a constant, and what is left of it.
            0x34 | 0x94 => value(k != 0),
            // Shifts by a constant.
            0x64 | 0x74 => value(k < 32),
            // Memory, of which there are 16 words.
            0x60 | 0x61 | 0x02 | 0x03 => value(k < 16),
            0x05 if usize::try_from(k).is_ok_and(reaches) => Ok(()),
            0x15 | 0x1d | 0x25 | 0x2d | 0x35 | 0x3d | 0x45 | 0x4d
                if reaches(self.jump_true.into()) && reaches(self.jump_false.into()) =>
            {
                Ok(())
            }
            0x05 | 0x15 | 0x1d | 0x25 | 0x2d | 0x35 | 0x3d | 0x45 | 0x4d => Err(BpfError::Jump { index }),
            _ => Err(BpfError::Operation { index, op }),
        }
    }
}

impl FromStr for BpfProgram {
    type Err = BpfError;

    fn from_str(text: &str) -> Result<Self, BpfError> {
        let mut instructions = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let instruction = parse(line).ok_or(BpfError::Syntax { line: number + 1 })?;
            instructions.push(instruction);
            if instructions.len() > MAX_LENGTH {
                break;
            }
        }
        Self::new(instructions)
    }
}

fn parse(line: &str) -> Option<BpfInstruction> {
    let line = line.strip_suffix(',').unwrap_or(line).trim_end();
    let fields = line.strip_prefix('{')?.strip_suffix('}')?;
    let mut fields = fields.split(',').map(|field| {
        let field = field.trim();
        match field.strip_prefix("0x").or_else(|| field.strip_prefix("0X")) {
            Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u32::from_str_radix(hex, 16).ok()
            }
            None if field.bytes().all(|byte| byte.is_ascii_digit()) => field.parse().ok(),
            _ => None,
        }
    });
    let mut next = || fields.next().flatten();
    let instruction = BpfInstruction {
        op: next()?.try_into().ok()?,
        jump_true: next()?.try_into().ok()?,
        jump_false: next()?.try_into().ok()?,
        k: next()?,
    };
    fields.next().is_none().then_some(instruction)
}

/// As many as Linux takes.
const MAX_LENGTH: usize = 4096;
const RET_K: u16 = 0x06;
const RET_A: u16 = 0x16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn instruction(op: u16, jump_true: u8, jump_false: u8, k: u32) -> BpfInstruction {
        BpfInstruction {
            op,
            jump_true,
            jump_false,
            k,
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_refused_here() {
        let ret = instruction(RET_K, 0, 0, 0);
        let check = |instructions: &[BpfInstruction]| BpfProgram::new(instructions).map(drop);
        assert_eq!(check(&[ret]), Ok(()));
        assert_eq!(check(&[]), Err(BpfError::Length { count: 0 }));
        assert_eq!(check(&[ret; 4096]), Ok(()));
        assert_eq!(check(&[ret; 4097]), Err(BpfError::Length { count: 4097 }));
        assert_eq!(
            check(&[ret, instruction(0x28, 0, 0, 12)]),
            Err(BpfError::NoReturn)
        );
        for op in [0x08, 0x0e, 0xff, 0x106] {
            let error = BpfError::Operation { index: 0, op };
            assert_eq!(check(&[instruction(op, 0, 0, 0), ret]), Err(error));
        }
        for (op, k) in [
            (0x34, 0),
            (0x94, 0),
            (0x64, 32),
            (0x74, 99),
            (0x60, 16),
            (0x03, 16),
        ] {
            let error = BpfError::Value { index: 0, k };
            assert_eq!(check(&[instruction(op, 0, 0, k), ret]), Err(error), "{op:#x}");
        }
        assert_eq!(check(&[instruction(0x15, 0, 0, 0), ret]), Ok(()));
        for bad in [
            instruction(0x15, 1, 0, 0),
            instruction(0x15, 0, 1, 0),
            instruction(0x05, 0, 0, 1),
            instruction(0x05, 0, 0, u32::MAX),
        ] {
            assert_eq!(check(&[bad, ret]), Err(BpfError::Jump { index: 0 }), "{bad:?}");
        }
    }

    #[test]
    fn what_is_no_instruction_says_where() {
        let good = "{ 0x6, 0, 0, 0x40000 },\n";
        for bad in [
            "0x6, 0, 0, 1",
            "{ 0x6, 0, 0 },",
            "{ 0x6, 0, 0, 1, 2 },",
            "{ 0x6, 256, 0, 1 },",
            "{ 0x10000, 0, 0, 1 },",
            "{ 6, 0, 0, -1 },",
            "{ x, 0, 0, 1 },",
            "{ 0x6, 0, 0, 0x100000000 },",
            "(000) ldh [12]",
        ] {
            let error = format!("{good}\n{bad}\n").parse::<BpfProgram>().expect_err(bad);
            assert_eq!(error, BpfError::Syntax { line: 3 }, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused_without_a_panic(text in "[{}x0-9a-f, \n]{0,200}") {
            let _ = text.parse::<BpfProgram>();
        }
    }
}
