namespace Agent.Outbound

/// What a family's values mean.
[<RequireQualifiedAccess; Struct>]
type MetricKind =
    /// Grows from when its source started.
    | Counter
    /// Goes up and down.
    | Gauge
    /// What the name's owner gives no kind.
    | Untyped
    /// Always 1; what it says is in its labels. Its name ends in `_info`.
    | Info
    /// One of several states is 1, the others are 0. The label has the name of the family.
    | StateSet
