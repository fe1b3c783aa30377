namespace Agent.Core

open System
open System.Runtime.CompilerServices
open System.Text
open Agent.Core.Units

/// Who defines a key.
[<RequireQualifiedAccess>]
type KeyOwner =
    /// The webapp's contract.
    | Webapp
    /// The agent; the webapp ignores the key.
    | Ours

/// What the value of a key looks like in JSON.
[<RequireQualifiedAccess; NoEquality; NoComparison>]
type KeyKind =
    /// A number.
    | Number
    /// A whole number that is no counter.
    | Int
    /// A whole number from 0 to 2^63-1.
    | Counter
    /// true or false.
    | Bool
    /// A string.
    | Text
    /// One of a few strings.
    | OneOf of texts: string[]
    /// A string with an instant: RFC 3339 in UTC, with microseconds.
    | Instant
    /// An array of strings.
    | Texts
    /// An array of numbers, each of which may be null.
    | Numbers
    /// An object whose members the user chose; all of them are strings.
    | Labels
    /// An object with these keys.
    | Object of table: KeyTable
    /// An array of objects with these keys.
    | Objects of table: KeyTable

/// One member of an object.
and [<NoEquality; NoComparison>] Key =
    {
        /// As it is written, `cpu_usage_percent`.
        Name: string
        /// `B`, `%`, `°C`; empty for what is not counted in anything.
        Unit: string
        /// What its value looks like.
        Kind: KeyKind
        /// Whether it can be null, which says that the value is not known.
        IsNullable: bool
        /// Whether it can be missing, when there is nothing to report.
        IsOptional: bool
        /// Its subject.
        Owner: KeyOwner
        /// What it means, as a part of a sentence.
        Meaning: string
    }

/// The members of one kind of object, in the order in which they are written.
and [<NoEquality; NoComparison>] KeyTable =
    {
        /// What such an object is, `disk`.
        Name: string
        /// Its members.
        Keys: Key[]
    }

/// How a unit is written. It has the same unit of measure as the value, so that a row cannot name a different one.
[<Struct; NoEquality; NoComparison>]
type internal UnitName<[<Measure>] 'u> = { Symbol: string }

/// A key of the objects that are written of a 'T, and how its value is written.
[<NoEquality; NoComparison>]
type internal Row<'T> =
    {
        Key: Key
        /// Whether an object has it; null for one that is always there.
        IsPresent: Predicate<'T> | null
        /// A delegate, whose call looks at no types, and which boxes nothing.
        Write: Action<JsonText, 'T>
    }

