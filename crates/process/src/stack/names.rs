// SPDX-License-Identifier: BSD-3-Clause
//! From addresses to functions and lines: by debug information (`addr2line`), else by the table of symbols.

use addr2line::{Context, demangle_auto, gimli};
use becket_host::CrashFrame;
use framehop::FrameAddress;
use object::SymbolKind;
use object::read::{Object, ObjectSymbol};

use super::module::{Elf, Image, Module, Modules, section};
use super::{FRAMES_MAX, text};

type Bytes<'a> = gimli::EndianSlice<'a, gimli::NativeEndian>;

/// The frames at these addresses, with what the compiler has put into them.
pub(super) fn frames(addresses: &[FrameAddress], modules: &Modules<'_>) -> Vec<CrashFrame> {
    // The frames of each address.
    let mut named: Vec<Vec<CrashFrame>> =
        addresses.iter().map(|address| vec![unnamed(*address, modules)]).collect();
    let image_of = |address: &FrameAddress| {
        let module = modules.at(address.address_for_lookup())?;
        Some((module.image.as_ref()?, module.has_lines))
    };
    let mut done: Vec<&Image> = Vec::new();
    for (image, has_lines) in addresses.iter().filter_map(image_of) {
        if modules.is_late() || done.iter().any(|known| std::ptr::eq(*known, image)) {
            continue;
        }
        done.push(image);
        let Some(elf) = image.elf() else { continue };
        let is_here = |address: &FrameAddress| {
            image_of(address).is_some_and(|(it, _)| std::ptr::eq(it, image))
        };
        let here = addresses.iter().zip(&mut named).filter(|(address, _)| is_here(address));
        let here = here.map(|(address, frames)| {
            (address.address_for_lookup().wrapping_sub(image.bias), frames)
        });
        name(&elf, image.debug_elf().as_ref(), has_lines, here.collect());
    }
    named.into_iter().flatten().take(FRAMES_MAX).collect()
}

/// What is known without reading a file.
fn unnamed(address: FrameAddress, modules: &Modules<'_>) -> CrashFrame {
    let module = modules.at(address.address_for_lookup());
    let bias = module.and_then(|module| module.image.as_ref()).map_or(0, |image| image.bias);
    CrashFrame {
        module: module.and_then(|module| module.name.clone()),
        offset: format!("{:#x}", address.address().wrapping_sub(bias)),
        is_plugin: module.is_some_and(|Module { is_plugin, .. }| *is_plugin),
        ..CrashFrame::default()
    }
}

/// Names the frames at these addresses of one file, whose debug information may be in another one.
fn name(
    elf: &Elf<'_>,
    debug: Option<&Elf<'_>>,
    has_lines: bool,
    mut frames: Vec<(u64, &mut Vec<CrashFrame>)>,
) {
    let addresses: Vec<_> = frames.iter().map(|(address, _)| *address).collect();
    let symbols = symbols([Some(elf), debug], &addresses);
    let context = if has_lines { context(debug.unwrap_or(elf)) } else { None };
    for ((address, frames), symbol) in frames.iter_mut().zip(symbols) {
        let Some(outer) = frames.pop() else { continue };
        if let Some(context) = &context {
            inlined(context, *address, &outer, frames);
        }
        if frames.is_empty() {
            frames.push(outer);
        }
        // A mangled name has the whole path, which debug information may leave out.
        if let Some(last) = frames.last_mut()
            && let Some(Symbol { name, is_mangled }) = symbol
            && (is_mangled || last.function.is_none())
        {
            last.function = Some(name);
        }
    }
}

/// The frames of an address by debug information.
fn inlined(
    context: &Context<Bytes<'_>>,
    address: u64,
    like: &CrashFrame,
    to: &mut Vec<CrashFrame>,
) {
    let Ok(mut found) = context.find_frames(address).skip_all_loads() else { return };
    while let Ok(Some(frame)) = found.next() {
        // The frame before was put into this one.
        to.iter_mut().for_each(|inner| inner.is_inlined = true);
        let function = frame.function.as_ref().and_then(|name| name.demangle().ok());
        let location = frame.location.as_ref();
        to.push(CrashFrame {
            function: function.map(|name| text(&name)),
            file: location.and_then(|location| location.file).map(text),
            line: location.and_then(|location| location.line),
            ..like.clone()
        });
        if to.len() >= FRAMES_MAX {
            return;
        }
    }
}

/// The debug information, if there is some.
fn context<'a>(elf: &Elf<'a>) -> Option<Context<Bytes<'a>>> {
    section(elf, ".debug_info")?;
    let load = |id: gimli::SectionId| -> Result<_, gimli::Error> {
        let bytes = section(elf, id.name()).map_or(&[][..], |(_, bytes)| bytes);
        Ok(Bytes::new(bytes, gimli::NativeEndian))
    };
    Context::from_dwarf(gimli::Dwarf::load(load).ok()?).ok()
}

/// A function by the table of symbols.
struct Symbol {
    name: String,
    is_mangled: bool,
}

/// The functions at these addresses by the tables of symbols of both files.
fn symbols(files: [Option<&Elf<'_>>; 2], addresses: &[u64]) -> Vec<Option<Symbol>> {
    let mut found: Vec<Option<(u64, &str)>> = vec![None; addresses.len()];
    let files = files.into_iter().flatten();
    for symbol in files.flat_map(|elf| elf.symbols().chain(elf.dynamic_symbols())) {
        if symbol.kind() != SymbolKind::Text || symbol.is_undefined() {
            continue;
        }
        let begin = symbol.address();
        // One without a size, as assembly has them, reaches to the next.
        let end = match symbol.size() {
            0 => u64::MAX,
            size => begin.saturating_add(size),
        };
        for (address, found) in addresses.iter().zip(&mut found) {
            let is_nearer = found.is_none_or(|(known, _)| known < begin);
            if (begin..end).contains(address)
                && is_nearer
                && let Ok(name) = symbol.name()
            {
                *found = Some((begin, name));
            }
        }
    }
    let demangled = |(_, name): (u64, &str)| {
        let demangled = demangle_auto(name.into(), None);
        Symbol { is_mangled: demangled != name, name: text(&demangled) }
    };
    found.into_iter().map(|found| found.map(demangled)).collect()
}
