// SPDX-License-Identifier: BSD-3-Clause
//! What the steps were: instructions by function, locked ones by line.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use addr2line::demangle_auto;
use object::read::{Object, ObjectSegment, ObjectSymbol};

use crate::Count;
use crate::calls::{BATCH, READY, keep_to};
use crate::error::Error;
use crate::step::{Seen, Traced};

pub(crate) fn run(count: &Count) -> Result<(), Error> {
    let itself = std::env::current_exe().map_err(Error::system("find this program"))?;
    let mut command = Command::new(itself);
    let calls = &count.calls;
    command.arg("call").arg("--plugin").arg(&calls.subject.plugin);
    command.args(["--placement", calls.subject.placement.name()]);
    command.args(["--calls", &calls.calls.to_string(), "--depth", &calls.depth.to_string()]);
    command.args(["--bytes", &calls.bytes.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(Error::system("start the host"))?;
    let counted = counted(&mut child, count);
    let _ = child.kill();
    child.wait().map_err(Error::system("wait for the host"))?;
    counted
}

fn counted(child: &mut Child, count: &Count) -> Result<(), Error> {
    let mut line = String::new();
    if let Some(out) = &mut child.stdout {
        BufReader::new(out).read_line(&mut line).map_err(Error::system("read"))?;
    }
    if line.trim_end() != READY {
        return Err(Error::Unexpected { expected: READY, got: line });
    }
    let host = child.id();
    let traced = Traced::seize(host.cast_signed()).map_err(Error::system("trace"))?;
    if let Some(input) = &mut child.stdin {
        input.write_all(b"\n").map_err(Error::system("write"))?;
    }
    traced.wait_for_mark().map_err(Error::system("step"))?;
    // A step is two switches between threads, which cost least on one processor.
    keep_to(0)?;
    // Time passes a thousand times as fast for the others, which would take the session over.
    let others = others(host)?;
    let calls = count.calls.calls;
    let until = Instant::now() + Duration::from_secs(count.seconds);
    let (seen, marks) = traced.run(calls.div_ceil(BATCH), until).map_err(Error::system("step"))?;
    let modules = modules(host)?;
    for stopped in others.into_iter().chain([traced]) {
        stopped.leave().map_err(Error::system("leave"))?;
    }
    report(&seen, &modules, calls.min(marks * BATCH), count.lines);
    Ok(())
}

/// The host's other threads, stopped.
fn others(host: u32) -> Result<Vec<Traced>, Error> {
    let tasks =
        fs::read_dir(format!("/proc/{host}/task")).map_err(Error::system("list threads"))?;
    let threads = tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok());
    let mut stopped = Vec::new();
    for thread in threads.filter(|thread| *thread != host.cast_signed()) {
        let traced = Traced::seize(thread).map_err(Error::system("trace"))?;
        traced.interrupt().map_err(Error::system("stop"))?;
        stopped.push(traced);
    }
    Ok(stopped)
}

/// A mapping of code.
struct Module {
    begin: u64,
    end: u64,
    path: PathBuf,
    /// Added to an address of the file's.
    bias: u64,
    /// Begin and name of each function.
    functions: Vec<(u64, String)>,
}

impl Module {
    fn holds(&self, at: u64) -> bool {
        (self.begin..self.end).contains(&at)
    }

    fn function(&self, at: u64) -> Option<(u64, &str)> {
        let at = at.wrapping_sub(self.bias);
        let next = self.functions.partition_point(|(begin, _)| *begin <= at);
        let (begin, name) = self.functions.get(next.checked_sub(1)?)?;
        Some((at - begin, name))
    }
}

fn modules(process: u32) -> Result<Vec<Module>, Error> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps"));
    let maps = maps.map_err(Error::system("read the mappings"))?;
    Ok(maps.lines().filter_map(|line| module(process, line)).collect())
}

/// A line of `/proc/PID/maps`, if code is mapped there.
fn module(process: u32, line: &str) -> Option<Module> {
    let mut fields = line.split_whitespace();
    let (range, flags, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let (begin, end) = range.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let (begin, end, offset) = (number(begin)?, number(end)?, number(offset)?);
    let path = PathBuf::from(fields.nth(2).unwrap_or("?"));
    if !flags.contains('x') {
        return None;
    }
    // Also of a file without a name.
    let file = fs::read(format!("/proc/{process}/map_files/{range}")).unwrap_or_default();
    let (bias, functions) = functions(&file, begin, offset).unwrap_or_default();
    Some(Module { begin, end, path, bias, functions })
}

fn functions(file: &[u8], begin: u64, offset: u64) -> Option<(u64, Vec<(u64, String)>)> {
    let elf = object::File::parse(file).ok()?;
    // A mapping begins where a page does, its segment perhaps behind that.
    let is_here = |(at, bytes): (u64, u64)| at & !0xfff <= offset && offset < at + bytes;
    // Two segments may share a page: the code is behind what is only read.
    let segment = elf.segments().filter(|segment| is_here(segment.file_range())).last()?;
    let of_offset = segment.address().wrapping_sub(segment.file_range().0).wrapping_add(offset);
    let bias = begin.wrapping_sub(of_offset);
    let mut functions: Vec<(u64, String)> = elf
        .symbols()
        .chain(elf.dynamic_symbols())
        .filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.address() != 0)
        .filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?.to_owned())))
        .collect();
    functions.sort();
    functions.dedup_by_key(|(begin, _)| *begin);
    Some((bias, functions))
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    instructions: u64,
    locked: u64,
    clocks: u64,
    system_calls: u64,
    fences: u64,
}

