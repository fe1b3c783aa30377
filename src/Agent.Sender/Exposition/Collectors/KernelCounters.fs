/// Counters of the kernel as a whole.
[<RequireQualifiedAccess>]
module internal Agent.Sender.KernelCounters

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.Outbound

// ---- Memory management: /proc/vmstat ---------------------------------------------------------------------------------------

/// True for what node_exporter reports of /proc/vmstat unless configured otherwise.
let private isTold (name: ReadOnlySpan<byte>) =
    name.StartsWith("oom_kill"B.AsSpan())
    || name.StartsWith("pgpg"B.AsSpan())
    || name.StartsWith("pswp"B.AsSpan())
    || (name.StartsWith("pg"B.AsSpan()) && name.IndexOf("fault"B.AsSpan()) >= 2)

let private memoryFamilies =
    Numbers.NamedFamilies(
        [|
            "pgpgin"
            "pgpgout"
            "pswpin"
            "pswpout"
            "pgfault"
            "pgmajfault"
            "oom_kill"
        |],
        fun name -> Family.untyped ("node_vmstat_" + name) $"/proc/vmstat information field {name}."
    )

let private memoryEvents _ (texts: FileText[]) (figures: Figures) =
    let mutable cursor = Cursor("", (Numbers.textOf "vmstat" texts).Span)

    while cursor.NextLine() do
        let name = cursor.Field()
        let mutable value = 0.0

        if isTold name && Numbers.isName name && cursor.Decimal &value then
            figures.Add(memoryFamilies.Of name, value)

// ---- Files: /proc/sys/fs/file-nr -------------------------------------------------------------------------------------------

let private allocatedFiles =
    Family.gauge "node_filefd_allocated" "File descriptor statistics: allocated."

let private mostFiles = Family.gauge "node_filefd_maximum" "File descriptor statistics: maximum."

let private openFiles _ (texts: FileText[]) (figures: Figures) =
    let mutable cursor = Cursor("", (Numbers.textOf "file-nr" texts).Span)

    if cursor.NextLine() then
        let mutable allocated = 0.0
        let mutable most = 0.0
        let isKnown = cursor.Decimal &allocated
        // How many of them are free, which is always 0 since kernel 2.6.
        cursor.SkipField()

        if isKnown && cursor.Decimal &most then
            figures.Add(allocatedFiles, allocated)
            figures.Add(mostFiles, most)

// ---- Random numbers: /proc/sys/kernel/random ------------------------------------------------------------------------------

let private randomFiles =
    [|
        Numbers.file "entropy_avail" (Family.gauge "node_entropy_available_bits" "Bits of available entropy.")
        Numbers.file "poolsize" (Family.gauge "node_entropy_pool_size_bits" "Bits of entropy pool.")
    |]

// ---- Scheduler: /proc/schedstat --------------------------------------------------------------------------------------------

/// In the order of the last three columns of a CPU's line, with what they are divided by.
let private schedulerFamilies =
    let family name help =
        Family.labelled [| "cpu" |] MetricKind.Counter $"node_schedstat_{name}_total" help

    [|
        struct (family "running_seconds" "Number of seconds CPU spent running a process.", 1e9)
        struct (family "waiting_seconds" "Number of seconds spent by processing waiting for this CPU.", 1e9)
        struct (family "timeslices" "Number of timeslices executed by CPU.", 1.0)
    |]

let private scheduler _ (texts: FileText[]) (figures: Figures) =
    let mutable cursor = Cursor("", (Numbers.textOf "schedstat" texts).Span)

    while cursor.NextLine() do
        let name = cursor.Field()

        if name.Length > 3 && name.StartsWith("cpu"B.AsSpan()) then
            let cpu = [| Text.toString (name.Slice 3) |]

            for _ in 1..6 do
                cursor.SkipField()

            for struct (family, divisor) in schedulerFamilies do
                let mutable value = 0.0

                if cursor.Decimal &value then
                    figures.Add(family, cpu, value / divisor)

// ---- Clocks of the CPUs: /sys/devices/system/cpu/*/cpufreq -----------------------------------------------------------------

