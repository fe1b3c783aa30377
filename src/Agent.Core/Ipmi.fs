/// `ipmitool -I open sdr type Fan`: the fans that only the management controller sees.
/// See ipmitool(1). One line for each sensor: name | id | status | entity | reading.
[<RequireQualifiedAccess>]
module Agent.Core.Ipmi

open System
open Agent.Core
open Agent.Core.Units

/// What errors call the text.
[<Literal>]
let Source = "ipmitool"

/// The arguments of the command whose output `parse` reads.
[<CompiledName "FanArguments">]
let fanArguments: string[] = [| "-I"; "open"; "sdr"; "type"; "Fan" |]

/// Reads the sensors that report a speed in RPM. A sensor without a reading, or that reads a percentage or a state, is
/// no fan with a speed and is left out.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Sys.Hwmon.Fan[], ParseError> =
    let mutable cursor = Cursor(Source, text)
    let fans = ResizeArray<Sys.Hwmon.Fan>()
    let mutable failure = ValueNone

    while failure.IsNone && cursor.NextLine() do
        let cells = (Text.toString cursor.Line).Split '|'

        if cells.Length >= 5 then
            let reading = cells[4].Trim()

            if reading.EndsWith(" RPM", StringComparison.Ordinal) then
                let digits = Text.Encoding.UTF8.GetBytes(reading.Substring(0, reading.Length - 4).Trim())
                let mutable speed = 0.0

                // Sensors with a factor read with decimals.
                if
                    Text.tryDecimal (ReadOnlySpan digits, &speed)
                    && speed >= 0.0
                    && speed <= float Int32.MaxValue
                then
                    fans.Add
                        {
                            Label = cells[0].Trim()
                            Speed = LanguagePrimitives.Int32WithMeasure(int (Math.Round speed))
                        }
                else
                    failure <- ValueSome(cursor.Bad("reading", "a number and RPM"))
        elif cells.Length > 1 then
            failure <- ValueSome(cursor.Bad("columns", "name | id | status | entity | reading"))

    match failure with
    | ValueSome error -> Error error
    | ValueNone when not cursor.AtEnd -> Error(cursor.NoLine "the last line")
    | ValueNone -> Ok(fans.ToArray())
