namespace Agent.Sender

open Agent.Outbound

/// The families that are read when somebody asks for metrics, and of which no sample has anything.
[<RequireQualifiedAccess>]
module Collectors =
    /// Every collector.
    [<CompiledName "All">]
    let all: Collector[] =
        Array.concat
            [|
                NetworkCounters.all
                NetworkDevices.all
                Fabric.all
                KernelCounters.all
                SoftwareRaid.all
                NfsClient.all
                NetworkMounts.all
                HardwareMonitors.all
                OwnState.all
                Processes.all
                TextFiles.all
            |]

    /// The names of those that are read unless the user says otherwise.
    [<CompiledName "Defaults">]
    let defaults: string[] =
        all
        |> Array.filter (fun collector -> collector.IsDefault)
        |> Array.map (fun collector -> collector.Name)

    let private tell (facts: CollectorFacts) (readings: CollectorReading[]) (figures: Figures) : unit =
        for reading in readings do
            reading.Collector.Tell facts reading.Texts figures

    /// What the files say, family by family.
    let internal figuresOf (facts: CollectorFacts) (readings: CollectorReading[]) : GroupedFigures =
        let figures = GroupedFigures()
        tell facts readings figures
        figures

    /// Tells a sink what the files say.
    let internal write (facts: CollectorFacts) (readings: CollectorReading[]) (sink: MetricSink) : unit =
        if sink.WantsFamiliesWhole then
            (figuresOf facts readings).WriteTo sink
        else
            tell facts readings (ToldFigures sink)
