/// What the CPUs did between two readings of /proc/stat.
[<RequireQualifiedAccess>]
module Agent.Core.CpuUsage

open Agent.Core.Proc
open Agent.Core.Units

/// Shares of the time that passed, each within 0-100.
[<Struct; NoComparison>]
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

/// How much each kind of time grew, in ticks.
[<Struct; NoComparison>]
type private Growth =
    {
        Busy: float
        User: float
        System: float
        Iowait: float
        Steal: float
        All: float
    }

let private nothing =
    {
        Busy = 0.0
        User = 0.0
        System = 0.0
        Iowait = 0.0
        Steal = 0.0
        All = 0.0
    }

// A column that goes backwards, as iowait does, counts nothing.
let private grown (before: uint64<tick>) (after: uint64<tick>) : float =
    if after > before then float (after - before) else 0.0

let private growth (before: Stat.CpuTimes) (after: Stat.CpuTimes) : Growth =
    let user = grown before.User after.User
    let nice = grown before.Nice after.Nice
    let system = grown before.System after.System
    let idle = grown before.Idle after.Idle
    let iowait = grown before.Iowait after.Iowait
    let irq = grown before.Irq after.Irq
    let softirq = grown before.Softirq after.Softirq
    let steal = grown before.Steal after.Steal
    let busy = user + nice + system + irq + softirq + steal

    {
        Busy = busy
        User = user
        System = system
        Iowait = iowait
        Steal = steal
        All = busy + idle + iowait
    }

let private add (one: Growth) (other: Growth) : Growth =
    {
        Busy = one.Busy + other.Busy
        User = one.User + other.User
        System = one.System + other.System
        Iowait = one.Iowait + other.Iowait
        Steal = one.Steal + other.Steal
        All = one.All + other.All
    }

let private usageOf (growth: Growth) : Usage =
    {
        Busy = percentOf growth.Busy growth.All
        User = percentOf growth.User growth.All
        System = percentOf growth.System growth.All
        Iowait = percentOf growth.Iowait growth.All
        Steal = percentOf growth.Steal growth.All
    }

/// The usage from `before` to `after`; all zero when no time passed. Guest time is part of user and nice and is not
/// counted again.
[<CompiledName "Between">]
let between (before: Stat.CpuTimes) (after: Stat.CpuTimes) : Usage = usageOf (growth before after)

/// So far a counter may fall without having been reset.
[<Literal>]
let private Jitter = 2UL<tick>

let private isNoFall (before: uint64<tick>) (after: uint64<tick>) : bool =
    after >= before || before - after <= Jitter

/// True when the second reading continues the first. A counter that fell was reset, as idle and iowait are when a CPU
/// comes back on-line and the others when a virtual machine moves, and what passed in between is not known. A fall by two ticks is none, and
/// counts as no change: to what it accounted the kernel adds what a CPU has slept or, without a tick (nohz_full), run since, and reads of the two
/// are not one. Iowait may fall further: the kernel moves what it took for waiting over to idle, which then grows by as much; a tick may be lost
/// to rounding.
[<CompiledName "IsContinued">]
let isContinued (before: Stat.CpuTimes) (after: Stat.CpuTimes) : bool =
    isNoFall before.User after.User
    && isNoFall before.Nice after.Nice
    && isNoFall before.System after.System
    && isNoFall before.Idle after.Idle
    && isNoFall before.Irq after.Irq
    && isNoFall before.Softirq after.Softirq
    && isNoFall before.Steal after.Steal
    && (isNoFall before.Iowait after.Iowait
        || (after.Idle >= before.Idle
            && before.Iowait - after.Iowait - 1UL<tick> <= after.Idle - before.Idle))

/// The times of a CPU in a reading. CPUs keep their places unless one came or went, so the place is tried before the
/// search.
let private timesOf (id: int) (place: int) (cpus: Stat.CpuLine[]) : Stat.CpuTimes voption =
    if place < cpus.Length && cpus[place].Id = id then
        cpus[place].Times
    else
        let mutable i = 0

        while i < cpus.Length && cpus[i].Id <> id do
            i <- i + 1

        if i < cpus.Length then cpus[i].Times else ValueNone

