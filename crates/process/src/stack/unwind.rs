// SPDX-License-Identifier: BSD-3-Clause
//! From registers and a piece of the stack to the addresses of its frames, by the unwind tables of the files
//! (`framehop`); where there are none, by frame pointers.

use becket_sandbox::crash::{Mapping, Record};
#[cfg(target_arch = "aarch64")]
use framehop::aarch64::{
    CacheAarch64 as Cache, PtrAuthMask, UnwindRegsAarch64 as Registers, UnwinderAarch64 as Unwinder,
};
#[cfg(not(target_arch = "aarch64"))]
use framehop::x86_64::{
    CacheX86_64 as Cache, UnwindRegsX86_64 as Registers, UnwinderX86_64 as Unwinder,
};
use framehop::{
    ExplicitModuleSectionInfo, FrameAddress, MayAllocateDuringUnwind, Module as Unwound,
    Unwinder as _,
};

use rustix::process::Signal;

use super::FRAMES_MAX;
use super::module::{Image, Modules, section};

/// The frames, the innermost first, and whether the last one is the outermost.
pub(super) fn addresses(record: &Record, modules: &mut Modules<'_>) -> (Vec<FrameAddress>, bool) {
    let mut unwinder = Unwinder::<Vec<u8>, MayAllocateDuringUnwind>::new();
    let mut cache = Cache::<MayAllocateDuringUnwind>::new_in();
    let mut frames = vec![first(record)];
    let mut registers = registers(record);
    if record.mapping(record.registers.pc).is_none() {
        // A call of no function: its caller is where a function would return to.
        let Some(caller) = caller(record, &mut registers) else { return (frames, false) };
        frames.push(caller);
    }
    while let Some(last) = frames.last().copied().filter(|_| frames.len() < FRAMES_MAX) {
        match modules.look(last.address_for_lookup()) {
            // Nothing can return to where there is no code.
            None => {
                frames.truncate(frames.len().saturating_sub(1).max(1));
                return (frames, false);
            }
            Some((mapping, is_new)) => {
                let module = modules.at(mapping.start).and_then(|module| module.image.as_ref());
                if let Some(module) = module.filter(|_| is_new).and_then(|it| unwound(mapping, it))
                {
                    unwinder.add_module(module);
                }
            }
        }
        let mut word = |address| record.word(address).ok_or(());
        match unwinder.unwind_frame(last, &mut registers, &mut cache, &mut word) {
            Ok(Some(address)) => match FrameAddress::from_return_address(address) {
                Some(frame) => frames.push(frame),
                None => return (frames, true),
            },
            Ok(None) => return (frames, true),
            Err(_) => return (frames, false),
        }
    }
    (frames, false)
}

/// A breakpoint leaves the address behind it, as a call does.
fn first(record: &Record) -> FrameAddress {
    let pc = record.registers.pc;
    let is_behind = cfg!(target_arch = "x86_64") && record.signal == Signal::TRAP.as_raw();
    let behind = is_behind.then(|| FrameAddress::from_return_address(pc)).flatten();
    behind.unwrap_or(FrameAddress::from_instruction_pointer(pc))
}

#[cfg(not(target_arch = "aarch64"))]
fn registers(record: &Record) -> Registers {
    let it = record.registers;
    Registers::new(it.pc, it.sp, it.fp)
}

/// Addresses have 48 bits: those above may sign a return address.
#[cfg(target_arch = "aarch64")]
fn registers(record: &Record) -> Registers {
    let it = record.registers;
    Registers::new_with_ptr_auth_mask(PtrAuthMask((1 << 48) - 1), it.lr, it.sp, it.fp)
}

/// The call is the last thing that happened: the return address is on top of the stack.
#[cfg(not(target_arch = "aarch64"))]
fn caller(record: &Record, registers: &mut Registers) -> Option<FrameAddress> {
    let sp = record.registers.sp;
    let address = record.word(sp)?;
    registers.set_ip(address);
    registers.set_sp(sp.checked_add(8)?);
    FrameAddress::from_return_address(address)
}

/// The call is the last thing that happened: the return address is in the link register.
#[cfg(target_arch = "aarch64")]
fn caller(_: &Record, registers: &mut Registers) -> Option<FrameAddress> {
    FrameAddress::from_return_address(registers.lr())
}

/// The unwind tables of a file.
fn unwound(mapping: &Mapping, image: &Image) -> Option<Unwound<Vec<u8>>> {
    let elf = image.elf()?;
    // Tables count from the bias in 32 bits.
    u32::try_from(mapping.end.checked_sub(image.bias)?).ok()?;
    let range =
        |(address, bytes): (u64, &[u8])| Some(address..address.checked_add(bytes.len() as u64)?);
    let table = |name| section(&elf, name);
    let (frames, header) = (table(".eh_frame"), table(".eh_frame_hdr"));
    let owned = |(_, bytes): (u64, &[u8])| bytes.to_vec();
    let tables = ExplicitModuleSectionInfo {
        base_svma: 0,
        text_svma: table(".text").and_then(range),
        got_svma: table(".got").and_then(range),
        eh_frame_svma: frames.and_then(range),
        eh_frame: frames.map(owned),
        eh_frame_hdr_svma: header.and_then(range),
        eh_frame_hdr: header.map(owned),
        ..Default::default()
    };
    let name = mapping.path.to_string_lossy().into_owned();
    Some(Unwound::new(name, mapping.start..mapping.end, image.bias, tables))
}