/// One row for each key of an object: the object is written of them, the receiver knows its keys by them, and docs and the
/// JSON schema are made of them.
[<Sealed>]
type internal Table<'T>(name: string, rows: Row<'T>[]) =
    // Apart from the rows, and the names in one piece: what is written every second lies close together.
    let writers = rows |> Array.map _.Write
    let present = rows |> Array.map _.IsPresent

    let names =
        rows
        |> Array.mapi (fun index row ->
            let before = if index = 0 then '{' else ','
            Encoding.ASCII.GetBytes $"{before}\"{row.Key.Name}\":")

    let text = Array.concat names
    let ends = names |> Array.map _.Length |> Array.scan (+) 0

    /// The rows, in the order in which they are written.
    member _.Rows: Row<'T>[] = rows

    /// The same without the values' type.
    member val Keys: KeyTable =
        {
            Name = name
            Keys = rows |> Array.map _.Key
        }

    /// Writes an object.
    member _.Write(json: JsonText, value: 'T) : unit =
        for index in 0 .. writers.Length - 1 do
            let isPresent =
                match present[index] with
                | null -> true
                | condition -> condition.Invoke value

            if isPresent then
                json.Raw(ReadOnlySpan(text, ends[index], ends[index + 1] - ends[index]))
                writers[index].Invoke(json, value)

        json.Mark '}'B

    /// Writes an object, or null for none.
    member table.WriteOrNull(json: JsonText, value: 'T voption) : unit =
        match value with
        | ValueSome value -> table.Write(json, value)
        | ValueNone -> json.Null()

    /// Writes an array of objects.
    member table.WriteAll(json: JsonText, values: 'T[]) : unit =
        json.Array(values, (fun value -> table.Write(json, value)))

    /// Writes an array of objects, or null for none.
    member table.WriteAllOrNull(json: JsonText, values: 'T[] voption) : unit =
        match values with
        | ValueSome values -> table.WriteAll(json, values)
        | ValueNone -> json.Null()

/// Units as they are written. Opened after `Units`, whose measures some of them are named after.
module internal UnitNames =
    let none: UnitName<1> = { Symbol = "" }
    let bytes: UnitName<B> = { Symbol = "B" }
    let bytesPerSecond: UnitName<B / s> = { Symbol = "B/s" }
    let percent: UnitName<percent> = { Symbol = "%" }
    let celsius: UnitName<degC> = { Symbol = "°C" }
    let megahertz: UnitName<MHz> = { Symbol = "MHz" }
    let watts: UnitName<W> = { Symbol = "W" }
    let millijoules: UnitName<mJ> = { Symbol = "mJ" }
    let seconds: UnitName<s> = { Symbol = "s" }
    let milliseconds: UnitName<ms> = { Symbol = "ms" }
    let microseconds: UnitName<us> = { Symbol = "µs" }
    let rpm: UnitName<rpm> = { Symbol = "RPM" }

/// Rows by what their values look like: whose the key is, its name, its unit, its words or the table of its objects, what it
/// means, and how the value follows from what the object is written of. `OrNull` is for values that may not be known.
module internal Row =
    let webapp = KeyOwner.Webapp
    let ours = KeyOwner.Ours

    // Inlined, its arguments would each become a static field of the module of the rows.
    [<MethodImpl(MethodImplOptions.NoInlining)>]
    let make owner name unit kind isNullable meaning (write: Action<JsonText, 'T>) : Row<'T> =
        {
            Key =
                {
                    Name = name
                    Unit = unit
                    Kind = kind
                    IsNullable = isNullable
                    IsOptional = false
                    Owner = owner
                    Meaning = meaning
                }
            IsPresent = null
            Write = write
        }

    /// A key that an object has only where the condition holds; never the first of its object.
    let optional (condition: Predicate<'T>) (row: Row<'T>) : Row<'T> =
        { row with
            Key = { row.Key with IsOptional = true }
            IsPresent = condition
        }

    let inline number owner name (unit: UnitName<'u>) meaning ([<InlineIfLambda>] get: 'T -> float<'u>) : Row<'T> =
        make owner name unit.Symbol KeyKind.Number false meaning (Action<_, _>(fun json value -> json.Float(float (get value))))

    let inline numberOrNull owner name (unit: UnitName<'u>) meaning ([<InlineIfLambda>] get: 'T -> float<'u> voption) : Row<'T> =
        make owner name unit.Symbol KeyKind.Number true meaning (Action<_, _>(fun json value -> json.NumberOrNull(get value)))

    let inline integer owner name (unit: UnitName<'u>) meaning ([<InlineIfLambda>] get: 'T -> int<'u>) : Row<'T> =
        make owner name unit.Symbol KeyKind.Int false meaning (Action<_, _>(fun json value -> json.Int64(int64 (get value))))

    /// The same of one that 32 bits do not hold.
    let inline integer64 owner name (unit: UnitName<'u>) meaning ([<InlineIfLambda>] get: 'T -> int64<'u>) : Row<'T> =
        make owner name unit.Symbol KeyKind.Int false meaning (Action<_, _>(fun json value -> json.Int64(int64 (get value))))

    let inline integerOrNull owner name (unit: UnitName<'u>) meaning ([<InlineIfLambda>] get: 'T -> int<'u> voption) : Row<'T> =
        make owner name unit.Symbol KeyKind.Int true meaning (Action<_, _>(fun json value -> json.IntOrNull(get value)))

    let inline counter owner name (unit: UnitName<'u>) meaning ([<InlineIfLambda>] get: 'T -> uint64<'u>) : Row<'T> =
        make owner name unit.Symbol KeyKind.Counter false meaning (Action<_, _>(fun json value -> json.Counter(get value)))

    let inline counterOrNull owner name (unit: UnitName<'u>) meaning ([<InlineIfLambda>] get: 'T -> uint64<'u> voption) : Row<'T> =
        make owner name unit.Symbol KeyKind.Counter true meaning (Action<_, _>(fun json value -> json.CounterOrNull(get value)))

    let inline flag owner name meaning ([<InlineIfLambda>] get: 'T -> bool) : Row<'T> =
        make owner name "" KeyKind.Bool false meaning (Action<_, _>(fun json value -> json.Bool(get value)))

    let inline flagOrNull owner name meaning ([<InlineIfLambda>] get: 'T -> bool voption) : Row<'T> =
        make owner name "" KeyKind.Bool true meaning (Action<_, _>(fun json value -> json.BoolOrNull(get value)))

    let inline text owner name meaning ([<InlineIfLambda>] get: 'T -> string) : Row<'T> =
        make owner name "" KeyKind.Text false meaning (Action<_, _>(fun json value -> json.Text(get value)))

    let inline textOrNull owner name meaning ([<InlineIfLambda>] get: 'T -> string) : Row<'T> =
        make owner name "" KeyKind.Text true meaning (Action<_, _>(fun json value -> json.TextOrNull(get value)))

    let inline oneOfOrNull owner name (words: string[]) meaning ([<InlineIfLambda>] get: 'T -> string) : Row<'T> =
        make owner name "" (KeyKind.OneOf words) true meaning (Action<_, _>(fun json value -> json.TextOrNull(get value)))

    let inline instant owner name meaning ([<InlineIfLambda>] get: 'T -> DateTimeOffset) : Row<'T> =
        make owner name "" KeyKind.Instant false meaning (Action<_, _>(fun json value -> json.Instant(get value)))

    let inline instantOrNull owner name meaning ([<InlineIfLambda>] get: 'T -> DateTimeOffset voption) : Row<'T> =
        make owner name "" KeyKind.Instant true meaning (Action<_, _>(fun json value -> json.InstantOrNull(get value)))

    let inline texts owner name meaning ([<InlineIfLambda>] get: 'T -> string[]) : Row<'T> =
        make owner name "" KeyKind.Texts false meaning (Action<_, _>(fun json value -> json.Texts(get value)))

    let inline textsOrNull owner name meaning ([<InlineIfLambda>] get: 'T -> string[] voption) : Row<'T> =
        make owner name "" KeyKind.Texts true meaning (Action<_, _>(fun json value -> json.TextsOrNull(get value)))

    let inline numbers owner name (unit: UnitName<'u>) meaning ([<InlineIfLambda>] get: 'T -> float<'u> voption[]) : Row<'T> =
        make owner name unit.Symbol KeyKind.Numbers false meaning (Action<_, _>(fun json value -> json.Numbers(get value)))

    let inline labels owner name meaning ([<InlineIfLambda>] get: 'T -> (struct (string * string))[]) : Row<'T> =
        make owner name "" KeyKind.Labels false meaning (Action<_, _>(fun json value -> json.Labels(get value)))

    let inline object' owner name (table: Table<'E>) meaning ([<InlineIfLambda>] get: 'T -> 'E) : Row<'T> =
        make owner name "" (KeyKind.Object table.Keys) false meaning (Action<_, _>(fun json value -> table.Write(json, get value)))

    let inline objectOrNull owner name (table: Table<'E>) meaning ([<InlineIfLambda>] get: 'T -> 'E voption) : Row<'T> =
        make owner name "" (KeyKind.Object table.Keys) true meaning (Action<_, _>(fun json value -> table.WriteOrNull(json, get value)))

    let inline objects owner name (table: Table<'E>) meaning ([<InlineIfLambda>] get: 'T -> 'E[]) : Row<'T> =
        make owner name "" (KeyKind.Objects table.Keys) false meaning (Action<_, _>(fun json value -> table.WriteAll(json, get value)))

    let inline objectsOrNull owner name (table: Table<'E>) meaning ([<InlineIfLambda>] get: 'T -> 'E[] voption) : Row<'T> =
        make owner name "" (KeyKind.Objects table.Keys) true meaning (Action<_, _>(fun json value -> table.WriteAllOrNull(json, get value)))

    let inline written owner name (table: Table<'E>) meaning ([<InlineIfLambda>] get: 'T -> ReadOnlyMemory<byte>) : Row<'T> =
        make owner name "" (KeyKind.Object table.Keys) false meaning (Action<_, _>(fun json value -> json.Raw (get value).Span))
