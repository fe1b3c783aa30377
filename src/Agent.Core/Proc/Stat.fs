/// `/proc/stat`: CPU times since boot, in clock ticks.
/// See proc_stat(5). Kernel 2.4 has four columns; iowait, irq and softirq came with 2.6, steal with 2.6.11, guest with
/// 2.6.24, guest_nice with 2.6.33.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.Stat

open System
open Agent.Core
open Agent.Core.Units

/// Where the text comes from.
[<Literal>]
let Source = "/proc/stat"

/// The time that one CPU, or all of them together, spent in each state. Columns the kernel does not have are 0.
[<Struct; NoComparison>]
type CpuTimes =
    {
        /// Normal user code, `Guest` included.
        User: uint64<tick>
        /// User code at lowered priority, `GuestNice` included.
        Nice: uint64<tick>
        /// Kernel code.
        System: uint64<tick>
        /// Nothing to do.
        Idle: uint64<tick>
        /// Idle while a task waits for I/O; may go backwards.
        Iowait: uint64<tick>
        /// Hardware interrupts.
        Irq: uint64<tick>
        /// Software interrupts.
        Softirq: uint64<tick>
        /// Taken by the hypervisor for other machines.
        Steal: uint64<tick>
        /// Running a virtual CPU; already part of `User`.
        Guest: uint64<tick>
        /// Running a virtual CPU at lowered priority; already part of `Nice`.
        GuestNice: uint64<tick>
    }

/// One `cpuN` line.
[<Struct; NoComparison>]
type CpuLine =
    {
        /// The N; CPUs that are off-line leave gaps.
        Id: int
        /// Its times; none where the line does not read as it should.
        Times: CpuTimes voption
    }

/// What one reading says.
[<NoComparison>]
type CpuStat =
    {
        /// The `cpu` line: all CPUs together, those that are off-line included; none where it cannot be read.
        Total: CpuTimes voption
        /// One entry for each CPU that is on-line, in the order of the text.
        Cpus: CpuLine[]
        /// How many CPUs are on-line; none when the text may have ended before the last of them, or has the line of all CPUs alone.
        Online: int voption
        /// `btime`: when the machine started, in seconds since 1970-01-01 UTC.
        BootTime: int64<s> voption
        /// `ctxt`: context switches since boot; none where the kernel does not say, as of all that follow.
        ContextSwitches: uint64 voption
        /// `processes`: forks since boot.
        Forks: uint64 voption
        /// `intr`: interrupts serviced since boot, all together.
        Interrupts: uint64 voption
        /// `procs_running`: tasks that run or could.
        Running: uint64 voption
        /// `procs_blocked`: tasks that wait for I/O.
        Blocked: uint64 voption
    }

// A byte literal in an expression is allocated each time; these are made once.
let private cpuName = "cpu"B
let private btimeName = "btime"B
let private contextSwitchesName = "ctxt"B
let private forksName = "processes"B
let private interruptsName = "intr"B
let private runningName = "procs_running"B
let private blockedName = "procs_blocked"B

let private columns =
    [|
        "user"
        "nice"
        "system"
        "idle"
        "iowait"
        "irq"
        "softirq"
        "steal"
        "guest"
        "guest_nice"
    |]

/// Reads the columns that follow the CPU's name: four at least, ten at most, more are ignored.
let private readTimes (cursor: byref<Cursor>) (times: byref<CpuTimes>) : bool =
    let mutable user = 0UL
    let mutable nice = 0UL
    let mutable system = 0UL
    let mutable idle = 0UL
    let mutable iowait = 0UL
    let mutable irq = 0UL
    let mutable softirq = 0UL
    let mutable steal = 0UL
    let mutable guest = 0UL
    let mutable guestNice = 0UL

    let good =
        cursor.UInt64 &user
        && cursor.UInt64 &nice
        && cursor.UInt64 &system
        && cursor.UInt64 &idle
        && cursor.UInt64OrZero &iowait
        && cursor.UInt64OrZero &irq
        && cursor.UInt64OrZero &softirq
        && cursor.UInt64OrZero &steal
        && cursor.UInt64OrZero &guest
        && cursor.UInt64OrZero &guestNice

    if good then
        times <-
            {
                User = LanguagePrimitives.UInt64WithMeasure user
                Nice = LanguagePrimitives.UInt64WithMeasure nice
                System = LanguagePrimitives.UInt64WithMeasure system
                Idle = LanguagePrimitives.UInt64WithMeasure idle
                Iowait = LanguagePrimitives.UInt64WithMeasure iowait
                Irq = LanguagePrimitives.UInt64WithMeasure irq
                Softirq = LanguagePrimitives.UInt64WithMeasure softirq
                Steal = LanguagePrimitives.UInt64WithMeasure steal
                Guest = LanguagePrimitives.UInt64WithMeasure guest
                GuestNice = LanguagePrimitives.UInt64WithMeasure guestNice
            }

    good

