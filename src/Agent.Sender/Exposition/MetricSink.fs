namespace Agent.Sender

open System
open System.Buffers
open System.Collections.Generic
open System.Globalization
open System.Text
open Agent.Core
open Agent.Outbound

/// The two text formats of Prometheus.
[<RequireQualifiedAccess; Struct>]
type ExpositionFormat =
    /// Text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).
    | Text
    /// OpenMetrics 1.0.0 (github.com/prometheus/OpenMetrics, specification/OpenMetrics.md).
    | OpenMetrics

    /// The value of the Content-Type header.
    member format.ContentType: string =
        match format with
        | Text -> "text/plain; version=0.0.4; charset=utf-8"
        | OpenMetrics -> "application/openmetrics-text; version=1.0.0; charset=utf-8"

/// Writes families as text, without a time stamp, as exporters do.
[<Sealed>]
type internal TextSink(output: IBufferWriter<byte>, format: ExpositionFormat) =
    inherit MetricSink()

    // A sample's labels are gathered first: whether there is a sample is known only when its value is.
    let names: string[] = Array.zeroCreate 16
    let values: string[] = Array.zeroCreate 16
    let mutable labels = 0
    let mutable family = ""
    let mutable kind = MetricKind.Gauge
    let mutable help = ""
    let mutable isAnnounced = false
    // Files of other programs may tell a family of ours; the format wants each once.
    let told = HashSet<string>(StringComparer.Ordinal)
    let mutable isRepeated = false

    let put (character: char) =
        let target = output.GetSpan 1
        target[0] <- byte character
        output.Advance 1

    let putText (text: string) =
        let target = output.GetSpan(Encoding.UTF8.GetMaxByteCount text.Length)
        output.Advance(Encoding.UTF8.GetBytes(text, target))

    // Half a surrogate pair would come out as the character that stands for what is not text; so it is valid UTF-8 always.
    let putEscaped (text: string) (escapesQuotes: bool) =
        let mutable from = 0

        for i in 0 .. text.Length - 1 do
            let replacement =
                match text[i] with
                | '\\' -> "\\\\"
                | '\n' -> "\\n"
                | '"' when escapesQuotes -> "\\\""
                | _ -> ""

            if replacement <> "" then
                let plain = text.AsSpan(from, i - from)
                output.Advance(Encoding.UTF8.GetBytes(plain, output.GetSpan(Encoding.UTF8.GetMaxByteCount plain.Length)))
                putText replacement
                from <- i + 1

        let plain = text.AsSpan from
        output.Advance(Encoding.UTF8.GetBytes(plain, output.GetSpan(Encoding.UTF8.GetMaxByteCount plain.Length)))

    let isTotal () =
        family.EndsWith("_total", StringComparison.Ordinal)

    let without (suffix: string) =
        output.Advance(Encoding.UTF8.GetBytes(family.AsSpan(0, family.Length - suffix.Length), output.GetSpan(family.Length * 3)))

    // In OpenMetrics the suffix is not part of a family's name; and a counter that lacks it, which the borrowed names have,
    // may not be called one.
    let putFamily () =
        match format, kind with
        | ExpositionFormat.OpenMetrics, MetricKind.Counter when isTotal () -> without "_total"
        | ExpositionFormat.OpenMetrics, MetricKind.Info -> without "_info"
        | _ -> putText family

    let typeName () =
        match format, kind with
        | ExpositionFormat.OpenMetrics, MetricKind.Counter when not (isTotal ()) -> "unknown"
        | ExpositionFormat.OpenMetrics, MetricKind.Untyped -> "unknown"
        | _, MetricKind.Counter -> "counter"
        | _, MetricKind.Untyped -> "untyped"
        | ExpositionFormat.OpenMetrics, MetricKind.Info -> "info"
        | ExpositionFormat.OpenMetrics, MetricKind.StateSet -> "stateset"
        | _ -> "gauge"

    let announce () =
        if not isAnnounced then
            isAnnounced <- true
            told.Add family |> ignore
            putText "# HELP "
            putFamily ()
            put ' '
            putEscaped help (format.IsOpenMetrics)
            putText "\n# TYPE "
            putFamily ()
            put ' '
            putText (typeName ())
            put '\n'

    let begin' () =
        announce ()
        putText family

        for i in 0 .. labels - 1 do
            put (if i = 0 then '{' else ',')
            putText names[i]
            putText "=\""
            putEscaped values[i] true
            put '"'

        if labels > 0 then
            put '}'

        labels <- 0
        put ' '

    override _.WantsFamiliesWhole = true

    override _.Family(newName, newKind, newHelp) =
        family <- newName
        kind <- newKind
        help <- newHelp
        isAnnounced <- false
        isRepeated <- told.Contains newName
        labels <- 0

    override _.Label(name, value) =
        names[labels] <- name
        values[labels] <- value
        labels <- labels + 1

    override _.Value value =
        if Double.IsFinite value && not isRepeated then
            begin' ()
            let mutable written = 0

            if value.TryFormat(output.GetSpan 32, &written, ReadOnlySpan(), CultureInfo.InvariantCulture) then
                output.Advance written

            put '\n'
        else
            labels <- 0

    override _.Whole value =
        if isRepeated then
            labels <- 0
        else
            begin' ()
            let mutable written = 0

            if value.TryFormat(output.GetSpan 32, &written, ReadOnlySpan(), CultureInfo.InvariantCulture) then
                output.Advance written

            put '\n'

    /// Writes what the format wants at its end.
    member _.End() : unit =
        if format.IsOpenMetrics then
            putText "# EOF\n"