let private clockFiles =
    let row file name help : Numbers.NumberFile =
        {
            File = file
            Family = Family.labelled [| "cpu" |] MetricKind.Gauge $"node_cpu_{name}hertz" help
            // The files count in kHz.
            Scale = 1000.0
            IsFigure = fun khz -> (CpuInfo.clockOf (mhzOfKhz (LanguagePrimitives.FloatWithMeasure khz))).IsSome
        }

    [|
        row "cpuinfo_cur_freq" "frequency_" "Current cpu thread frequency in hertz."
        row "cpuinfo_max_freq" "frequency_max_" "Maximum cpu thread frequency in hertz."
        row "cpuinfo_min_freq" "frequency_min_" "Minimum cpu thread frequency in hertz."
        row "scaling_cur_freq" "scaling_frequency_" "Current scaled CPU thread frequency in hertz."
        row "scaling_max_freq" "scaling_frequency_max_" "Maximum scaled CPU thread frequency in hertz."
        row "scaling_min_freq" "scaling_frequency_min_" "Minimum scaled CPU thread frequency in hertz."
    |]

// ---- Errors of memory: /sys/devices/system/edac ----------------------------------------------------------------------------

let private memoryErrors _ (texts: FileText[]) (figures: Figures) =
    let correctable =
        Family.labelled [| "controller" |] MetricKind.Counter "node_edac_correctable_errors_total" "Total correctable memory errors."

    let uncorrectable =
        Family.labelled [| "controller" |] MetricKind.Counter "node_edac_uncorrectable_errors_total" "Total uncorrectable memory errors."

    let ofRow name help =
        Family.labelled [| "controller"; "csrow" |] MetricKind.Counter $"node_edac_csrow_{name}_errors_total" help

    let rowCorrectable = ofRow "correctable" "Total correctable memory errors for this csrow."

    let rowUncorrectable = ofRow "uncorrectable" "Total uncorrectable memory errors for this csrow."

    let controllers =
        [|
            Numbers.file "ce_count" correctable
            Numbers.file "ue_count" uncorrectable
            Numbers.file "ce_noinfo_count" rowCorrectable
            Numbers.file "ue_noinfo_count" rowUncorrectable
        |]

    let rows =
        [|
            Numbers.file "ce_count" rowCorrectable
            Numbers.file "ue_count" rowUncorrectable
        |]

    for text in texts do
        if text.Names.Length = 1 then
            let labels (names: string[]) =
                let controller = Numbers.withoutLetters names[0]

                if text.File = "ce_noinfo_count" || text.File = "ue_noinfo_count" then
                    [| controller; "unknown" |]
                else
                    [| controller |]

            Numbers.ofFiles controllers labels [| text |] figures
        elif text.Names[1].StartsWith("csrow", StringComparison.Ordinal) then
            Numbers.ofFiles rows (Array.map Numbers.withoutLetters) [| text |] figures

/// The collectors.
let all: Collector[] =
    let clocks files =
        FileSet.Sys("devices/system/cpu/*/cpufreq", files)

    let currentClocks = [| "cpuinfo_cur_freq"; "scaling_cur_freq" |]
    let errorFiles = [| "ce_count"; "ue_count"; "ce_noinfo_count"; "ue_noinfo_count" |]

    [|
        Collector("vmstat", true, [| FileSet.Proc("", [| "vmstat" |]) |], memoryEvents)
        Collector("filefd", true, [| FileSet.Proc("sys/fs", [| "file-nr" |]) |], openFiles)
        Collector(
            "entropy",
            true,
            [|
                FileSet.Proc("sys/kernel/random", [| "entropy_avail" |]).And [| "poolsize" |]
            |],
            fun _ -> Numbers.ofFiles randomFiles (fun _ -> [||])
        )
        Collector("schedstat", true, [| FileSet.Proc("", [| "schedstat" |]) |], scheduler)
        Collector(
            "cpufreq",
            true,
            [|
                clocks currentClocks
                (clocks [||])
                    .And(
                        clockFiles
                        |> Array.map _.File
                        |> Array.filter (fun file -> not (Array.contains file currentClocks))
                    )
            |],
            (fun _ -> Numbers.ofFiles clockFiles (Array.map Numbers.withoutLetters)),
            mayBeEmpty = true
        )
        Collector(
            "edac",
            true,
            [|
                FileSet.Sys("devices/system/edac/mc/*", errorFiles)
                FileSet.Sys("devices/system/edac/mc/*/*", Array.truncate 2 errorFiles)
            |],
            memoryErrors,
            mayBeEmpty = true
        )
    |]