/// The N of a `cpuN` name; false for any other name.
let private tryCpuId (name: ReadOnlySpan<byte>) (id: byref<int>) : bool =
    let mutable number = 0UL

    if
        name.StartsWith(ReadOnlySpan cpuName)
        && Text.tryUInt64 (name.Slice cpuName.Length, &number)
        && number <= uint64 Int32.MaxValue
    then
        id <- int number
        true
    else
        false

/// The number behind the name of a line, which has one or is not told.
let private numberOf (cursor: byref<Cursor>) (before: uint64 voption) : uint64 voption =
    let mutable number = 0UL

    if before.IsNone && cursor.UInt64 &number then
        ValueSome number
    else
        before

/// Reads the `cpu` lines, `btime` and the counters of the kernel; other lines are ignored. Only a text without any CPU is an
/// error as a whole.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Parsed<CpuStat>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable faults = LineFaults()
    let mutable total = ValueNone
    let cpus = ResizeArray<CpuLine>()
    let mutable bootTime = ValueNone
    let mutable contextSwitches = ValueNone
    let mutable forks = ValueNone
    let mutable interrupts = ValueNone
    let mutable running = ValueNone
    let mutable blocked = ValueNone
    // A line of another kind behind the CPUs shows that there are no more of them.
    let mutable isWhole = false
    let mutable isNamed = true
    let mutable id = 0

    while cursor.NextLine() do
        let name = cursor.Field()

        if name.StartsWith(ReadOnlySpan cpuName) then
            let isTotal = name.Length = cpuName.Length

            if isTotal || tryCpuId name &id then
                let mutable times = Unchecked.defaultof<CpuTimes>
                let good = readTimes &cursor &times

                if not good then
                    faults.Add(cursor.Bad(columns[cursor.Fields - 2], "a number of clock ticks"))

                let times = if good then ValueSome times else ValueNone

                if isTotal then
                    total <- times
                else
                    cpus.Add { Id = id; Times = times }

                isWhole <- false
            else
                faults.Add(cursor.Bad("cpu", "cpu and the number of a CPU"))
                isNamed <- false
        else
            if total.IsNone && cpus.Count = 0 && faults.IsEmpty then
                faults.Add(cursor.Bad("cpu", "the line of all CPUs, which starts with cpu"))

            isWhole <- true

            if name.SequenceEqual(ReadOnlySpan btimeName) then
                let mutable seconds = 0L

                if Text.tryInt64 (cursor.Field(), &seconds) && seconds >= 0L then
                    // Sandboxes that do not tell it say 0.
                    if seconds > 0L then
                        bootTime <- ValueSome(LanguagePrimitives.Int64WithMeasure seconds)
                else
                    faults.Add(cursor.Bad("btime", "seconds since 1970"))
            elif name.SequenceEqual(ReadOnlySpan contextSwitchesName) then
                contextSwitches <- numberOf &cursor contextSwitches
            elif name.SequenceEqual(ReadOnlySpan forksName) then
                forks <- numberOf &cursor forks
            elif name.SequenceEqual(ReadOnlySpan interruptsName) then
                interrupts <- numberOf &cursor interrupts
            elif name.SequenceEqual(ReadOnlySpan runningName) then
                running <- numberOf &cursor running
            elif name.SequenceEqual(ReadOnlySpan blockedName) then
                blocked <- numberOf &cursor blocked

    // Of a line that was cut the start still tells whether it was one of a CPU.
    let torn = cursor.Line

    if not torn.IsEmpty && torn[0] <> cpuName[0] then
        isWhole <- true

    if not isWhole || not cursor.AtEnd then
        faults.Add(cursor.NoLine(if isWhole then "the last line" else "cpu"))

    if total.IsNone && cpus.Count = 0 then
        Error(faults.FirstOr(cursor.NoLine "cpu"))
    else
        Ok(
            faults.Around
                {
                    Total = total
                    Cpus = cpus.ToArray()
                    Online =
                        if isWhole && isNamed && cpus.Count > 0 then
                            ValueSome cpus.Count
                        else
                            ValueNone
                    BootTime = bootTime
                    ContextSwitches = contextSwitches
                    Forks = forks
                    Interrupts = interrupts
                    Running = running
                    Blocked = blocked
                }
        )
