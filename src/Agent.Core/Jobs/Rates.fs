/// Rates and shares between two looks. What fell, or was not there before, has none.
[<RequireQualifiedAccess>]
module internal Agent.Core.Jobs.Rates

open System
open Agent.Core.Proc
open Agent.Core.Units

/// How much a counter grew; none when it fell, as after a reset.
let grown (before: uint64<'u>) (after: uint64<'u>) : float<'u> voption =
    if after >= before then
        ValueSome(LanguagePrimitives.FloatWithMeasure(float (uint64 after - uint64 before)))
    else
        ValueNone

/// The same of counters that may not be there.
let grownBoth (before: uint64<'u> voption) (after: uint64<'u> voption) : float<'u> voption =
    match before, after with
    | ValueSome before, ValueSome after -> grown before after
    | _ -> ValueNone

/// Growth per second; none over no time.
let perSecond (length: float<s>) (growth: float<'u> voption) : float<'u / s> voption =
    match growth with
    | ValueSome growth when length > 0.0<s> -> ValueSome(growth / length)
    | _ -> ValueNone

/// The share of the time that a growing time took up, within 0-100.
let share (length: float<s>) (time: float<s> voption) : float<percent> voption =
    match time with
    | ValueSome time when length > 0.0<s> -> ValueSome(percentOf time length)
    | _ -> ValueNone

/// Part of a whole, within 0-100; none of nothing.
let partOf (part: float<'u> voption) (whole: float<'u> voption) : float<percent> voption =
    match part, whole with
    | ValueSome part, ValueSome whole when whole > 0.0<_> -> ValueSome(percentOf part whole)
    | _ -> ValueNone

/// Ticks as seconds; USER_HZ is 100 wherever .NET runs.
let ofTicks (ticks: float<tick> voption) : float<s> voption =
    ticks
    |> ValueOption.map (fun ticks -> LanguagePrimitives.FloatWithMeasure(float ticks / 100.0))

/// Nanoseconds as seconds.
let ofNanoseconds (time: float<ns> voption) : float<s> voption =
    time
    |> ValueOption.map (fun time -> LanguagePrimitives.FloatWithMeasure(float time / 1e9))

/// Microseconds as seconds.
let ofMicroseconds (time: float<us> voption) : float<s> voption =
    time
    |> ValueOption.map (fun time -> LanguagePrimitives.FloatWithMeasure(float time / 1e6))

/// Milliseconds as seconds.
let ofMilliseconds (time: float<ms> voption) : float<s> voption =
    time
    |> ValueOption.map (fun time -> LanguagePrimitives.FloatWithMeasure(float time / 1e3))

/// The mean over the values that are known; none without any.
let mean (values: float<'u> voption seq) : float<'u> voption =
    let known = values |> Seq.choose ValueOption.toOption |> Array.ofSeq

    if known.Length = 0 then
        ValueNone
    else
        ValueSome(Array.average known)

/// The largest, or the smallest, of the values that are known; none without any.
let extreme (choose: float<'u>[] -> float<'u>) (values: float<'u> voption seq) : float<'u> voption =
    let known = values |> Seq.choose ValueOption.toOption |> Array.ofSeq

    if known.Length = 0 then
        ValueNone
    else
        ValueSome(choose known)

/// The sum of the values that are known; none without any.
let total (values: float<'u> voption seq) : float<'u> voption =
    let known = values |> Seq.choose ValueOption.toOption |> Array.ofSeq

    if known.Length = 0 then
        ValueNone
    else
        ValueSome(Array.sum known)

/// The share of the time in which some task was stalled, or, with `full`, every one.
let stall
    (length: float<s>)
    (isFull: bool)
    (before: Pressure.Pressure voption)
    (after: Pressure.Pressure voption)
    : float<percent> voption =
    let totalOf (pressure: Pressure.Pressure voption) : uint64<us> voption =
        match pressure with
        | ValueNone -> ValueNone
        | ValueSome pressure when isFull -> pressure.Full |> ValueOption.map _.Total
        | ValueSome pressure -> ValueSome pressure.Some.Total

    grownBoth (totalOf before) (totalOf after) |> ofMicroseconds |> share length

/// The element of the same key; none where there is none.
let find (keyOf: 'a -> string) (key: string) (all: 'a[]) : 'a voption =
    match
        all
        |> Array.tryFind (fun one -> String.Equals(keyOf one, key, StringComparison.Ordinal))
    with
    | Some one -> ValueSome one
    | None -> ValueNone
