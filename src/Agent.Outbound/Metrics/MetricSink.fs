namespace Agent.Outbound

/// Receives metric families, one after the other: first what a family is, then for each of its samples the labels and the
/// value. A family without samples leaves no trace.
[<AbstractClass>]
type MetricSink() =
    /// True where all samples of a family must come one after the other, and each series once.
    abstract WantsFamiliesWhole: bool
    /// What follows is of this family.
    abstract Family: name: string * kind: MetricKind * help: string -> unit
    /// A label of the sample that comes next.
    abstract Label: name: string * value: string -> unit
    /// The value of a sample. One that is no number is none, and takes its labels with it.
    abstract Value: value: float -> unit
    /// The value of a sample, a whole number.
    abstract Whole: value: uint64 -> unit

    /// A family with one sample for each thing whose figure is known.
    member sink.Each
        (name: string, kind: MetricKind, help: string, things: 'thing[], label: 'thing -> unit, value: 'thing -> float voption)
        : unit =
        sink.Family(name, kind, help)

        for thing in things do
            match value thing with
            | ValueSome value ->
                label thing
                sink.Value value
            | ValueNone -> ()
