/// What the kernel says of its clock and of this program: adjtimex(2) and /proc/self.
[<RequireQualifiedAccess>]
module internal Agent.Sender.OwnState

open System
open System.Buffers.Binary
open Agent.Core
open Agent.Outbound
open Agent.Core.Proc
open Agent.Core.Units

// ---- The clock: adjtimex(2) ------------------------------------------------------------------------------------------------

/// STA_NANO: offsets are in nanoseconds, else in microseconds.
[<Literal>]
let private Nanoseconds = 0x2000L

/// TIME_ERROR: the clock is not synchronised.
[<Literal>]
let private NotSynchronised = 5L

/// Of 2⁻¹⁶ parts in a million.
[<Literal>]
let private PartsPerMillion16 = 65536000000.0

/// A number of the call's answer: its place in bytes, behind the 64 bits that the call returned; how many bytes it has; and its
/// family. The scale is 0 where the status decides whether it counts nanoseconds or microseconds.
let private clockFields =
    let field at size name kind help scale =
        struct (8 + at, size, Family.labelled [||] kind ("node_timex_" + name) help, scale)

    let long at name help scale =
        field at 8 name MetricKind.Gauge help scale

    let counter at name help =
        field at 8 name MetricKind.Counter help 1.0

    [|
        long 8 "offset_seconds" "Time offset in between local system and reference clock." 0.0
        long 24 "maxerror_seconds" "Maximum error in seconds." 1e-6
        long 32 "estimated_error_seconds" "Estimated error in seconds." 1e-6
        field 40 4 "status" MetricKind.Gauge "Value of the status array bits." 1.0
        long 48 "loop_time_constant" "Phase-locked loop time constant." 1.0
        long 88 "tick_seconds" "Seconds between clock ticks." 1e-6
        long 96 "pps_frequency_hertz" "Pulse per second frequency." (1.0 / PartsPerMillion16)
        long 104 "pps_jitter_seconds" "Pulse per second jitter." 0.0
        field 112 4 "pps_shift_seconds" MetricKind.Gauge "Pulse per second interval duration." 1.0
        long 120 "pps_stability_hertz" "Pulse per second stability, average of recent frequency changes." (1.0 / PartsPerMillion16)
        counter 128 "pps_jitter_total" "Pulse per second count of jitter limit exceeded events."
        counter 136 "pps_calibration_total" "Pulse per second count of calibration intervals."
        counter 144 "pps_error_total" "Pulse per second count of calibration errors."
        counter 152 "pps_stability_exceeded_total" "Pulse per second count of stability limit exceeded events."
        field 160 4 "tai_offset_seconds" MetricKind.Gauge "International Atomic Time (TAI) offset." 1.0
    |]

let private frequency =
    Family.gauge "node_timex_frequency_adjustment_ratio" "Local clock frequency adjustment."

let private isSynchronised =
    Family.gauge "node_timex_sync_status" "Is clock synchronized to a reliable server (1 = yes, 0 = no)."

/// What the call returned as 64 bits, and its struct timex.
[<Literal>]
let private ClockLength = 172

let private number (bytes: ReadOnlySpan<byte>) (at: int) (size: int) : int64 =
    if size = 8 then
        BinaryPrimitives.ReadInt64LittleEndian(bytes.Slice at)
    else
        int64 (BinaryPrimitives.ReadInt32LittleEndian(bytes.Slice at))

let private clock _ (texts: FileText[]) (figures: Figures) =
    for text in texts do
        if text.Text.Length >= ClockLength then
            let bytes = text.Text.Span
            let status = number bytes 48 4
            let offsets = if status &&& Nanoseconds <> 0L then 1e-9 else 1e-6

            for struct (at, size, family, scale) in clockFields do
                figures.Add(family, float (number bytes at size) * (if scale = 0.0 then offsets else scale))

            figures.Add(frequency, 1.0 + float (number bytes 24 8) / PartsPerMillion16)
            figures.Add(isSynchronised, (if number bytes 0 8 = NotSynchronised then 0.0 else 1.0))

// ---- This program: /proc/self ----------------------------------------------------------------------------------------------

let private cpuSeconds =
    Family.counter "process_cpu_seconds_total" "Total user and system CPU time spent in seconds."

let private startTime =
    Family.gauge "process_start_time_seconds" "Start time of the process since unix epoch in seconds."

let private virtualMemory = Family.gauge "process_virtual_memory_bytes" "Virtual memory size in bytes."

let private residentMemory =
    Family.gauge "process_resident_memory_bytes" "Resident memory size in bytes."

let private openFiles = Family.gauge "process_open_fds" "Number of open file descriptors."

/// Lines of /proc/self/limits, by how they begin.
let private limits =
    [|
        struct ("Max open files "B, Family.gauge "process_max_fds" "Maximum number of open file descriptors.")
        struct ("Max address space "B,
                Family.gauge "process_virtual_memory_max_bytes" "Maximum amount of virtual memory available in bytes.")
    |]

let private tellLimits (text: ReadOnlySpan<byte>) (figures: Figures) =
    let mutable cursor = Cursor("", text)

    while cursor.NextLine() do
        for struct (start, family) in limits do
            if cursor.Line.StartsWith(ReadOnlySpan start) then
                cursor.Skip start.Length
                let mutable value = 0.0

                if cursor.Decimal &value then
                    figures.Add(family, value)
                elif cursor.Last.SequenceEqual("unlimited"B.AsSpan()) then
                    figures.Add(family, float UInt64.MaxValue)

let private program (facts: CollectorFacts) (texts: FileText[]) (figures: Figures) =
    match ProcessStat.parse (Numbers.textOf "stat" texts).Span with
    | Ok stat ->
        figures.Add(cpuSeconds, float (secondsOfTicks stat.CpuTime))

        match facts.BootTime with
        | ValueSome boot -> figures.Add(startTime, boot + float (secondsOfTicks stat.StartedAt))
        | ValueNone -> ()
    | Error _ -> ()

    let mutable cursor = Cursor("", (Numbers.textOf "statm" texts).Span)
    let mutable pages = 0.0

    if cursor.NextLine() && cursor.Decimal &pages then
        figures.Add(virtualMemory, pages * float facts.PageSize)

        if cursor.Decimal &pages then
            figures.Add(residentMemory, pages * float facts.PageSize)

    tellLimits (Numbers.textOf "limits" texts).Span figures
    Numbers.ofFiles [| Numbers.file "descriptors" openFiles |] id texts figures

/// The collectors.
let all: Collector[] =
    [|
        Collector("timex", true, [| FileSet.Call "adjtimex" |], clock)
        Collector(
            "process",
            true,
            [|
                FileSet.Own [| "stat"; "statm" |]
                (FileSet.Own [||]).And [| "limits" |]
                FileSet.Call "descriptors"
            |],
            program
        )
    |]
