/// What the CPUs did between two readings of /proc/stat.
[<RequireQualifiedAccess>]
module Agent.Core.CpuUsage

open Agent.Core.Proc
open Agent.Core.Units

/// Shares of the time that passed, each within 0-100.
[<Struct>]
type Usage =
    {
        /// Neither idle nor waiting for I/O.
        Busy: float<percent>
        /// Normal user code.
        User: float<percent>
        /// Kernel code.
        System: float<percent>
        /// Idle while a task waits for I/O.
        Iowait: float<percent>
        /// Taken by the hypervisor.
        Steal: float<percent>
    }

/// No time at all: the reading before the first one, so that the first counts since boot.
[<CompiledName "SinceBoot">]
let sinceBoot: Stat.CpuTimes = Unchecked.defaultof<Stat.CpuTimes>

// A column that goes backwards, as iowait does, counts nothing.
let private grown (before: uint64<tick>) (after: uint64<tick>) : float =
    if after > before then float (after - before) else 0.0

/// The usage from `before` to `after`; all zero when no time passed. Guest time is part of user and nice and is not
/// counted again.
[<CompiledName "Between">]
let between (before: Stat.CpuTimes) (after: Stat.CpuTimes) : Usage =
    let user = grown before.User after.User
    let nice = grown before.Nice after.Nice
    let system = grown before.System after.System
    let idle = grown before.Idle after.Idle
    let iowait = grown before.Iowait after.Iowait
    let irq = grown before.Irq after.Irq
    let softirq = grown before.Softirq after.Softirq
    let steal = grown before.Steal after.Steal
    let busy = user + nice + system + irq + softirq + steal
    let total = busy + idle + iowait

    {
        Busy = percentOf busy total
        User = percentOf user total
        System = percentOf system total
        Iowait = percentOf iowait total
        Steal = percentOf steal total
    }

/// The busy share of each CPU of `after`, in its order. A CPU that `before` does not have counts since it came up.
[<CompiledName "Cores">]
let cores (before: Stat.CpuStat voption) (after: Stat.CpuStat) : float<percent>[] =
    let earlier =
        match before with
        | ValueSome stat -> stat.Cpus
        | ValueNone -> [||]

    // CPUs keep their places unless one was plugged in or out, so the place is tried before the search.
    let timesBefore index id =
        if index < earlier.Length && earlier[index].Id = id then
            earlier[index].Times
        else
            match earlier |> Array.tryFind (fun cpu -> cpu.Id = id) with
            | Some cpu -> cpu.Times
            | None -> sinceBoot

    after.Cpus
    |> Array.mapi (fun index cpu -> (between (timesBefore index cpu.Id) cpu.Times).Busy)