/// So much more than the time that passed a CPU may account: clocks are set, readings are late, and the kernel catches up with what it did
/// not account while a CPU ran or slept.
[<Literal>]
let private Slack = 10.0<s>

/// USER_HZ.
[<Literal>]
let private TicksPerSecond = 100.0

/// As many CPUs as a kernel can have.
[<Literal>]
let private MostCpus = 8192

/// The time that so many CPUs can account for within `elapsed`: twice as much and some seconds; anything where nobody knows how much
/// time passed, as where the clock was set back.
let private most (elapsed: float<s> voption) (cpus: int) : float<s> =
    match elapsed with
    | ValueSome elapsed when elapsed > 0.0<s> -> float cpus * (2.0 * elapsed + Slack)
    | _ -> LanguagePrimitives.FloatWithMeasure infinity

/// What one CPU did; none unless both readings have it, the second continues the first, and it grew by no more than it can: a
/// counter that fell below zero, or leapt, says nothing of this time.
let private growthOf (most: float<s>) (before: Stat.CpuTimes voption) (after: Stat.CpuTimes voption) : Growth voption =
    match before, after with
    | ValueSome before, ValueSome after when isContinued before after ->
        let growth = growth before after

        if growth.All / TicksPerSecond <= float most then
            ValueSome growth
        else
            ValueNone
    | _ -> ValueNone

/// The usage of all CPUs between two readings that were taken `elapsed` apart; none when it cannot be known. The line of all CPUs counts
/// as long as the same CPUs are on-line and none of their counters fell, or leapt by more than that time. Otherwise it is the sum
/// over the CPUs that are in both readings and whose counters did not.
[<CompiledName "Since">]
let since (elapsed: float<s> voption) (before: Stat.CpuStat) (after: Stat.CpuStat) : Usage voption =
    let mostOfOne = most elapsed 1
    let mutable sum = nothing
    let mutable sound = 0

    for place in 0 .. after.Cpus.Length - 1 do
        let cpu = after.Cpus[place]

        match growthOf mostOfOne (timesOf cpu.Id place before.Cpus) cpu.Times with
        | ValueSome growth ->
            sum <- add sum growth
            sound <- sound + 1
        | ValueNone -> ()

    let isSame = sound = after.Cpus.Length && sound = before.Cpus.Length

    let cpus =
        if after.Cpus.Length = 0 then
            MostCpus
        else
            after.Cpus.Length

    match growthOf (most elapsed cpus) before.Total after.Total with
    | ValueSome growth when isSame -> ValueSome(usageOf growth)
    | _ when sound > 0 -> ValueSome(usageOf sum)
    | _ -> ValueNone

/// The usage of all CPUs since boot, `elapsed` ago, for a first reading; none when it cannot be known.
[<CompiledName "UntilNow">]
let untilNow (elapsed: float<s> voption) (stat: Stat.CpuStat) : Usage voption =
    since
        elapsed
        { stat with
            Total = ValueSome sinceBoot
            Cpus = stat.Cpus |> Array.map (fun cpu -> { cpu with Times = ValueSome sinceBoot })
        }
        stat

/// The busy share of each CPU of `after`, in its order; none for one that came, or whose counters fell or leapt, since `before`, which
/// was `elapsed` ago. Without an earlier reading they count since boot.
[<CompiledName "Cores">]
let cores (elapsed: float<s> voption) (before: Stat.CpuStat voption) (after: Stat.CpuStat) : float<percent> voption[] =
    let most = most elapsed 1

    after.Cpus
    |> Array.mapi (fun place cpu ->
        let earlier =
            match before with
            | ValueSome stat -> timesOf cpu.Id place stat.Cpus
            | ValueNone -> ValueSome sinceBoot

        match growthOf most earlier cpu.Times with
        | ValueSome growth -> ValueSome (usageOf growth).Busy
        | ValueNone -> ValueNone)
