namespace Agent.Sender

open System
open System.Collections.Generic
open Agent.Outbound

/// The series of a record, for the next one to be compared with.
[<Sealed>]
type SeriesSet internal (coder: SeriesCoder, machine: (struct (string * string))[], series: KnownSeries[]) =
    /// No series.
    static member Empty: SeriesSet = SeriesSet(CoderOfOne.Instance, [||], [||])

    /// The labels of the machine.
    member internal _.Machine: (struct (string * string))[] = machine

    /// In the order in which they were told.
    member internal _.Series: KnownSeries[] = series

    /// What encodes the next record.
    member internal _.CoderFor(version: RemoteWriteVersion) : SeriesCoder =
        if coder.Version = version && not coder.IsCrowded then
            coder
        else
            SeriesCoder.ofVersion version

/// Gathers the series of one instant: each with the family's name, the labels of its sample and those of the machine, sorted
/// by name, without empty ones, as the specification requires.
///
/// Most series are those of the record before, in the same order, and what is known of them is used again.
[<Sealed>]
type internal SeriesSink(machine: (struct (string * string))[], previous: SeriesSet) =
    inherit MetricSink()

    /// So many series may have gone at one place for those behind them to be found again without looking at all.
    [<Literal>]
    let MostGone = 32

    let order = List<KnownSeries>(previous.Series.Length + 16)
    let values = List<float>(previous.Series.Length + 16)
    let own = List<struct (string * string)>()
    let record = obj ()
    let mutable family = ""
    let mutable kind = MetricKind.Untyped
    let mutable next = 0
    let mutable byLabels: HashSet<KnownSeries> voption = ValueNone

    let byName =
        Comparer<struct (string * string)>.Create(fun (struct (one, _)) (struct (other, _)) -> String.CompareOrdinal(one, other))

    let isSameMachine =
        machine.Length = previous.Machine.Length
        && Array.forall2
            (fun (struct (name: string, value: string)) (struct (otherName: string, otherValue: string)) ->
                String.Equals(name, otherName) && String.Equals(value, otherValue))
            machine
            previous.Machine

    let isTold (name: string) =
        let mutable found = false

        for struct (told, _) in own do
            found <- found || told = name

        found

    let known () =
        match byLabels with
        | ValueSome known -> known
        | ValueNone ->
            let known = HashSet<KnownSeries>(previous.Series, ByLabels.Instance)
            byLabels <- ValueSome known
            known

    /// The series where the record before has it, or a little behind that.
    let again () : KnownSeries voption =
        let mutable found = ValueNone

        if isSameMachine then
            let past = min previous.Series.Length (next + MostGone)
            let mutable at = next

            while found.IsNone && at < past do
                if previous.Series[at].Is(family, own) then
                    found <- ValueSome previous.Series[at]
                    next <- at + 1

                at <- at + 1

        found

    /// The series by its labels, or a new one.
    let afresh () : KnownSeries =
        let told = own.ToArray()

        // A label of the metric's own beats one of the machine.
        for struct (name, text) in machine do
            if text <> "" && not (isTold name) then
                own.Add(struct (name, ProtobufFields.wellFormed text))

        own.Add(struct ("__name__", family))
        own.Sort byName
        let series = KnownSeries(family, kind, told, own.ToArray())
        let known = known ()

        match known.TryGetValue series with
        | true, one -> one
        | _ ->
            known.Add series |> ignore
            series

    /// What was gathered, in the order in which it was told.
    member _.Series: List<KnownSeries> = order

    /// Their values.
    member _.Values: List<float> = values

    /// True when this series was told.
    member _.Has(series: KnownSeries) : bool = series.IsToldIn record

    // Each series of a request stands for itself, and what is told twice counts once.
    override _.WantsFamiliesWhole = false

    override _.Family(name, itsKind, _) =
        family <- name
        kind <- itsKind
        own.Clear()

    override _.Label(name, value) =
        if value <> "" then
            own.Add(struct (name, ProtobufFields.wellFormed value))

    override this.Whole value = this.Value(float value)

    override _.Value value =
        if Double.IsFinite value then
            let series =
                match again () with
                | ValueSome series -> series
                | ValueNone -> afresh ()

            // A receiver refuses two values of one instant.
            if not (series.IsToldIn record) then
                series.TellIn record
                order.Add series
                values.Add value

        own.Clear()
