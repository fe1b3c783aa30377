namespace Agent.Sender

open System
open System.Buffers
open System.Globalization
open Agent.Core
open Agent.Outbound

/// Metrics: what a machine and its agent say, as metric families for Prometheus.
[<RequireQualifiedAccess>]
module Exposition =
    /// Writes everything that is known to a sink; about the machine nothing before its first sample. What is not known is
    /// absent, never 0 or NaN.
    [<CompiledName "Tell">]
    let tell (sink: MetricSink) (reading: MachineReading voption) (state: AgentState) : unit =
        match reading with
        | ValueSome reading ->
            NodeMetrics.write sink reading
            ExporterMetrics.write sink reading state
            GpuMetrics.write sink reading.Hostname reading.GpuJobs reading.GpuWork reading.Sample.Gpus
            JobMetrics.write sink reading.Sample.CollectedAt reading.MachineJob reading.Sample.Jobs reading.Accounts
            AgentMetrics.writeMachine sink reading
        | ValueNone -> ()

        AgentMetrics.writeAgent sink state

    /// Everything that is known, in one of Prometheus's text formats.
    [<CompiledName "Write">]
    let write (output: IBufferWriter<byte>) (format: ExpositionFormat) (reading: MachineReading voption) (state: AgentState) : unit =
        let sink = TextSink(output, format)
        tell sink reading state
        sink.End()

    /// The weight that a media range of an Accept header has, 1 unless it says otherwise.
    let private weightOf (parameters: string[]) : float =
        parameters
        |> Array.tryPick (fun parameter ->
            match parameter.Split('=', StringSplitOptions.TrimEntries) with
            | [| name; text |] when name.Equals("q", StringComparison.OrdinalIgnoreCase) ->
                match Double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture) with
                | true, weight when weight <= 1.0 -> Some weight
                | _ -> Some 0.0
            | _ -> None)
        |> Option.defaultValue 1.0

    let private versionOf (parameters: string[]) : string =
        parameters
        |> Array.tryPick (fun parameter ->
            match parameter.Split('=', StringSplitOptions.TrimEntries) with
            | [| name; text |] when name.Equals("version", StringComparison.OrdinalIgnoreCase) -> Some(text.Trim '"')
            | _ -> None)
        |> Option.defaultValue ""

    /// True when an Accept-Encoding header (RFC 9110, 12.5.3) lists gzip.
    [<CompiledName "TakesGzip">]
    let takesGzip (acceptEncoding: string) : bool =
        acceptEncoding.Split(',', StringSplitOptions.TrimEntries)
        |> Array.exists (fun coding ->
            let parts = coding.Split(';', StringSplitOptions.TrimEntries)

            parts[0].Equals("gzip", StringComparison.OrdinalIgnoreCase)
            && weightOf (Array.skip 1 parts) > 0.0)

    /// The format that an Accept header (RFC 9110, 12.5.1) asks for: OpenMetrics if it is listed and weighs at least as
    /// much as plain text, else the text format, which everybody reads.
    [<CompiledName "FormatFor">]
    let formatFor (accept: string) : ExpositionFormat =
        let mutable openMetrics = 0.0
        let mutable text = 0.0

        for range in accept.Split(',', StringSplitOptions.TrimEntries) do
            let parts = range.Split(';', StringSplitOptions.TrimEntries)
            let parameters = Array.skip 1 parts

            match parts[0].ToLowerInvariant(), versionOf parameters with
            | "application/openmetrics-text", ("" | "1.0.0") -> openMetrics <- max openMetrics (weightOf parameters)
            | "text/plain", ("" | "0.0.4") -> text <- max text (weightOf parameters)
            | _ -> ()

        if openMetrics > 0.0 && openMetrics >= text then
            ExpositionFormat.OpenMetrics
        else
            ExpositionFormat.Text
