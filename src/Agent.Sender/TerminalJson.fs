/// JSON for a terminal, which would act upon some of what its strings contain.
[<RequireQualifiedAccess>]
module Agent.Sender.TerminalJson

open System
open System.Globalization
open System.Text

/// True for what is not shown but acts: control characters, and what reverses the direction of writing or hides (Unicode, UAX 9 and
/// UTR 36). A line feed and a tab between the tokens of JSON are none.
let private acts (rune: Rune) : bool =
    let value = rune.Value

    value = 0x7f
    || (value >= 0x80 && value < 0xa0)
    || value = 0xad
    || value = 0x61c
    || (value >= 0x200b && value <= 0x200f)
    || (value >= 0x2028 && value <= 0x202e)
    || (value >= 0x2060 && value <= 0x206f)
    || value = 0xfeff
    || (value >= 0xe0000 && value < 0xe0080)

/// The same JSON, with such characters escaped. They stand in strings only, so that it reads as before.
[<CompiledName "Escaped">]
let escaped (json: string) : string =
    let text = StringBuilder(json.Length)

    for rune in json.EnumerateRunes() do
        let utf16 = rune.ToString()

        if acts rune then
            for unit in utf16 do
                text.Append("\\u").Append((int unit).ToString("x4", CultureInfo.InvariantCulture))
                |> ignore
        else
            text.Append utf16 |> ignore

    text.ToString()
