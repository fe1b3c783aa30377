namespace Agent.Outbound

open System
open System.Collections.Generic

/// A series as it was told: what tells it from others, as texts and as they stand in a request.
[<Sealed>]
type internal KnownSeries(family: string, kind: MetricKind, own: (struct (string * string))[], all: (struct (string * string))[]) =
    let mutable toldIn = obj ()
    let mutable coder: SeriesCoder voption = ValueNone
    let mutable labels: byte[] = [||]
    let mutable metadata: byte[] = [||]

    /// All its labels, sorted by name.
    member _.All: (struct (string * string))[] = all

    /// The fields of its labels, as it was last encoded.
    member _.Labels: byte[] = labels

    /// The fields that say what it is, as it was last encoded.
    member _.Metadata: byte[] = metadata

    /// Has it encoded by this coder, unless it is.
    member _.EncodeBy(wanted: SeriesCoder) : unit =
        match coder with
        | ValueSome known when obj.ReferenceEquals(known, wanted) -> ()
        | _ ->
            labels <- wanted.Labels all
            metadata <- wanted.Metadata kind
            coder <- ValueSome wanted

    /// True when this record has told it.
    member _.IsToldIn(record: obj) : bool = obj.ReferenceEquals(toldIn, record)

    /// This record tells it.
    member _.TellIn(record: obj) : unit = toldIn <- record

    /// True for the series of this family and of these labels, in their order, the machine's left out.
    member _.Is(otherFamily: string, labels: List<struct (string * string)>) : bool =
        let mutable same = own.Length = labels.Count && String.Equals(family, otherFamily)
        let mutable i = 0

        while same && i < own.Length do
            let struct (name, value) = own[i]
            let struct (otherName, otherValue) = labels[i]
            same <- String.Equals(value, otherValue) && String.Equals(name, otherName)
            i <- i + 1

        same

/// Series are distinguished by the texts of their labels.
[<Sealed>]
type internal ByLabels private () =
    /// The only one.
    static member val Instance = ByLabels()

    interface IEqualityComparer<KnownSeries> with
        member _.Equals(one, other) =
            match one, other with
            | NonNull one, NonNull other ->
                let mutable same = one.All.Length = other.All.Length
                let mutable i = 0

                while same && i < one.All.Length do
                    let struct (name, value) = one.All[i]
                    let struct (otherName, otherValue) = other.All[i]
                    same <- String.Equals(name, otherName) && String.Equals(value, otherValue)
                    i <- i + 1

                same
            | _ -> false

        member _.GetHashCode series =
            let mutable hash = HashCode()

            for struct (name, value) in series.All do
                hash.Add(name.GetHashCode StringComparison.Ordinal)
                hash.Add(value.GetHashCode StringComparison.Ordinal)

            hash.ToHashCode()
