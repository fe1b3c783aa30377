namespace Agent.Sender

open System.Collections.Generic
open Google.Protobuf
open Agent.Core.Units
open Agent.Outbound

/// The figure of a data point.
[<RequireQualifiedAccess; Struct; NoComparison>]
type internal OtlpValue =
    /// A whole number: bytes, operations.
    | Whole of whole: int64
    /// Any other: seconds, ratios, degrees.
    | Real of real: float

/// One data point: opentelemetry.proto.metrics.v1.NumberDataPoint.
[<Struct; NoComparison>]
type internal OtlpPoint =
    {
        /// What tells it from the others of its metric: names, each once, and texts.
        Attributes: (struct (string * string))[]
        /// Since when a sum counts, in nanoseconds since 1970; 0 where that is not known, and for what is no sum.
        Start: uint64<ns>
        /// The figure.
        Value: OtlpValue
    }

/// How the figures of a metric relate to each other, by the instruments of OpenTelemetry's specification.
[<RequireQualifiedAccess; Struct>]
type internal OtlpInstrument =
    /// The state at one instant, which nobody adds up: a temperature.
    | Gauge
    /// A part of a whole, which goes up and down: bytes in use.
    | UpDownCounter
    /// What only grows: bytes sent.
    | Counter

/// One metric: opentelemetry.proto.metrics.v1.Metric.
[<NoComparison>]
type internal OtlpMetric =
    {
        /// By the semantic conventions: `system.memory.usage`.
        Name: string
        /// What it is.
        Description: string
        /// In UCUM's spelling: `By`.
        Unit: string
        /// How its points relate.
        Instrument: OtlpInstrument
        /// At least one.
        Points: OtlpPoint[]
    }

