/// `/proc/PID/stat`, and `/proc/PID/task/TID/stat` of one thread: what the scheduler and the memory manager count.
/// See proc_pid_stat(5). One line: the PID, the name in parentheses, then numbers. The name may hold anything, blanks, parentheses and line
/// ends included, so its end is the last parenthesis of the text. Times are in ticks.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.ProcessStat

open System
open Agent.Core
open Agent.Core.Units

/// Where the text comes from.
[<Literal>]
let Source = "/proc/PID/stat"

/// One process, or one thread.
[<Struct; NoComparison>]
type ProcessStat =
    {
        /// Its number; that of the thread for a thread.
        Pid: int
        /// The name, at most 15 bytes.
        Name: string
        /// `R` running, `S` sleeping, `D` in uninterruptible sleep, `Z` ended, and others.
        State: char
        /// The parent's PID; 0 for the first process and for kernel threads.
        Parent: int
        /// The process group.
        Group: int
        /// The session.
        Session: int
        /// Page faults that had to wait for a disk.
        MajorFaults: uint64
        /// In user mode; of a process that of all its threads.
        UserTime: uint64<tick>
        /// In kernel mode; of a process that of all its threads.
        SystemTime: uint64<tick>
        /// In user and kernel mode, of all children that ended and were waited for, and of theirs.
        ChildTime: uint64<tick>
        /// Threads of the process.
        Threads: int
        /// When it started, since boot.
        StartedAt: uint64<tick>
        /// The resident set.
        Resident: uint64<page>
        /// The CPU that it ran on last; none before kernel 2.2.8.
        Processor: int voption
        /// Waited for block I/O; none before kernel 2.6.18. 0 where delays are not counted, the default since 5.14
        /// (`kernel.task_delayacct`).
        BlockIoDelay: uint64<tick> voption
    }

    /// In user and kernel mode.
    member stat.CpuTime: uint64<tick> = addSaturating stat.UserTime stat.SystemTime

/// The fields from the third on, as proc_pid_stat(5) calls them.
let private fields =
    [|
        "state"
        "ppid"
        "pgrp"
        "session"
        "tty_nr"
        "tpgid"
        "flags"
        "minflt"
        "cminflt"
        "majflt"
        "cmajflt"
        "utime"
        "stime"
        "cutime"
        "cstime"
        "priority"
        "nice"
        "num_threads"
        "itrealvalue"
        "starttime"
        "vsize"
        "rss"
    |]

/// From the field that was read last to that of this number, both as in proc_pid_stat(5).
let private skipTo (number: int) (cursor: byref<Cursor>) : unit =
    while cursor.Fields < number - 3 do
        cursor.SkipField()

let private tryInt (cursor: byref<Cursor>) (value: byref<int>) : bool =
    let mutable number = 0L

    if
        Text.tryInt64 (cursor.Field(), &number)
        && number >= -2147483648L
        && number <= 2147483647L
    then
        value <- int number
        true
    else
        false

/// The number that stands at this place, or none where the line is shorter; false when it is something else.
let private tryLater (number: int) (cursor: byref<Cursor>) (value: byref<uint64 voption>) : bool =
    let mutable read = 0UL
    skipTo number &cursor

    if cursor.UInt64 &read then
        value <- ValueSome read
        true
    else
        cursor.Last.IsEmpty

/// The place of the name: behind the first parenthesis, and before the last. False where there is none.
let private tryName (text: ReadOnlySpan<byte>) (first: byref<int>) (past: byref<int>) : bool =
    first <- text.IndexOf '('B + 1
    past <- text.LastIndexOf ')'B
    first > 0 && past >= first

let private noName (text: ReadOnlySpan<byte>) : ParseError =
    {
        Source = Source
        Line = 1
        Field = "comm"
        Raw = Text.excerpt text
        Expected = "a name in parentheses"
    }

