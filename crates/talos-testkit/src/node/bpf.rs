//! Filters of packet captures: the classic Berkeley machine, as far as compilers of filters use it.

/// An instruction: operation, jump if true, jump if false, operand.
type Instruction = (u32, u32, u32, u32);

/// Words of memory a program has.
const MEMORY: usize = 16;

/// Whether the program lets `packet` through. No program lets everything through; one that leaves the packet
/// or its own code lets nothing through.
pub(crate) fn accepts(program: &[Instruction], packet: &[u8]) -> bool {
    program.is_empty() || run(program, packet).is_some_and(|length| length > 0)
}

fn run(program: &[Instruction], packet: &[u8]) -> Option<u32> {
    let (mut a, mut x) = (0_u32, 0_u32);
    let mut memory = [0_u32; MEMORY];
    let mut at = 0;
    // Jumps only go forward, so that every program ends.
    loop {
        let (op, jt, jf, k) = *program.get(at)?;
        at += 1;
        let slot = usize::try_from(k).ok()?;
        match op & 0x07 {
            // Load into the accumulator.
            0x00 => {
                a = match op & 0xe0 {
                    0x00 => k,
                    0x20 => load(packet, k, op)?,
                    0x40 => load(packet, k.checked_add(x)?, op)?,
                    0x60 => *memory.get(slot)?,
                    0x80 => u32::try_from(packet.len()).ok()?,
                    _ => return None,
                }
            }
            // Load into the index register.
            0x01 => {
                x = match op & 0xe0 {
                    0x00 => k,
                    0x60 => *memory.get(slot)?,
                    0x80 => u32::try_from(packet.len()).ok()?,
                    // Four times the low half of a byte: the length of an IP header.
                    0xa0 => 4 * u32::from(packet.get(slot)? & 0x0f),
                    _ => return None,
                }
            }
            0x02 => *memory.get_mut(slot)? = a,
            0x03 => *memory.get_mut(slot)? = x,
            0x04 => a = calculate(op, a, if op & 0x08 == 0 { k } else { x })?,
            0x05 => {
                let operand = if op & 0x08 == 0 { k } else { x };
                let skip = match op & 0xf0 {
                    0x00 => k,
                    0x10 => choose(a == operand, jt, jf),
                    0x20 => choose(a > operand, jt, jf),
                    0x30 => choose(a >= operand, jt, jf),
                    0x40 => choose(a & operand != 0, jt, jf),
                    _ => return None,
                };
                at = at.checked_add(usize::try_from(skip).ok()?)?;
            }
            0x06 => return Some(if op & 0x18 == 0x10 { a } else { k }),
            _ if op & 0xf8 == 0 => x = a,
            _ => a = x,
        }
    }
}

const fn choose(condition: bool, then: u32, otherwise: u32) -> u32 {
    if condition { then } else { otherwise }
}

fn load(packet: &[u8], offset: u32, op: u32) -> Option<u32> {
    let size = match op & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => return None,
    };
    let offset = usize::try_from(offset).ok()?;
    let bytes = packet.get(offset..offset.checked_add(size)?)?;
    Some(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
}

fn calculate(op: u32, a: u32, operand: u32) -> Option<u32> {
    Some(match op & 0xf0 {
        0x00 => a.wrapping_add(operand),
        0x10 => a.wrapping_sub(operand),
        0x20 => a.wrapping_mul(operand),
        0x30 => a.checked_div(operand)?,
        0x40 => a | operand,
        0x50 => a & operand,
        0x60 => a.checked_shl(operand).unwrap_or_default(),
        0x70 => a.checked_shr(operand).unwrap_or_default(),
        0x80 => a.wrapping_neg(),
        0x90 => a.checked_rem(operand)?,
        0xa0 => a ^ operand,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// UDP over IPv4 over Ethernet, to port 53.
    const UDP_53: [Instruction; 9] = [
        (0x28, 0, 0, 12),
        (0x15, 0, 6, 0x0800),
        (0x30, 0, 0, 23),
        (0x15, 0, 4, 17),
        (0xb1, 0, 0, 14),
        (0x48, 0, 0, 16),
        (0x15, 0, 1, 53),
        (0x06, 0, 0, 0x4_0000),
        (0x06, 0, 0, 0),
    ];

    #[test]
    fn programs_decide_about_packets() {
        let packet = crate::node::capture::packet(
            crate::node::hardware::LinkKind::Ether,
            &mut crate::rng::SimRng::new(1),
        );
        assert!(accepts(&[], &packet));
        assert!(accepts(&UDP_53, &packet));
        let mut tcp = UDP_53;
        tcp[3].3 = 6;
        assert!(!accepts(&tcp, &packet));
        let arp = [
            (0x28, 0, 0, 12),
            (0x15, 0, 1, 0x0806),
            (0x06, 0, 0, 9),
            (0x06, 0, 0, 0),
        ];
        assert!(!accepts(&arp, &packet));
        assert!(
            !accepts(&[(0x28, 0, 0, 60_000), (0x06, 0, 0, 1)], &packet),
            "beyond the packet"
        );
        assert!(!accepts(&[(0x05, 0, 0, 7)], &packet), "beyond the program");
        assert!(
            accepts(&[(0x80, 0, 0, 0), (0x16, 0, 0, 0)], &packet),
            "its own length"
        );
    }
}
