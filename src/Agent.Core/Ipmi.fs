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

/// The files through which ipmitool talks to the management controller; it tries them in this order.
[<CompiledName "DeviceFiles">]
let deviceFiles: string[] = [| "/dev/ipmi0"; "/dev/ipmi/0"; "/dev/ipmidev/0" |]

/// Reads the sensors that report a speed in RPM. A sensor without a reading, or that reads a percentage or a state, is
/// no fan with a speed and is left out, as is a speed that no fan reaches, such as 65,535. A line that cannot be read costs
/// that line.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Parsed<Sys.Hwmon.Fan[]>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable faults = LineFaults()
    let fans = ResizeArray<Sys.Hwmon.Fan>()

    while cursor.NextLine() do
        let cells = (Text.toString cursor.Line).Split '|'

        if cells.Length >= 5 then
            let reading = cells[4].Trim()

            if reading.EndsWith(" RPM", StringComparison.Ordinal) then
                let digits = Text.Encoding.UTF8.GetBytes(reading.Substring(0, reading.Length - 4).Trim())
                let mutable speed = 0.0

                // Sensors with a factor read with decimals.
                if not (Text.tryDecimal (ReadOnlySpan digits, &speed)) then
                    faults.Add(cursor.Bad("reading", "a number and RPM"))
                elif Sys.Hwmon.isPlausibleSpeed (int64 (Math.Floor(Math.Clamp(speed, -1.0, 1e9)))) then
                    fans.Add
                        {
                            Label = cells[0].Trim()
                            Speed = LanguagePrimitives.Int32WithMeasure(int (Math.Round speed))
                        }
        elif cells.Length > 1 then
            faults.Add(cursor.Bad("columns", "name | id | status | entity | reading"))

    faults.AddTorn &cursor
    Ok(faults.Around(fans.ToArray()))

/// The result of a run of ipmitool.
[<RequireQualifiedAccess>]
type Answer =
    /// Fans, and what was wrong with the rest.
    | Fans of fans: Sys.Hwmon.Fan[] * faults: SourceError[]
    /// This machine has no management controller, or no driver for it.
    | NoController
    /// Its device may not be opened.
    | NotAllowed
    /// It failed.
    | Failed of error: SourceError

    /// Calls the function for the case that this is.
    member this.Match
        (fans: Func<Sys.Hwmon.Fan[], SourceError[], 'r>, noController: Func<'r>, notAllowed: Func<'r>, failed: Func<SourceError, 'r>)
        : 'r =
        match this with
        | Fans(found, faults) -> fans.Invoke(found, faults)
        | NoController -> noController.Invoke()
        | NotAllowed -> notAllowed.Invoke()
        | Failed error -> failed.Invoke error

/// What a run that ended with this code came to, by its standard output and standard error. Good rows count whatever the code: one
/// sensor that does not answer ends ipmitool with 1. Of three device files it tells why the last could not be opened, which is
/// nearly always that it is not there; so whether one of them is there and may not be opened (`isDenied`) is to be found out beside it.
[<CompiledName "Interpret">]
let interpret (exitCode: int) (isDenied: bool) (output: ReadOnlySpan<byte>) (errors: ReadOnlySpan<byte>) : Answer =
    let words = (Text.toString errors).Trim()

    let says (phrase: string) =
        words.Contains(phrase, StringComparison.OrdinalIgnoreCase)

    let failure () =
        let first = Text.excerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes(words.Split('\n')[0])))

        SourceError.Unreadable(
            Source,
            (if first = "" then
                 $"exit code {exitCode}"
             else
                 $"exit code {exitCode}: {first}")
        )

    match parse output with
    | Ok parsed when parsed.Value.Length > 0 || exitCode = 0 ->
        Answer.Fans(
            parsed.Value,
            [|
                if exitCode <> 0 then
                    failure ()
                for fault in parsed.Faults do
                    SourceError.Garbled fault
            |]
        )
    | _ when says "could not open device" && (isDenied || says "permission denied") -> Answer.NotAllowed
    | _ when says "could not open device" -> Answer.NoController
    | _ -> Answer.Failed(failure ())
