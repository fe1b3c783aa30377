/// What is broken: GPUs that are lost, drivers that went away, and events that the board reports. None of it is inferred.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.Faults

open System
open Agent.Core
open Agent.Core.Units

/// What can be wrong, the worst first.
[<RequireQualifiedAccess>]
type Kind =
    /// No GPU can be read; why.
    | Driver of problem: string
    /// One GPU no longer answers.
    | Lost
    /// An XID event.
    | Xid of code: int
    /// Uncorrected memory errors.
    | Ecc of count: uint64
    /// Memory rows wait to be remapped.
    | RemapPending

/// A fault of one GPU, or of all.
[<NoComparison>]
type Fault =
    {
        /// What is wrong.
        Kind: Kind
        /// The driver's index; -1 for all of them.
        Gpu: int
        /// `GPU-…`; empty when unknown.
        Uuid: string
        /// When it was first seen.
        Since: DateTimeOffset
        /// When it was last seen.
        Last: DateTimeOffset
    }

/// The worst first; by this and the GPU's index faults are ordered.
let private rank (fault: Fault) : int =
    match fault.Kind with
    | Kind.Driver _ -> 0
    | Kind.Lost -> 1
    | Kind.Xid code ->
        match Xid.action code with
        | Xid.Action.Reboot -> 2
        | Xid.Action.Reset -> 3
        | Xid.Action.Report -> 6
        | Xid.Action.RestartProgram -> 7
        | Xid.Action.Nothing -> 8
    | Kind.Ecc _ -> 4
    | Kind.RemapPending -> 5

let private isSame (one: Fault) (other: Fault) =
    one.Gpu = other.Gpu
    && one.Uuid = other.Uuid
    && (match one.Kind, other.Kind with
        | Kind.Driver _, Kind.Driver _
        | Kind.Lost, Kind.Lost
        | Kind.Ecc _, Kind.Ecc _
        | Kind.RemapPending, Kind.RemapPending -> true
        | Kind.Xid one, Kind.Xid other -> one = other
        | _ -> false)

/// True for what happens at one instant and leaves something behind.
let private isEvent (fault: Fault) =
    match fault.Kind with
    | Kind.Xid _
    | Kind.Ecc _ -> true
    | _ -> false

/// True when the fault is only a program's own error: the GPU is healthy, and the next program will run on it.
let isOfProgram (fault: Fault) : bool =
    match fault.Kind with
    | Kind.Xid code -> (Xid.action code).IsRestartProgram
    | _ -> false

let private ofGpu (at: DateTimeOffset) (gpu: GpuEvidence) : Fault list =
    let fault kind =
        {
            Kind = kind
            Gpu = gpu.Index
            Uuid = gpu.Uuid
            Since = at
            Last = at
        }

    [
        if gpu.IsLost then
            fault Kind.Lost

        match gpu.Xid with
        | ValueSome code when not (Xid.action code).IsNothing -> fault (Kind.Xid code)
        | _ -> ()

        if gpu.EccUncorrected > 0UL then
            fault (Kind.Ecc gpu.EccUncorrected)

        if gpu.IsRemapPending then
            fault Kind.RemapPending
    ]

let private present (evidence: Evidence) : Fault list =
    let driver =
        if evidence.Host.DriverProblem = "" then
            []
        else
            [
                {
                    Kind = Kind.Driver evidence.Host.DriverProblem
                    Gpu = -1
                    Uuid = ""
                    Since = evidence.At
                    Last = evidence.At
                }
            ]

    driver @ (evidence.Gpus |> List.ofArray |> List.collect (ofGpu evidence.At))

/// How long a fault stays after it was last seen: events leave something behind; what comes and goes every few seconds is one fault.
let private stays (fault: Fault) : float<s> =
    if isEvent fault then Limits.eventStays else Limits.change

/// What is wrong now: what is present, what happened lately, each since it was first seen; the worst first.
let update (evidence: Evidence) (before: Fault[]) : Fault[] =
    let now =
        present evidence
        |> List.map (fun fault ->
            match before |> Array.tryFind (isSame fault) with
            | Some known when known.Since <= fault.Since -> { fault with Since = known.Since }
            | _ -> fault)

    let lately =
        before
        |> Array.filter (fun fault ->
            not (now |> List.exists (isSame fault))
            && fault.Last <= evidence.At
            && Window.since fault.Last evidence.At < stays fault)

    Array.append (Array.ofList now) lately
    |> Array.sortWith (fun one other ->
        match compare (rank one) (rank other) with
        | 0 ->
            match compare one.Gpu other.Gpu with
            | 0 -> String.CompareOrdinal(one.Uuid, other.Uuid)
            | order -> order
        | order -> order)
    |> Array.truncate Limits.mostFaults

/// Those that concern a job: of its GPUs, or of all. A program's error is that of jobs that were there when it happened.
let ofJob (gpus: int[]) (firstSeen: DateTimeOffset) (faults: Fault[]) : Fault[] =
    faults
    |> Array.filter (fun fault ->
        (fault.Gpu < 0 || Array.contains fault.Gpu gpus)
        && not (isOfProgram fault && fault.Last < firstSeen))
