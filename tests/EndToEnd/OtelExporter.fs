/// OpenTelemetry's own exporter for .NET, which sends figures that somebody else has sent, so that the two can be compared.
module Agent.EndToEnd.Tests.OtelExporter

open System
open System.Collections.Generic
open System.Diagnostics.Metrics
open System.Threading
open OpenTelemetry
open OpenTelemetry.Exporter
open OpenTelemetry.Metrics
open OpenTelemetry.Resources
open Agent.TestSupport.OtlpText

let private tags (point: Point) : KeyValuePair<string, obj> seq =
    point.Attributes
    |> Seq.map (fun (name, value) -> KeyValuePair(name, value :> obj))

/// An instrument of the kind that the points are of, which observes their figures.
let private observe (meter: Meter) (points: Point list) : unit =
    let first = points.Head

    let wholes () : Measurement<int64> seq =
        seq {
            for point in points do
                match point.Value with
                | Whole value -> Measurement(value, tags point)
                | Real _ -> failwith $"{point.Name} mixes whole figures with others"
        }

    let reals () : Measurement<float> seq =
        seq {
            for point in points do
                match point.Value with
                | Real value -> Measurement(value, tags point)
                | Whole _ -> failwith $"{point.Name} mixes whole figures with others"
        }

    let isWhole = first.Value.IsWhole

    match first.Kind with
    | Gauge when isWhole ->
        meter.CreateObservableGauge(first.Name, wholes, first.Unit, first.Description)
        |> ignore
    | Gauge ->
        meter.CreateObservableGauge(first.Name, reals, first.Unit, first.Description)
        |> ignore
    | Sum true when isWhole ->
        meter.CreateObservableCounter(first.Name, wholes, first.Unit, first.Description)
        |> ignore
    | Sum true ->
        meter.CreateObservableCounter(first.Name, reals, first.Unit, first.Description)
        |> ignore
    | Sum false when isWhole ->
        meter.CreateObservableUpDownCounter(first.Name, wholes, first.Unit, first.Description)
        |> ignore
    | Sum false ->
        meter.CreateObservableUpDownCounter(first.Name, reals, first.Unit, first.Description)
        |> ignore

/// Sends the figures of a request to a receiver, as an application of OpenTelemetry would that measured the same.
let send (url: string) (points: Point list) : unit =
    let name, version = points.Head.Scope
    use meter = new Meter(name, version)

    for _, same in points |> List.groupBy _.Name do
        observe meter same

    let resource =
        ResourceBuilder
            .CreateEmpty()
            .AddAttributes(
                points.Head.Resource
                |> Seq.map (fun (name, value) -> KeyValuePair(name, value :> obj))
            )

    let exporter =
        new OtlpMetricExporter(OtlpExporterOptions(Endpoint = Uri url, Protocol = OtlpExportProtocol.HttpProtobuf))

    use provider =
        Sdk
            .CreateMeterProviderBuilder()
            .SetResourceBuilder(resource)
            .AddMeter(name)
            .AddReader(new PeriodicExportingMetricReader(exporter, Timeout.Infinite))
            .Build()

    if not (provider.ForceFlush 20_000) then
        failwith "the exporter could not send"
