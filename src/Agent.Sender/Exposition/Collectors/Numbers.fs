/// The readers of numbers that all collectors share. What is no number is passed over: a bad line costs itself.
[<RequireQualifiedAccess>]
module internal Agent.Sender.Numbers

open System
open System.Buffers.Text
open System.Text
open Agent.Core

/// `12`, `-1`, `0.5` or `0x1f`.
let tryRead (field: ReadOnlySpan<byte>, value: byref<float>) : bool =
    if field.StartsWith("0x"B.AsSpan()) then
        let mutable number = 0UL
        let mutable length = 0

        if
            Utf8Parser.TryParse(field.Slice 2, &number, &length, 'x')
            && length = field.Length - 2
        then
            value <- float number
            true
        else
            false
    else
        Text.tryDecimal (field, &value)

/// Hexadecimal digits without a prefix.
let tryHex (field: ReadOnlySpan<byte>, value: byref<uint64>) : bool =
    let mutable length = 0

    Utf8Parser.TryParse(field, &value, &length, 'x')
    && length = field.Length
    && length > 0

/// True for what may be a part of a metric's name.
let isName (text: ReadOnlySpan<byte>) : bool =
    let mutable isGood = not text.IsEmpty

    for i in 0 .. text.Length - 1 do
        if not (Char.IsAsciiLetterOrDigit(char text[i]) || text[i] = '_'B) then
            isGood <- false

    isGood

/// A file that holds one number, and the family that the number is a sample of.
[<NoComparison; NoEquality>]
type NumberFile =
    {
        File: string
        Family: Family
        /// The unit of the file in that of the family.
        Scale: float
        /// False for a number of the file that stands for none.
        IsFigure: float -> bool
    }

/// A file whose number has the unit of its family.
let file (file: string) (family: Family) : NumberFile =
    {
        File = file
        Family = family
        Scale = 1.0
        IsFigure = fun _ -> true
    }

/// Families by the names that the kernel has for their figures, as bytes. Those that are listed are made once, and any other one anew each time.
[<Sealed>]
type NamedFamilies(listed: string[], make: string -> Family) =
    let names = listed |> Array.map Encoding.UTF8.GetBytes
    let families = listed |> Array.map make

    /// The place of a name among the listed ones, sought first at `from`, where it is when the kernel keeps their order; -1 for another.
    member _.Find(name: ReadOnlySpan<byte>, from: int) : int =
        let mutable found = -1
        let mutable i = 0

        while found < 0 && i < names.Length do
            let at = (from + i) % names.Length

            found <-
                if name.SequenceEqual(ReadOnlySpan names[at]) then
                    at
                else
                    -1

            i <- i + 1

        found

    /// The family at such a place.
    member _.At(place: int) : Family = families[place]

    /// The family of any name.
    member this.Of(name: ReadOnlySpan<byte>) : Family =
        match this.Find(name, 0) with
        | -1 -> make (Text.toString name)
        | at -> families[at]

/// Files of one number each, whose labels are made from what the stars of their directory stand for. A number behind which
/// words stand, `4: ACTIVE`, counts as well.
let ofFiles (rows: NumberFile[]) (labels: string[] -> string[]) (texts: FileText[]) (figures: Figures) : unit =
    for text in texts do
        for row in rows do
            if row.File = text.File then
                let mutable cursor = Cursor("", text.Text.Span)
                let mutable value = 0.0

                if
                    cursor.NextLine()
                    && tryRead (cursor.Field().TrimEnd ':'B, &value)
                    && row.IsFigure value
                then
                    figures.Add(row.Family, labels text.Names, value * row.Scale)

/// A name without the letters before its number, `0` of `cpu0`.
let withoutLetters (name: string) : string =
    let mutable digits = 0

    while digits < name.Length && not (Char.IsAsciiDigit name[digits]) do
        digits <- digits + 1

    name.Substring digits

/// The first line of a file as one text, without blanks around it; empty where there is none.
let line (text: FileText) : string =
    let mutable cursor = Cursor("", text.Text.Span)

    if cursor.NextLine() then Text.toString cursor.Rest else ""

/// The text of a file among others; empty where it could not be read.
let textOf (file: string) (texts: FileText[]) : ReadOnlyMemory<byte> =
    let mutable found = ReadOnlyMemory<byte>.Empty

    for text in texts do
        if text.File = file then
            found <- text.Text

    found
