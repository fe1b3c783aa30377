/// `/proc/uptime`: seconds since the machine started.
/// See proc_uptime(5).
[<RequireQualifiedAccess>]
module Agent.Core.Proc.Uptime

open System
open Agent.Core
open Agent.Core.Units

/// Where the text comes from.
[<Literal>]
let Source = "/proc/uptime"

/// Reads the first field; the idle time after it is ignored.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<float<s>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable seconds = 0.0

    if not (cursor.NextLine()) then
        Error(cursor.NoLine "uptime")
    elif not (cursor.Decimal &seconds) || seconds < 0.0 then
        Error(cursor.Bad("uptime", "a decimal number of seconds"))
    else
        Ok(LanguagePrimitives.FloatWithMeasure seconds)
