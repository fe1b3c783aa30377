/// Runs a command and says at its end what held it back: the share of time of each bottleneck and of each verdict, the
/// most memory in use and the busiest disk. The machine is sampled once a second, in this very process, with Agent.Core.
///
///     dotnet build && dotnet fsi samples/BuildWatch.fsx dotnet build --no-incremental
///
/// Its exit code is the command's.

#r "nuget: Fake.Core.Target, 5.20.3"
#r "nuget: Fake.Core.Process, 5.20.3"
// FAKE's own dependencies ask for a version that not every feed still has, of which NuGet would warn at every run.
#r "nuget: System.Reactive, 5.0.0"
#r "../artifacts/bin/Agent.Core/debug/Agent.Core.dll"

open System
open System.IO
open System.Threading
open Fake.Core
open Agent.Core

// ---- Sampling: the only part that touches the machine ------------------------------------------------------------

let interval = TimeSpan.FromSeconds 1.0

let read name : byte[] | null =
    let path = "/proc/" + name
    if File.Exists path then File.ReadAllBytes path else null

let options: SampleOptions =
    {
        Disks = [||]
        Interfaces = [||]
        CpuWindow = TimeSpan.Zero
    }

/// A sample and what it says together with the one before.
type Moment =
    {
        Sample: Sample
        Derived: Derived
        Bottleneck: Bottleneck
        /// What the last half minute says, which is steadier than one sample.
        Verdict: Verdict voption
    }

/// Takes a sample at the start, then once an interval until told to stop, and one at the end.
type Watch() =
    let moments = ResizeArray<Moment>()
    let stop = new ManualResetEventSlim()

    let rec loop (before: Snapshot) (sampleBefore: Sample) (state: VerdictState) ends =
        if not ends then
            let ends = stop.Wait interval
            let snapshot = Snapshot.ofFiles DateTimeOffset.UtcNow read
            let sample = Sample.build options (ValueSome before) snapshot
            let derived = Derived.from (ValueSome sampleBefore) sample

            let state, verdict =
                match SampleEvidence.ofSamples (ValueSome sampleBefore) sample with
                | ValueSome evidence ->
                    let state, verdicts = Verdict.decide state evidence
                    state, ValueSome verdicts.Machine
                | ValueNone -> state, ValueNone

            moments.Add
                {
                    Sample = sample
                    Derived = derived
                    Bottleneck = Bottleneck.ofSample sample derived
                    Verdict = verdict
                }

            loop snapshot sample state ends

    let thread =
        Thread(fun () ->
            let first = Snapshot.ofFiles DateTimeOffset.UtcNow read
            loop first (Sample.build options ValueNone first) VerdictState.Empty false)

    do thread.Start()

    /// Ends the sampling and gives its samples.
    member _.Finish() : Moment list =
        stop.Set()
        thread.Join()
        List.ofSeq moments

// ---- The table: pure ----------------------------------------------------------------------------------------------

let gib (bytes: uint64<Units.B>) = float bytes / float (1UL <<< 30)

/// The seconds that a sample stands for.
let weight (moment: Moment) =
    moment.Derived.Interval |> ValueOption.map float |> ValueOption.defaultValue 0.0

let bottleneckRows (moments: Moment list) =
    let total = moments |> List.sumBy weight

    moments
    |> List.groupBy _.Bottleneck.Label.Name
    |> List.map (fun (label, group) ->
        let share =
            if total > 0.0 then
                100.0 * (group |> List.sumBy weight) / total
            else
                0.0
        // The reason of the moment in the middle, as one that is typical.
        label, share, group[group.Length / 2].Bottleneck.Reason)
    |> List.sortByDescending (fun (_, share, _) -> share)
    |> List.map (fun (label, share, reason) ->
        let bar = String('#', int (Math.Round(share / 5.0)))
        $"  %-16s{label} %5.1f{share} %%  %-20s{bar}  %s{reason}")