/// The state alone, for a thread that is looked at often.
[<CompiledName "StateOf">]
let stateOf (text: ReadOnlySpan<byte>) : Result<char, ParseError> =
    let mutable first = 0
    let mutable past = 0

    if not (tryName text &first &past) then
        Error(noName text)
    else
        let mutable cursor = Cursor(Source, text.Slice(past + 1))

        if not (cursor.NextLine()) then
            Error(cursor.NoLine "state")
        else
            let state = cursor.Field()

            if state.Length = 1 && state[0] > ' 'B && state[0] <= '~'B then
                Ok(char state[0])
            else
                Error(cursor.Bad("state", "a letter"))

/// Reads one process or thread. Fields that a later kernel appends are ignored.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<ProcessStat, ParseError> =
    let mutable first = 0
    let mutable past = 0
    let mutable pid = 0L

    match stateOf text with
    | Error error -> Error error
    | Ok _ when not (tryName text &first &past) -> Error(noName text)
    | Ok _ when
        not (
            Text.tryInt64 (Text.trim (text.Slice(0, first - 1)), &pid)
            && pid >= 0L
            && pid <= 2147483647L
        )
        ->
        Error
            {
                Source = Source
                Line = 1
                Field = "pid"
                Raw = Text.excerpt (text.Slice(0, first - 1))
                Expected = "the number of a process"
            }
    | Ok state ->
        let mutable cursor = Cursor(Source, text.Slice(past + 1))
        let mutable parent = 0
        let mutable group = 0
        let mutable session = 0
        let mutable majorFaults = 0UL
        let mutable user = 0UL
        let mutable system = 0UL
        let mutable childUser = 0UL
        let mutable childSystem = 0UL
        let mutable threads = 0
        let mutable start = 0UL
        let mutable resident = 0L
        let mutable processor = ValueNone
        let mutable delay = ValueNone

        // The cursor counts the fields that it was asked for, from the state as the first.
        let good =
            cursor.NextLine()
            && (skipTo 4 &cursor
                tryInt &cursor &parent)
            && tryInt &cursor &group
            && tryInt &cursor &session
            && (skipTo 12 &cursor
                cursor.UInt64 &majorFaults)
            && (skipTo 14 &cursor
                cursor.UInt64 &user)
            && cursor.UInt64 &system
            && cursor.UInt64 &childUser
            && cursor.UInt64 &childSystem
            && (skipTo 20 &cursor
                tryInt &cursor &threads)
            && (skipTo 22 &cursor
                cursor.UInt64 &start)
            // A resident set may be counted below 0 for a moment (percpu counters).
            && (skipTo 24 &cursor
                Text.tryInt64 (cursor.Field(), &resident))

        if not good then
            Error(cursor.Bad(fields[min cursor.Fields fields.Length - 1], "a whole number"))
        elif not (tryLater 39 &cursor &processor) then
            Error(cursor.Bad("processor", "the number of a CPU"))
        elif not (tryLater 42 &cursor &delay) then
            Error(cursor.Bad("delayacct_blkio_ticks", "a number of clock ticks"))
        else
            Ok
                {
                    Pid = int pid
                    Name = Text.toString (text.Slice(first, past - first))
                    State = state
                    Parent = parent
                    Group = group
                    Session = session
                    MajorFaults = majorFaults
                    UserTime = LanguagePrimitives.UInt64WithMeasure user
                    SystemTime = LanguagePrimitives.UInt64WithMeasure system
                    ChildTime = LanguagePrimitives.UInt64WithMeasure(addSaturating childUser childSystem)
                    Threads = threads
                    StartedAt = LanguagePrimitives.UInt64WithMeasure start
                    Resident = LanguagePrimitives.UInt64WithMeasure(uint64 (max 0L resident))
                    Processor =
                        match processor with
                        | ValueSome cpu when cpu <= 2147483647UL -> ValueSome(int cpu)
                        | _ -> ValueNone
                    BlockIoDelay = delay |> ValueOption.map LanguagePrimitives.UInt64WithMeasure
                }