impl Sum {
    fn of(times: u64, code: [u8; 16]) -> Self {
        let mut sum = Self { instructions: times, ..Self::default() };
        match kind(&code) {
            Kind::Locked => sum.locked = times,
            Kind::Clock => sum.clocks = times,
            Kind::SystemCall => sum.system_calls = times,
            Kind::Fence => sum.fences = times,
            Kind::Other => {}
        }
        sum
    }

    fn add(&mut self, other: Self) {
        self.instructions += other.instructions;
        self.locked += other.locked;
        self.clocks += other.clocks;
        self.system_calls += other.system_calls;
        self.fences += other.fences;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Locked,
    Clock,
    SystemCall,
    Fence,
    Other,
}

/// What an instruction does that takes long, whatever it operates on.
fn kind(code: &[u8; 16]) -> Kind {
    let mut is_locked = false;
    let mut rest = code.as_slice();
    while let Some((first, more)) = rest.split_first() {
        match first {
            0xf0 => is_locked = true,
            // Of operands, segments, repeats; and REX.
            0x66 | 0x67 | 0xf2 | 0xf3 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65 | 0x40..=0x4f => {}
            _ => break,
        }
        rest = more;
    }
    match rest {
        _ if is_locked => Kind::Locked,
        // An exchange with memory is locked without a prefix.
        [0x86 | 0x87, operands, ..] if operands >> 6 != 3 => Kind::Locked,
        [0x0f, 0x31, ..] | [0x0f, 0x01, 0xf9, ..] => Kind::Clock,
        [0x0f, 0x05, ..] => Kind::SystemCall,
        [0x0f, 0xae, 0xf0, ..] => Kind::Fence,
        _ => Kind::Other,
    }
}

/// The name without what tells it from others of the same path.
fn readable(name: &str) -> String {
    let name = demangle_auto(name.into(), None);
    let cut = name.rfind("::h").filter(|at| name.len() - at == 19);
    name.get(..cut.unwrap_or(name.len())).unwrap_or(&name).to_owned()
}

fn report(seen: &Seen, modules: &[Module], calls: u64, lines: usize) {
    let calls = calls as f64;
    let mut total = Sum::default();
    let (mut allocated, mut freed) = (0, 0);
    let mut functions: BTreeMap<String, Sum> = BTreeMap::new();
    let mut locked: BTreeMap<(&Path, u64), u64> = BTreeMap::new();
    for (at, (times, code)) in seen {
        let sum = Sum::of(*times, *code);
        total.add(sum);
        let module = modules.iter().find(|module| module.holds(*at));
        let found = module.and_then(|module| module.function(*at));
        let (offset, name) = found.unwrap_or((1, "?"));
        if offset == 0 {
            match name {
                "malloc" | "__libc_malloc" | "calloc" | "__libc_calloc" | "realloc" => {
                    allocated += times;
                }
                "free" | "__libc_free" | "cfree" => freed += times,
                _ => {}
            }
        }
        functions.entry(readable(name)).or_default().add(sum);
        if let (Some(module), true) = (module, sum.locked + sum.fences + sum.clocks > 0) {
            *locked.entry((&module.path, at.wrapping_sub(module.bias))).or_default() += times;
        }
    }
    let each = |count: u64| count as f64 / calls;
    println!("for each of {calls} calls:");
    println!("  instructions        {:9.1}", each(total.instructions));
    println!("  locked instructions {:9.2}", each(total.locked));
    println!("  full fences         {:9.2}", each(total.fences));
    println!("  reads of a clock    {:9.2}", each(total.clocks));
    println!("  system calls        {:9.3}", each(total.system_calls));
    println!("  allocations         {:9.2}", each(allocated));
    println!("  frees               {:9.2}", each(freed));
    println!("\ninstructions, locked, in the function:");
    let mut functions: Vec<_> = functions.into_iter().collect();
    functions.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.instructions));
    for (name, sum) in functions.iter().take(lines) {
        println!("{:9.1} {:6.2}  {name}", each(sum.instructions), each(sum.locked));
    }
    println!(
        "\nlocked instructions, fences, reads of clocks, each with the functions that it is inlined into:"
    );
    let mut locked: Vec<_> = locked.into_iter().collect();
    locked.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    for ((path, at), times) in locked.into_iter().take(lines) {
        println!("{:9.2}  {}", each(times), place(path, at));
    }
}

/// The functions at this address of a file, the innermost first, as the program `addr2line` has them.
fn place(path: &Path, at: u64) -> String {
    let asked =
        Command::new("addr2line").args(["-Cisfe"]).arg(path).arg(format!("{at:#x}")).output();
    let asked = asked.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    let lines: Vec<String> = asked.unwrap_or_default().lines().map(str::to_owned).collect();
    let named = lines.as_chunks::<2>().0.iter().map(|[name, line]| {
        let short = name.rsplit("::").find(|part| !part.starts_with('h') || part.len() != 17);
        format!("{} {line}", short.unwrap_or(name))
    });
    let named: Vec<String> = named.take(7).collect();
    match named.is_empty() {
        true => format!("{}+{at:#x}", path.display()),
        false => named.join(" < "),
    }
}
