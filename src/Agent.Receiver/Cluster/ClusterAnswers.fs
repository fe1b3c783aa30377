namespace Agent.Receiver.Cluster

open System
open System.Buffers.Text
open System.Runtime.InteropServices
open System.Text
open System.Text.Json
open Agent.Core
open Agent.Receiver

/// One series of an answer.
[<NoComparison>]
type ClusterSeries =
    {
        /// The labels that were asked for, `__name__` among them, in the order of the answer.
        Labels: (struct (string * string))[]
        /// When, in microseconds from 2000-01-01.
        Times: int64[]
        /// What, NaN where a value is none: infinite, not a number, or the mark that a series has ended.
        Values: float[]
    }

    /// The value of a label; empty for none.
    member series.Label(name: string) : string =
        let mutable found = ""

        for struct (label, value) in series.Labels do
            if label = name then
                found <- value

        found

/// What a cluster answered.
[<NoComparison>]
type ClusterAnswer =
    {
        /// The series.
        Series: ClusterSeries[]
        /// What it warned of, such as parts that did not answer.
        Warnings: string[]
    }

/// Why an answer is of no use.
[<RequireQualifiedAccess>]
type ClusterFault =
    /// The cluster refuses the query; in its own words.
    | Refused of kind: string * words: string
    /// It is not the answer of a Prometheus-compatible API.
    | Unreadable of reason: string
    /// It has more than is read.
    | TooMuch of what: string

    /// What is wrong, as part of a sentence.
    member fault.Reason: string =
        match fault with
        | Refused(kind, words) -> $"it refuses the query: {kind}: {words}"
        | Unreadable reason -> $"its answer cannot be read: {reason}"
        | TooMuch what -> $"its answer has {what}"

/// How much of an answer is read.
[<Struct>]
type AnswerBounds =
    {
        /// The most series.
        Series: int
        /// The most values of all series together.
        Points: int
    }