/// The share of each verdict, the reason when it was last given, and what to try.
let verdictRows (moments: Moment list) =
    let told =
        moments
        |> List.choose (fun moment ->
            match moment.Verdict with
            | ValueSome verdict when not verdict.Label.IsStarting -> Some(weight moment, verdict)
            | _ -> None)

    match told with
    | [] -> [ "    none: a verdict needs ten seconds" ]
    | _ ->
        let total = told |> List.sumBy fst

        told
        |> List.groupBy (fun (_, verdict) -> verdict.Label.Name)
        |> List.map (fun (label, group) -> label, 100.0 * List.sumBy fst group / total, snd (List.last group))
        |> List.sortByDescending (fun (_, share, _) -> share)
        |> List.collect (fun (label, share, verdict) ->
            [
                $"    %-16s{label} %5.1f{share} %%  %s{verdict.Reason}"
                if verdict.Fix <> "" then
                    $"    %-16s{String.Empty}          %s{verdict.Fix}"
            ])

let memoryRow (moments: Moment list) =
    let known (moment: Moment) =
        match moment.Sample.MemoryTotal, moment.Sample.Memory with
        | ValueSome total, ValueSome used -> Some(total, used)
        | _ -> None

    match moments |> List.choose known with
    | [] -> "unknown"
    | uses ->
        let total, peak = uses |> List.maxBy (fun (_, memory) -> memory.Used)
        $"%.1f{gib peak.Used} GiB of %.1f{gib total} GiB (%.1f{float peak.Percent} %%)"

let diskRow (moments: Moment list) =
    match moments |> List.collect (fun moment -> List.ofArray moment.Derived.Disks) with
    | [] -> "none"
    | disks ->
        // By its time in all, not by its worst second.
        let device, group = disks |> List.groupBy _.Device |> List.maxBy (snd >> List.sumBy _.Utilization)
        let mean = group |> List.averageBy (fun disk -> float disk.Utilization)
        let most = group |> List.map (fun disk -> float disk.Utilization) |> List.max
        let read = group |> List.map (fun disk -> float disk.Read / 1e6) |> List.max
        let written = group |> List.map (fun disk -> float disk.Written / 1e6) |> List.max
        $"%s{device}: busy %.0f{mean} %% of the time, %.0f{most} %% at most; read %.0f{read} and wrote %.0f{written} MB/s at most"

let cpuRow (moments: Moment list) =
    match
        moments
        |> List.choose (fun moment -> ValueOption.toOption moment.Sample.CpuUsage)
    with
    | [] -> "unknown"
    | usage -> $"%.0f{usage |> List.averageBy float} %% on average, %.0f{usage |> List.map float |> List.max} %% at most"

let report (command: string) (took: TimeSpan) (moments: Moment list) =
    [
        ""
        $"""What held this build back: %s{command}, %s{took.ToString @"h\:mm\:ss"}, %d{moments.Length} samples"""
        yield! bottleneckRows moments
        "  Verdicts, each over half a minute:"
        yield! verdictRows moments
        $"  CPU              %s{cpuRow moments}"
        $"  Peak memory      %s{memoryRow moments}"
        $"  Busiest disk     %s{diskRow moments}"
    ]
    |> String.concat "\n"

// ---- The command, as a FAKE target --------------------------------------------------------------------------------

/// Runs the command; its exit code, and the table.
let watch (name: string) (arguments: string list) : int * string =
    let started = DateTimeOffset.UtcNow
    let mutable exitCode = 0
    let mutable moments = []

    Target.create "Watch" (fun _ ->
        let sampling = Watch()

        try
            exitCode <- (CreateProcess.fromRawCommand name arguments |> Proc.run).ExitCode
        finally
            moments <- sampling.Finish())

    Target.run 1 "Watch" []
    exitCode, report (String.concat " " (name :: arguments)) (DateTimeOffset.UtcNow - started) moments

match List.ofArray fsi.CommandLineArgs |> List.tail with
| [] ->
    eprintfn "usage: dotnet fsi samples/BuildWatch.fsx COMMAND [ARGUMENT ...]"
    exit 2
| name :: arguments ->
    Context.FakeExecutionContext.Create false "BuildWatch.fsx" []
    |> Context.RuntimeContext.Fake
    |> Context.setExecutionContext

    try
        let exitCode, table = watch name arguments
        printfn $"%s{table}"
        exit exitCode
    with e ->
        eprintfn $"%s{name} cannot be run: %s{e.GetBaseException().Message}"
        exit 1