/// The messages of OTLP 1.x, field by field: open-telemetry/opentelemetry-proto, collector/metrics/v1/metrics_service.proto,
/// metrics/v1/metrics.proto, common/v1/common.proto and resource/v1/resource.proto.
[<RequireQualifiedAccess>]
module internal OtlpMessage =
    // A field of eight bytes, its tag included.
    [<Literal>]
    let private Eight = 9

    // AggregationTemporality: AGGREGATION_TEMPORALITY_CUMULATIVE.
    [<Literal>]
    let private Cumulative = 2

    // The content of AnyValue: string_value = 1; of KeyValue: key = 1, value = 2.
    let private attributeSize (struct (name: string, value: string)) : int =
        ProtobufFields.sizeOfText name
        + ProtobufFields.sizeOf (ProtobufFields.sizeOfText value)

    let private attributesSize (attributes: (struct (string * string))[]) : int =
        let mutable size = 0

        for attribute in attributes do
            size <- size + ProtobufFields.sizeOf (attributeSize attribute)

        size

    let private begin' (output: CodedOutputStream) (number: int) (size: int) : unit =
        output.WriteTag(ProtobufFields.tagOf number)
        output.WriteLength size

    let private writeAttributes (output: CodedOutputStream) (number: int) (attributes: (struct (string * string))[]) : unit =
        for struct (name, value) as attribute in attributes do
            begin' output number (attributeSize attribute)
            ProtobufFields.writeText output 1 name
            begin' output 2 (ProtobufFields.sizeOfText value)
            ProtobufFields.writeText output 1 value

    // NumberDataPoint: start_time_unix_nano = 2, time_unix_nano = 3, as_double = 4 or as_int = 6, attributes = 7.
    let private pointSize (point: OtlpPoint) : int =
        (if point.Start > 0UL<ns> then Eight else 0)
        + Eight
        + Eight
        + attributesSize point.Attributes

    let private writePoint (output: CodedOutputStream) (time: uint64<ns>) (point: OtlpPoint) : unit =
        if point.Start > 0UL<ns> then
            output.WriteTag(2, WireFormat.WireType.Fixed64)
            output.WriteFixed64(uint64 point.Start)

        output.WriteTag(3, WireFormat.WireType.Fixed64)
        output.WriteFixed64(uint64 time)

        match point.Value with
        | OtlpValue.Real value ->
            output.WriteTag(4, WireFormat.WireType.Fixed64)
            output.WriteDouble value
        | OtlpValue.Whole value ->
            output.WriteTag(6, WireFormat.WireType.Fixed64)
            output.WriteSFixed64 value

        writeAttributes output 7 point.Attributes

    // Gauge and Sum: data_points = 1; Sum also aggregation_temporality = 2 and is_monotonic = 3, each a byte behind its tag.
    let private dataSize (metric: OtlpMetric) : int =
        let mutable size =
            match metric.Instrument with
            | OtlpInstrument.Gauge -> 0
            | OtlpInstrument.UpDownCounter -> ProtobufFields.TagSize + 1
            | OtlpInstrument.Counter -> 2 * (ProtobufFields.TagSize + 1)

        for point in metric.Points do
            size <- size + ProtobufFields.sizeOf (pointSize point)

        size

    // Metric: name = 1, description = 2, unit = 3, gauge = 5, sum = 7.
    let private metricSize (metric: OtlpMetric) : int =
        ProtobufFields.sizeOfText metric.Name
        + ProtobufFields.sizeOfText metric.Description
        + ProtobufFields.sizeOfText metric.Unit
        + ProtobufFields.sizeOf (dataSize metric)

    let private writeMetric (output: CodedOutputStream) (time: uint64<ns>) (metric: OtlpMetric) : unit =
        ProtobufFields.writeText output 1 metric.Name
        ProtobufFields.writeText output 2 metric.Description
        ProtobufFields.writeText output 3 metric.Unit
        begin' output (if metric.Instrument.IsGauge then 5 else 7) (dataSize metric)

        for point in metric.Points do
            begin' output 1 (pointSize point)
            writePoint output time point

        if not metric.Instrument.IsGauge then
            output.WriteTag(2, WireFormat.WireType.Varint)
            output.WriteEnum Cumulative

        if metric.Instrument.IsCounter then
            output.WriteTag(3, WireFormat.WireType.Varint)
            output.WriteBool true

    /// An ExportMetricsServiceRequest of one resource and one scope: all metrics of one instant, in nanoseconds since 1970. Nothing is
    /// written where there is no metric: senders must make no empty envelopes.
    let request
        (schema: string)
        (resource: (struct (string * string))[])
        (struct (scope: string, version: string))
        (time: uint64<ns>)
        (metrics: List<OtlpMetric>)
        : byte[] =
        if metrics.Count = 0 then
            [||]
        else
            // InstrumentationScope: name = 1, version = 2. ScopeMetrics: scope = 1, metrics = 2.
            let scopeSize = ProtobufFields.sizeOfText scope + ProtobufFields.sizeOfText version
            let mutable scopeMetricsSize = ProtobufFields.sizeOf scopeSize

            for metric in metrics do
                scopeMetricsSize <- scopeMetricsSize + ProtobufFields.sizeOf (metricSize metric)

            // Resource: attributes = 1. ResourceMetrics: resource = 1, scope_metrics = 2, schema_url = 3.
            let resourceSize = attributesSize resource

            let resourceMetricsSize =
                ProtobufFields.sizeOf resourceSize
                + ProtobufFields.sizeOf scopeMetricsSize
                + ProtobufFields.sizeOfText schema

            // ExportMetricsServiceRequest: resource_metrics = 1.
            let bytes = Array.zeroCreate (ProtobufFields.sizeOf resourceMetricsSize)
            use output = new CodedOutputStream(bytes)
            begin' output 1 resourceMetricsSize
            begin' output 1 resourceSize
            writeAttributes output 1 resource
            begin' output 2 scopeMetricsSize
            begin' output 1 scopeSize
            ProtobufFields.writeText output 1 scope
            ProtobufFields.writeText output 2 version

            for metric in metrics do
                begin' output 2 (metricSize metric)
                writeMetric output time metric

            ProtobufFields.writeText output 3 schema
            bytes

    /// What a response says (ExportMetricsServiceResponse: partial_success = 1; ExportMetricsPartialSuccess: rejected_data_points = 1,
    /// error_message = 2): how many data points were rejected, and a message; 0 and none where it says nothing, or is something else.
    let partialSuccess (response: byte[]) : struct (int64 * string) =
        try
            let mutable rejected = 0L
            let mutable message = ""
            use input = new CodedInputStream(response)
            let mutable tag = input.ReadTag()

            while tag <> 0u do
                if tag = ProtobufFields.tagOf 1 then
                    use inner = new CodedInputStream(input.ReadBytes().ToByteArray())
                    let mutable innerTag = inner.ReadTag()

                    while innerTag <> 0u do
                        if innerTag = WireFormat.MakeTag(1, WireFormat.WireType.Varint) then
                            rejected <- inner.ReadInt64()
                        elif innerTag = ProtobufFields.tagOf 2 then
                            message <- inner.ReadString()
                        else
                            inner.SkipLastField()

                        innerTag <- inner.ReadTag()
                else
                    input.SkipLastField()

                tag <- input.ReadTag()

            struct (rejected, message)
        with :? InvalidProtocolBufferException ->
            struct (0L, "")

    /// The message of a failure (google.rpc.Status: code = 1, message = 2); empty where the response is something else, such as a text.
    let statusMessage (response: byte[]) : string =
        // No text begins with the tag of one of the two, which are control characters.
        let isStatus =
            response.Length > 0
            && (uint32 response[0] = WireFormat.MakeTag(1, WireFormat.WireType.Varint)
                || uint32 response[0] = ProtobufFields.tagOf 2)

        try
            let mutable message = ""
            use input = new CodedInputStream(if isStatus then response else [||])
            let mutable tag = input.ReadTag()

            while tag <> 0u do
                if tag = ProtobufFields.tagOf 2 then
                    message <- input.ReadString()
                else
                    input.SkipLastField()

                tag <- input.ReadTag()

            message
        with :? InvalidProtocolBufferException ->
            ""
