namespace Agent.Receiver.Cluster

open System
open System.Collections.Generic
open Agent.Core
open Agent.Core.Gpu
open Agent.Receiver

/// What happened on the machines of a cluster, from their series.
[<RequireQualifiedAccess>]
module ClusterEvents =
    let private second = 1_000_000L

    /// So often is looked at one machine, and at each of several, at most.
    let private mostLooks, mostLooksOfMany = 8640L, 1440L

    let private leastStep = 10L * second

    /// From one look to the next, in microseconds.
    [<CompiledName "StepOf">]
    let stepOf (machines: int) (from: int64) (until: int64) : int64 =
        let looks = if machines = 1 then mostLooks else mostLooksOfMany
        let step = (until - from) / looks
        max leastStep ((step + second - 1L) / second * second)

    /// What is not told for so long is gone: two scrapes of a minute fit.
    let private gone = 120L * second

    /// A silence up to this length is none: what is the same after it has not happened.
    let private bridged = 600L * second

    /// The start of a machine is reported for at least so long, if the machine had sent something in the day before.
    let private afterBoot, beforeBoot = 3600L * second, 86400L * second

    [<Literal>]
    let private GpuNumber = "DCGM_FI_DEV_GPU_UTIL"

    [<Literal>]
    let private XidCode = "DCGM_FI_DEV_XID_ERRORS"

    let private xids = "ai_dashboard_gpu_xid_events_total"
    let private taken = "ai_dashboard_samples_taken_total"

    /// nvml.h: what slows a GPU down by heat or by its power supply.
    let private slowReasons = Happenings.slowReasons

    /// A value as it was told last, now or a step before.
    let private last (family: string) (matchers: string list) (window: int64) (offset: int64) =
        let selector = Promql.selector family matchers

        if offset = 0L then
            $"last_over_time({selector}[{Promql.duration window}])"
        else
            $"last_over_time({selector}[{Promql.duration window}] offset {Promql.duration offset})"

    /// Characters of the names of machines that are asked about at once, as they stand in a query, which has them up to five times.
    [<Literal>]
    let LongestNames = 2_500

    /// Machines in the portions in which they are asked about.
    [<CompiledName "Portions">]
    let portions (instances: string[]) : string[][] =
        let found = ResizeArray<ResizeArray<string>>()
        let mutable length = 0

        for instance in instances do
            let written = (Promql.isOneOf "instance" [| instance |]).Length

            if found.Count = 0 || length + written > LongestNames then
                found.Add(ResizeArray())
                length <- 0

            found[found.Count - 1].Add instance
            length <- length + written

        found |> Seq.map _.ToArray() |> Array.ofSeq

    /// The series of some machines.
    [<CompiledName "OfMachines">]
    let ofMachines (instances: string[]) : string list = [ Promql.isOneOf "instance" instances ]

    /// What is to be asked along the looks, as few queries as there may be; `matchers` choose the machines.
    [<CompiledName "Queries">]
    let queries (matchers: string list) (step: int64) : string[] =
        let told = max gone step
        let over = max bridged step

        // What is so now and was not a step ago.
        let begins (on: string) (now: string) (before: string) =
            $"(({now}) unless on ({on}) ({before}))"

        let ofMachine family =
            let at offset =
                $"max by (instance) ({last family matchers told offset})"

            at 0L, at step

        let heard, heardBefore = ofMachine ClusterMetrics.timestamp

        let verdict =
            let at offset =
                $"max by (instance, label) ({last ClusterMetrics.verdict matchers over offset}) == 1"

            begins "instance, label" (at 0L) (at step)

        // VictoriaMetrics takes what is not known for different, so that != is of no use.
        let errors =
            let now = last xids matchers over 0L
            let before = last xids matchers over step
            $"({now} > {before} or {now} < {before}) > 0"

        let slow offset =
            let reasons = Promql.isOneOf "reason" slowReasons
            $"max by (instance, gpu, reason) ({last ClusterMetrics.throttleReason (reasons :: matchers) told offset})"

        let gpus offset =
            $"max by (instance, gpu) ({last GpuNumber matchers told offset})"

        let booted = $"max by (instance) ({last ClusterMetrics.boot matchers over 0L})"
        let recently = max afterBoot (2L * step)

        let heardBeforeBoot =
            $"max by (instance) ({last ClusterMetrics.timestamp matchers beforeBoot recently})"

        let versions offset =
            $"max by (instance, version) ({last ClusterMetrics.build matchers over offset})"

        let isNew = begins "instance, version" (versions 0L) (versions step)

        [|
            struct ("verdict", verdict)
            struct ("xid", $"{last XidCode matchers over 0L} and on (instance, gpu) ({errors})")
            struct ("slow", begins "instance, gpu" (slow 0L) (slow step))
            struct ("free", $"""{begins "instance, gpu" (slow step) (slow 0L)} and on (instance) ({heard})""")
            struct ("lost", $"""{begins "instance, gpu" (gpus step) (gpus 0L)} and on (instance) ({heard})""")
            struct ("back", begins "instance, gpu" (gpus 0L) (gpus step))
            struct ("boot", $"({booted} > time() - {Promql.number (float recently / 1e6)}) and on (instance) ({heardBeforeBoot})")
            struct ("start", $"{last taken matchers over 0L} < {last taken matchers over step}")
            struct ("version", $"{isNew} and on (instance) ({heardBefore})")
            struct ("was", $"{versions step} and on (instance) ({isNew})")
        |]
        |> ClusterQueries.parts

    /// What GPUs are called, over a span that ends when the query is asked.
    [<CompiledName "Names">]
    let names (matchers: string list) (length: int64) : string =
        $"max by (instance, gpu, modelName) (max_over_time({Promql.selector GpuNumber matchers}[{Promql.duration length}]))"

    /// What is known of a machine or a GPU while its events are put in order.
    [<Sealed>]
    type private State() =
        member val Label = "" with get, set
        member val Slow = HashSet<string>(StringComparer.Ordinal)
        member val Lost = HashSet<string>(StringComparer.Ordinal)
        member val Boot = 0L with get, set

    /// Boots are further apart, as in samples that are posted.
    let private sameBoot = 90L * second

    let private instantOf (seconds: float) : int64 voption =
        ClusterReports.timeOf seconds |> ValueOption.map RowKey.microseconds

    /// What the series of one look tell of one machine.
    let private ofLook
        (nameOf: string -> string)
        (step: int64)
        (state: State)
        (at: int64)
        (told: (struct (ClusterSeries * float))[])
        : Happening list =
        let of' kind =
            told
            |> Array.filter (fun (struct (one, _)) -> one.Label "k" = kind)
            |> List.ofArray

        let gone = max gone step
        let gpuOf (one: ClusterSeries) = one.Label "gpu"

        [
            for struct (_, value) in of' "boot" do
                match instantOf value with
                | ValueSome boot when boot - state.Boot > sameBoot ->
                    state.Boot <- boot
                    Happenings.rebooted boot
                | _ -> ()

            match of' "version", of' "was", of' "start" with
            | struct (now, _) :: _, struct (was, _) :: _, _ when now.Label "version" <> was.Label "version" ->
                Happenings.updated at (now.Label "version") (was.Label "version")
            | _, _, _ :: _ -> Happenings.started at
            | _ -> ()

            for struct (one, _) in of' "lost" do
                if state.Lost.Add(gpuOf one) then
                    Happenings.gpuLost (at - gone) (nameOf (gpuOf one))

            for struct (one, _) in of' "back" do
                if state.Lost.Remove(gpuOf one) then
                    Happenings.gpuBack at (nameOf (gpuOf one))

            let reasons =
                of' "slow"
                |> List.groupBy (fun (struct (one, _)) -> gpuOf one)
                |> List.map (fun (gpu, parts) -> gpu, parts |> List.map (fun (struct (one, _)) -> one.Label "reason") |> Set.ofList)

            for gpu, reasons in reasons do
                if state.Slow.Add gpu then
                    let inOrder = slowReasons |> Array.filter reasons.Contains
                    Happenings.slowed at (nameOf gpu) inOrder

            for gpu in of' "free" |> List.map (fun (struct (one, _)) -> gpuOf one) |> List.distinct do
                if state.Slow.Remove gpu then
                    Happenings.freed (at - gone) (nameOf gpu)

            for struct (one, code) in of' "xid" do
                let code = if code >= 0.0 && code < 1e9 then int64 code else -1L
                Happenings.failed at (nameOf (gpuOf one)) code

            for struct (one, _) in of' "verdict" do
                let label = one.Label "label"

                if label <> state.Label && JobSchema.labels.ContainsKey label then
                    state.Label <- label
                    Happenings.judged at label ""
        ]

    /// What happened between two instants, with the instance of each machine, of answers to `queries` and to `names`.
    [<CompiledName "Of">]
    let ofSeries
        (names: ClusterSeries[])
        (step: int64)
        (from: int64)
        (until: int64)
        (series: ClusterSeries[])
        : (struct (string * Happening))[] =
        let models = Dictionary<struct (string * string), string>()

        for one in names do
            let key = struct (one.Label "instance", one.Label "gpu")

            if one.Label "modelName" <> "" then
                models[key] <- Intake.cut 64 (one.Label "modelName")

        let looks =
            Dictionary<string, SortedDictionary<int64, ResizeArray<struct (ClusterSeries * float)>>>(StringComparer.Ordinal)

        for one in series do
            let instance = one.Label "instance"

            let machine =
                match looks.TryGetValue instance with
                | true, known -> known
                | _ ->
                    let made = SortedDictionary()
                    looks[instance] <- made
                    made

            for i in 0 .. one.Times.Length - 1 do
                if not (Double.IsNaN one.Values[i]) then
                    match machine.TryGetValue one.Times[i] with
                    | true, known -> known.Add(struct (one, one.Values[i]))
                    | _ -> machine[one.Times[i]] <- ResizeArray [ struct (one, one.Values[i]) ]

        [|
            for KeyValue(instance, machine) in looks do
                let state = State()

                let nameOf (gpu: string) =
                    match models.TryGetValue(struct (instance, gpu)) with
                    | true, model -> $"GPU {Intake.cut 16 gpu} ({model})"
                    | _ -> $"GPU {Intake.cut 16 gpu}"

                for KeyValue(at, told) in machine do
                    for happening in ofLook nameOf step state at (told.ToArray()) do
                        if happening.At >= from && happening.At < until then
                            struct (instance, happening)
        |]