/// Reads the answers of /api/v1/query and /api/v1/query_range (prometheus.io/docs/prometheus/latest/querying/api): vectors, matrices and errors.
[<RequireQualifiedAccess>]
module ClusterAnswers =
    /// As many as anyone reads at once: an hour of a machine with hundreds of devices, or the newest of a hundred machines.
    let most: AnswerBounds = { Series = 200_000; Points = 4_000_000 }

    [<Literal>]
    let private LongestWarning = 300

    [<Literal>]
    let private MostWarnings = 8

    [<Literal>]
    let private LongestLabel = 1000

    [<Literal>]
    let private MostLabels = 64

    /// A text that occurs again and again is one string: a fleet's series have a dozen labels each, and few different ones.
    [<Sealed>]
    type private Texts() =
        let known: string[] = Array.create 16384 ""

        /// The text of a string between its quotes, without escapes.
        member _.Of(bytes: ReadOnlySpan<byte>) : string =
            let mutable hash = 17

            for byte in bytes do
                hash <- hash * 31 + int byte

            let place = hash &&& 16383

            if Ascii.Equals(bytes, known[place].AsSpan()) then
                known[place]
            else
                let text = Encoding.UTF8.GetString bytes
                known[place] <- text
                text

    /// Milliseconds are as exact as any of these databases is.
    let private instantOf (seconds: float) : int64 =
        let milliseconds = Math.Round(seconds * 1000.0)

        if abs milliseconds < 2.5e14 then
            RowKey.microseconds (DateTimeOffset.FromUnixTimeMilliseconds(int64 milliseconds))
        else
            Int64.MinValue

    let private valueOf (text: ReadOnlySpan<byte>) : float =
        let mutable value = 0.0
        let mutable consumed = 0

        if
            Utf8Parser.TryParse(text, &value, &consumed)
            && consumed = text.Length
            && Double.IsFinite value
        then
            value
        else
            nan

    let private ofString (texts: Texts) (element: JsonElement) : string =
        let raw = JsonMarshal.GetRawUtf8Value element

        if element.ValueKind <> JsonValueKind.String then
            ""
        elif raw.IndexOf '\\'B >= 0 then
            element.GetString() |> Option.ofObj |> Option.defaultValue ""
        else
            texts.Of(raw.Slice(1, raw.Length - 2))

    let private memberOf (name: string) (element: JsonElement) : JsonElement voption =
        if element.ValueKind = JsonValueKind.Object then
            match element.TryGetProperty name with
            | true, value -> ValueSome value
            | _ -> ValueNone
        else
            ValueNone

    let private listOf (name: string) (element: JsonElement) : JsonElement seq =
        match memberOf name element with
        | ValueSome list when list.ValueKind = JsonValueKind.Array -> list.EnumerateArray()
        | _ -> Seq.empty

    let private words most (texts: Texts) (element: JsonElement) =
        let text = ofString texts element
        let text = text |> String.map (fun c -> if Char.IsControl c then ' ' else c)
        if text.Length > most then text.Substring(0, most) else text

    let private labelsOf (texts: Texts) (keep: string[]) (metric: JsonElement) : (struct (string * string))[] =
        // One series of each machine tells of the labels that its user gave it.
        let isWhole =
            match memberOf "__name__" metric with
            | ValueSome name -> name.ValueKind = JsonValueKind.String && name.ValueEquals ClusterMetrics.build
            | ValueNone -> false

        [|
            for entry in metric.EnumerateObject() |> Seq.truncate MostLabels do
                match Array.tryFind (fun (name: string) -> entry.NameEquals name) keep with
                | Some name -> struct (name, words LongestLabel texts entry.Value)
                | None when isWhole -> struct (Intake.cut LongestLabel entry.Name, words LongestLabel texts entry.Value)
                | None -> ()
        |]

    /// One `[seconds, "value"]`; none for anything else.
    let private pointOf (pair: JsonElement) : (struct (int64 * float)) voption =
        if pair.ValueKind = JsonValueKind.Array && pair.GetArrayLength() = 2 then
            let seconds = pair[0]
            let value = pair[1]

            match seconds.ValueKind, value.ValueKind with
            | JsonValueKind.Number, JsonValueKind.String ->
                match seconds.TryGetDouble() with
                | true, seconds ->
                    match instantOf seconds with
                    | Int64.MinValue -> ValueNone
                    | at ->
                        let raw = JsonMarshal.GetRawUtf8Value value

                        let text =
                            // Nobody escapes a number, but one may.
                            if raw.IndexOf '\\'B >= 0 then
                                ReadOnlySpan(Encoding.UTF8.GetBytes(value.GetString() |> Option.ofObj |> Option.defaultValue ""))
                            else
                                raw.Slice(1, raw.Length - 2)

                        ValueSome(struct (at, valueOf text))
                | _ -> ValueNone
            | _ -> ValueNone
        else
            ValueNone

    /// The series of an entry of the result; none where it is not one.
    let private seriesOf (texts: Texts) (keep: string[]) (entry: JsonElement) : ClusterSeries voption =
        match memberOf "metric" entry with
        | ValueSome metric when metric.ValueKind = JsonValueKind.Object ->
            let series (points: (struct (int64 * float))[]) =
                ValueSome
                    {
                        Labels = labelsOf texts keep metric
                        Times = points |> Array.map (fun (struct (at, _)) -> at)
                        Values = points |> Array.map (fun (struct (_, value)) -> value)
                    }

            match memberOf "value" entry, memberOf "values" entry with
            | ValueSome pair, _ ->
                match pointOf pair with
                | ValueSome point -> series [| point |]
                | ValueNone -> ValueNone
            | _, ValueSome pairs when pairs.ValueKind = JsonValueKind.Array ->
                let points = pairs.EnumerateArray() |> Seq.map pointOf |> Array.ofSeq

                if points |> Array.exists _.IsNone then
                    ValueNone
                else
                    series (Array.map ValueOption.get points)
            // Native histograms are no figures of ours.
            | _ -> series [||]
        | _ -> ValueNone

    let private resultOf (bounds: AnswerBounds) (texts: Texts) (keep: string[]) (result: JsonElement) =
        let found = ResizeArray<ClusterSeries>()
        let mutable points = 0
        let mutable fault = ValueNone
        let entries = result.GetArrayLength()

        if entries > bounds.Series then
            fault <- ValueSome(ClusterFault.TooMuch $"{entries} series, more than {bounds.Series}")
        else
            for entry in result.EnumerateArray() do
                if fault.IsNone then
                    match memberOf "values" entry with
                    | ValueSome values when values.ValueKind = JsonValueKind.Array -> points <- points + values.GetArrayLength()
                    | _ -> points <- points + 1

                    if points > bounds.Points then
                        fault <- ValueSome(ClusterFault.TooMuch $"more than {bounds.Points} values")
                    else
                        match seriesOf texts keep entry with
                        | ValueSome series -> found.Add series
                        | ValueNone -> fault <- ValueSome(ClusterFault.Unreadable "an entry of its result is not a series")

        match fault with
        | ValueSome fault -> Error fault
        | ValueNone -> Ok(found.ToArray())

    let private read (bounds: AnswerBounds) (keep: string[]) (root: JsonElement) : Result<ClusterAnswer, ClusterFault> =
        let texts = Texts()
        let unreadable reason = Error(ClusterFault.Unreadable reason)

        let textAt name =
            match memberOf name root with
            | ValueSome value -> words LongestWarning texts value
            | ValueNone -> ""

        match textAt "status", memberOf "data" root with
        | "error", _ -> Error(ClusterFault.Refused(textAt "errorType", textAt "error"))
        | "success", ValueSome data ->
            match memberOf "result" data with
            | ValueSome result when result.ValueKind = JsonValueKind.Array ->
                resultOf bounds texts keep result
                |> Result.map (fun series ->
                    {
                        Series = series
                        Warnings =
                            [|
                                yield!
                                    listOf "warnings" root
                                    |> Seq.truncate MostWarnings
                                    |> Seq.map (words LongestWarning texts)

                                // A cluster of VictoriaMetrics says so where a part of it does not answer.
                                match memberOf "isPartial" root with
                                | ValueSome partial when partial.ValueKind = JsonValueKind.True -> "a part of the cluster does not answer"
                                | _ -> ()
                            |]
                    })
            | _ -> unreadable "data.result is missing"
        | "success", ValueNone -> unreadable "data is missing"
        | status, _ -> unreadable $"its status is \"{status}\", neither success nor error"

    /// Reads one answer, with those of its labels that are to be kept; of `ai_dashboard_build_info` all are. Values that are none are NaN.
    [<CompiledName "Read">]
    let decode (bounds: AnswerBounds) (keep: string[]) (body: ReadOnlyMemory<byte>) : Result<ClusterAnswer, ClusterFault> =
        try
            use document = JsonDocument.Parse body
            read bounds keep document.RootElement
        with
        // What is no JSON, and a text that is no Unicode.
        | :? JsonException
        | :? InvalidOperationException -> Error(ClusterFault.Unreadable "it is not JSON")

    let private oneLine (text: string) =
        let line = text.Trim().Split('\n')[0]
        Intake.cut LongestWarning (line |> String.map (fun c -> if Char.IsControl c then ' ' else c))

    /// What a status usually comes from.
    let private adviceOf (status: int) =
        match status with
        | 401
        | 403 -> "; what it asks for goes into --metrics-header-file, a tenant of Mimir or Cortex into --metrics-tenant"
        | 404
        | 405 -> "; --metrics-url is what stands before /api/v1, such as http://mimir:8080/prometheus"
        | _ -> ""

    /// Why a request was answered with a status that is no success, as part of a sentence: in the words of the API or of whatever stands before it, of which the
    /// first line is told, but of no page.
    [<CompiledName "Refusal">]
    let refusal (status: int) (body: ReadOnlyMemory<byte>) : string =
        let words =
            match decode { Series = 0; Points = 0 } [||] body with
            | Error(ClusterFault.Refused _ as refused) -> refused.Reason
            | _ ->
                let text = Encoding.UTF8.GetString(body.Span.Slice(0, min body.Length (4 * LongestWarning)))
                if text.TrimStart().StartsWith '<' then "" else oneLine text

        let said = if words = "" then "" else ": " + words
        $"HTTP {status}{said}{adviceOf status}"

    /// Whether a status says that a query goes beyond the cluster's limits: a query that cannot be executed, as Prometheus, Mimir, Thanos and VictoriaMetrics say it
    /// of one with too many series or samples.
    [<CompiledName "IsTooMuch">]
    let isTooMuch (status: int) : bool = status = 422

    /// Why a request that was answered with a redirect is not repeated elsewhere. What stands behind a question mark may be a secret.
    [<CompiledName "Redirected">]
    let redirected (status: int) (location: string) : string =
        let target = oneLine ((location.Split('?', '#'))[0])
        let target = if target = "" then "nowhere" else target
        $"HTTP {status}: it redirects to {target}; give the URL of the API itself"
