/// Figures as people read them, and the subjects of sentences.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.Figures

open System
open System.Globalization
open Agent.Core
open Agent.Core.Units

let private fixed' (format: string) (value: float) =
    value.ToString(format, CultureInfo.InvariantCulture)

/// `25%`
let percent (value: float<percent>) : string =
    fixed' "0" (Math.Round(float value)) + "%"

/// `2.5`, `16`
let number (value: float) : string =
    if abs value >= 10.0 then
        fixed' "0" (Math.Round value)
    else
        fixed' "0.##" (Math.Round(value, 1))

/// `628 MB/s`, with the number as it is to be written.
let scaled (number: float -> string) (value: float) (unit: string) : string =
    if abs value >= 1e9 then $"{number (value / 1e9)} G{unit}"
    elif abs value >= 1e6 then $"{number (value / 1e6)} M{unit}"
    elif abs value >= 1e3 then $"{number (value / 1e3)} k{unit}"
    else $"{number value} {unit}"

/// `628 MB/s`
let bytes (value: float<B / s>) : string = scaled number (float value) "B/s"

/// `3 ms`
let milliseconds (value: float<ms>) : string = $"{number (float value)} ms"

/// `40 seconds`, `5 minutes`, `3.5 hours`
let time (value: float<s>) : string =
    if value < 120.0<s> then
        $"{number (Math.Round(float value))} seconds"
    elif value < 7200.0<s> then
        $"{number (Math.Floor(float value / 60.0))} minutes"
    else
        $"{number (float value / 3600.0)} hours"

/// `1 loader`, `4 loaders`
let count (many: int) (one: string) : string =
    if many = 1 then $"1 {one}" else $"{many} {one}s"

/// `one, two, three`
let listed (texts: string[]) : string = String.Join(", ", texts)

/// A figure with its unit.
let witness (witness: Witness) : string =
    match witness.Unit with
    | "%" -> percent (LanguagePrimitives.FloatWithMeasure witness.Value)
    | "B/s" -> bytes (LanguagePrimitives.FloatWithMeasure witness.Value)
    | "" -> number witness.Value
    | unit -> $"{number witness.Value} {unit}"

/// `The GPU is`, `The 8 GPUs are`
let gpusAre (scene: Scene) : string =
    match scene.Job.Gpus.Length with
    | 0
    | 1 -> "The GPU is"
    | many -> $"The {many} GPUs are"

/// `The GPU waits`, `The 8 GPUs wait`
let gpusWait (scene: Scene) : string =
    match scene.Job.Gpus.Length with
    | 0
    | 1 -> "The GPU waits"
    | many -> $"The {many} GPUs wait"

/// `its loader works`, `its 4 loaders work`; loaders that cannot be counted are `its loaders work`.
let loadersWork (scene: Scene) : string =
    match scene.Job.Loaders with
    | 1 -> "its loader works"
    | many when many > 1 -> $"its {many} loaders work"
    | _ -> "its loaders work"

/// `busy 97% of the time at 88% of the power limit`; less where less is known.
let busyAndPower (scene: Scene) : string =
    let busy =
        match scene.Busy with
        | ValueSome busy -> $"busy {percent busy} of the time"
        | ValueNone -> "busy for an unknown share of the time"

    let power =
        match scene.Power with
        | ValueSome power -> $" at {percent power} of the power limit"
        | ValueNone -> ""

    let activity =
        match scene.Sm with
        | ValueSome sm when scene.Power.IsSome -> $" and {percent sm} SM activity"
        | ValueSome sm -> $" at {percent sm} SM activity"
        | ValueNone -> ""

    busy + power + activity

/// `The GPU waits 75% of the time`; busy and hollow GPUs wait inside their kernels.
let waiting (scene: Scene) : string =
    match scene.Busy with
    | ValueSome _ when scene.IsHollow -> $"{gpusAre scene} {busyAndPower scene}, so it computes little"
    | ValueSome busy -> $"{gpusWait scene} {percent (100.0<percent> - busy)} of the time"
    | ValueNone -> "How busy the GPU is cannot be read"
