namespace Agent.Receiver

open System
open System.Buffers.Text
open System.Collections.Generic
open System.Globalization
open System.Text
open System.Text.Json
open System.Text.Unicode
open Agent.Core
open Agent.Core.Gpu

/// Why a request is refused: a constant sentence for each cause, and what varies.
type Refusal =
    {
        /// Constant, so that it can be counted and recognised.
        Error: string
        /// Key, offending text, clocks; empty where there is nothing to add.
        Detail: string
    }

/// A request body that can be stored.
type Intake =
    {
        /// The sample.
        Report: Report
        /// The `agent` object as it was sent; empty when there is none.
        Agent: ReadOnlyMemory<byte>
        /// The `verdict` object as it was sent; empty when there is none.
        Verdict: ReadOnlyMemory<byte>
        /// The `jobs` array as it was sent; empty when there is none.
        Jobs: ReadOnlyMemory<byte>
        /// What was left out, a sentence each.
        Warnings: string[]
    }

/// Reads request bodies leniently: what can be understood is taken, what cannot costs as little as possible, and is named.
[<RequireQualifiedAccess>]
module Intake =
    /// The longest body, in bytes, whether it is compressed or not: 1 MiB.
    let longestBody: int = int (Units.bytesOfMib (LanguagePrimitives.UInt64WithMeasure<Units.MiB> 1UL))

    /// A sample may be this far ahead of the receiver's clock.
    let furthestAhead: TimeSpan = TimeSpan.FromMinutes 5.0

    /// So many warnings an answer has at most; the last of them says how many more there would be.
    [<Literal>]
    let MostWarnings = 20

    /// Objects and arrays within each other; a body with more is refused.
    [<Literal>]
    let DeepestNesting = 64

    let private depth = JsonReaderOptions(MaxDepth = DeepestNesting)

    /// Keys count microseconds from here.
    let firstInstant: DateTimeOffset = DateTimeOffset(2000, 1, 1, 0, 0, 0, TimeSpan.Zero)

    let private refusal error detail = { Error = error; Detail = detail }

    let private notJson detail = refusal "Body is not JSON." detail

    let private badSample detail = refusal "Sample cannot be read." detail

    let private badInstant detail =
        refusal "collected_at is no possible instant." detail

    let private excerpt (text: ReadOnlySpan<byte>) = Text.excerpt text

    let private utf8 (text: string) = Encoding.UTF8.GetBytes text

    /// The keys of one kind of object, and what is kept of it: decimals, then whole numbers, then `others`. The agent writes its
    /// members in the order of the table, so that the key that follows in the table is nearly always the one that is read next.
    [<Sealed>]
    type private Members(table: KeyTable, kept: string[]) =
        let encoded = table.Keys |> Array.map (fun key -> utf8 key.Name)
        let places = table.Keys |> Array.map (fun key -> Array.IndexOf(kept, key.Name))

        /// Which of the kept ones the reader stands on the name of, -1 for none of them. `next` is a guess, and becomes the next.
        member _.Find(reader: byref<Utf8JsonReader>, next: byref<int>) : int =
            let mutable steps = 0

            while steps < encoded.Length
                  && not (reader.ValueTextEquals(ReadOnlySpan encoded[(next + steps) % encoded.Length])) do
                steps <- steps + 1

            if steps = encoded.Length then
                -1
            else
                let index = (next + steps) % encoded.Length
                next <- index + 1
                places[index]

        member _.Key(place: int) : string = kept[place]

        /// -1 for one that is not kept.
        member _.Place(key: string) : int = Array.IndexOf(kept, key)

    /// The keys of a schema, those alone that begin with the prefix and without it, and the others that are kept.
    let private membersOf (table: KeyTable) (schema: Schema) (prefix: string) (others: string[]) =
        let own (key: string) =
            if key.StartsWith(prefix, StringComparison.Ordinal) then
                key.Substring prefix.Length
            else
                ""

        let decimals = schema.Decimals |> Array.map (fun (struct (key, _)) -> own key)
        Members(table, Array.concat [ decimals; Array.map own schema.Integers; others ])

    /// A list of the sample whose entries are kept.
    type private EntryList =
        {
            Key: string
            /// The key that tells its entries apart.
            Identity: string
            /// Whether that is a number.
            IsNumbered: bool
            Schema: Schema
            /// What is kept of an entry: its figures, its identity and other texts, and its details.
            Members: Members
            /// The place of the reasons of a GPU, which are texts and kept as a figure.
            Throttle: int
            /// The place of the number that makes the identity whole; -1 where it needs none.
            Number: int
            /// The place of the list within an entry; -1 where there is none.
            Nested: int
            /// What is kept of an entry apart. A bad one of them costs itself alone.
            Details: Schema
            /// The place of the first of them.
            FirstDetail: int
            /// Whether nothing is said of what is wrong with it, because it would be said with every sample.
            IsQuiet: bool
        }

    let private noSchema: Schema = { Decimals = [||]; Integers = [||] }

    let private noMember = ""

    let private listOf key (table: KeyTable) (schema: Schema) (identity: string) (others: string[]) (details: Schema) =
        let nested =
            table.Keys
            |> Array.exists (fun row -> row.Name = Details.migDevices.Name)
            |> fun has -> if has then Details.migDevices.Name else noMember

        let number = if key = Details.infiniband.Name then "port" else noMember

        let members =
            Array.concat
                [
                    [| identity |]
                    others
                    details.Decimals |> Array.map (fun (struct (key, _)) -> key)
                    details.Integers
                    [| nested; number |]
                ]
            |> membersOf table schema ""

        {
            Key = key
            Identity = identity
            IsNumbered = table.Keys |> Array.exists (fun row -> row.Name = identity && row.Kind.IsInt)
            Schema = schema
            Members = members
            Throttle = members.Place "throttle_reasons"
            Number = if number = noMember then -1 else members.Place number
            Nested = if nested = noMember then -1 else members.Place nested
            Details = details
            FirstDetail = schema.Decimals.Length + schema.Integers.Length + 1 + others.Length
            IsQuiet = key = Details.partitions.Name
        }

    let private detailOf (kind: DetailKind) (table: KeyTable) (identity: string) =
        listOf kind.Name table kind.Schema identity [||] noSchema

    let private lists =
        [|
            listOf "disks" Rows.disk.Keys Schema.disk "device" [||] noSchema
            listOf "gpus" Rows.gpu.Keys Schema.gpu "gpu_index" [| "name"; "uuid" |] Details.gpus.Schema
            listOf "fans" Rows.fan.Keys Schema.fan "label" [||] noSchema
            detailOf Details.interfaces Rows.networkInterface.Keys "name"
            detailOf Details.infiniband Rows.infinibandPort.Keys "device"
        |]

    /// Of a GPU.
    let private migList = detailOf Details.migDevices Rows.migDevice.Keys "mig_index"

    /// Of what an agent says of itself.
    let private partitionList = detailOf Details.partitions Rows.partition.Keys "mountpoint"

    /// What is kept of the sample beside figures.
    let private parts =
        Array.concat
            [
                [| "collected_at"; "pressure" |]
                lists |> Array.map _.Key
                [| "verdict"; "jobs"; "cpu_cores_percent" |]
            ]

    let private machineMembers = membersOf Rows.sample.Keys Schema.machine "" parts

    let private pressureMembers = membersOf Rows.pressure.Keys Schema.machine "pressure_" [||]

    let private bodyMembers = Members(Wire.body, [| "sample"; "agent" |])

    let private throttleBits =
        let table = Dictionary<string, int64>(StringComparer.Ordinal)

        for bit in 0..62 do
            table[(Throttle.reasonsOf (1UL <<< bit))[0]] <- 1L <<< bit

        table

    // ---- single values: 0 is good, 1 is null, 2 is bad; no closures, because the reader lives on the stack ---------------

    [<Literal>]
    let private Good = 0

    [<Literal>]
    let private Null = 1

    [<Literal>]
    let private Bad = 2

    /// What was found in the place of something else, for a message.
    let private found (reader: byref<Utf8JsonReader>) : string =
        match reader.TokenType with
        | JsonTokenType.StartObject -> "an object"
        | JsonTokenType.StartArray -> "an array"
        | JsonTokenType.True -> "true"
        | JsonTokenType.False -> "false"
        | JsonTokenType.Null -> "null"
        | JsonTokenType.String -> "\"" + excerpt reader.ValueSpan + "\""
        | _ -> excerpt reader.ValueSpan

    let private trimmed (text: ReadOnlySpan<byte>) : ReadOnlySpan<byte> = text.Trim " \t\r\n"B

    let private decimalIn (reader: byref<Utf8JsonReader>) (value: byref<float>) : int =
        match reader.TokenType with
        | JsonTokenType.Null -> Null
        | JsonTokenType.Number ->
            if reader.TryGetDouble &value && Double.IsFinite value then
                Good
            else
                Bad
        | JsonTokenType.String when not reader.ValueIsEscaped ->
            let text = trimmed reader.ValueSpan
            let mutable consumed = 0

            if
                Utf8Parser.TryParse(text, &value, &consumed)
                && consumed = text.Length
                && text.Length > 0
                && Double.IsFinite value
            then
                Good
            else
                Bad
        | _ -> Bad

    /// A whole number; a fraction is cut off, as the deployed webapp does.
    let private wholeIn (reader: byref<Utf8JsonReader>) (value: byref<int64>) : int =
        let mutable number = 0.0

        match reader.TokenType with
        | JsonTokenType.Number when reader.TryGetInt64 &value -> if value >= 0L then Good else Bad
        | JsonTokenType.String when
            not reader.ValueIsEscaped
            && Int64.TryParse(trimmed reader.ValueSpan, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, &value)
            ->
            if value >= 0L then Good else Bad
        | _ ->
            match decimalIn &reader &number with
            // 2^63 as a float is the first that does not fit.
            | Good when
                number >= 0.0
                && number < 9223372036854775808.0
                && reader.ValueSpan.IndexOfAny(".eE"B) >= 0
                ->
                value <- int64 number
                Good
            | Good -> Bad
            | other -> other

    let private textIn (reader: byref<Utf8JsonReader>) (value: byref<string>) : int =
        match reader.TokenType with
        | JsonTokenType.Null -> Null
        | JsonTokenType.String ->
            // An escape such as \ud800 alone is valid JSON and no text.
            try
                value <- reader.GetString() |> Option.ofObj |> Option.defaultValue ""
                Good
            with :? InvalidOperationException ->
                Bad
        | _ -> Bad

    let private offsetFormats =
        [|
            "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK"
            "yyyy-MM-dd'T'HH:mm:ssK"
            "yyyy-MM-dd' 'HH:mm:ss.FFFFFFFK"
            "yyyy-MM-dd' 'HH:mm:ssK"
        |]

    /// RFC 3339; a blank may stand for the T, and an instant without offset is UTC. Cut to the microsecond.
    [<CompiledName "InstantOf">]
    let instantOf (text: string) : DateTimeOffset voption =
        let text = text.Trim().ToUpperInvariant()

        // More than seven digits of a fraction are more than .NET keeps.
        let text =
            match text.IndexOf '.' with
            | -1 -> text
            | point ->
                let past =
                    match text.AsSpan(point + 1).IndexOfAnyExceptInRange('0', '9') with
                    | -1 -> text.Length
                    | length -> point + 1 + length

                if past - point > 8 then
                    text.Remove(point + 8, past - point - 8)
                else
                    text

        match
            DateTimeOffset.TryParseExact(
                text,
                offsetFormats,
                CultureInfo.InvariantCulture,
                DateTimeStyles.AssumeUniversal ||| DateTimeStyles.AdjustToUniversal
            )
        with
        | true, value -> ValueSome(value.AddTicks(-(value.Ticks % TimeSpan.TicksPerMicrosecond)))
        | _ -> ValueNone

    let private placeOf (list: EntryList) (index: int) = $"{list.Key}[{index}]"

    // ---- the parts of a body ---------------------------------------------------------------------------------------------

    /// An entry of one of the lists.
    type private Entry =
        {
            /// A trimmed label, or a number; empty when it is missing.
            Identity: string
            /// The texts that are kept of it, its identity first where that is one.
            Texts: string[]
            Figures: Figures
            /// Its details.
            Details: Figures
            /// The entries of the list within it.
            Nested: Entry[]
        }

    /// A part of the body that is read later, if at all.
    let private nowhere = struct (0, 0)

    /// What reading has come to; mutable, because the reader cannot be handed to closures.
    [<Sealed; AllowNullLiteral>]
    type private Progress() =
        // Where the member that was read last stands. Put together only for messages: there are a hundred for each sample.
        member val Place = "" with get, set
        member val Position = -1 with get, set
        member val Name = "" with get, set

        member progress.StandAt(place: string, position: int, name: string) =
            progress.Place <- place
            progress.Position <- position
            progress.Name <- name

        /// The path of the member that was read last.
        member progress.Key: string =
            if progress.Position < 0 then
                progress.Place + progress.Name
            else
                $"{progress.Place}[{progress.Position}].{progress.Name}"

        member val Refusal: Refusal voption = ValueNone with get, set
        member val Warnings = ResizeArray<string>(0)
        // Of what there would be to warn of, what is not put into words any more.
        member val Unsaid = 0 with get, set
        member val CollectedAt: DateTimeOffset voption = ValueNone with get, set
        member val Machine = Schema.empty Schema.machine with get, set
        /// By the position in `lists`.
        member val Entries: Entry[][] = Array.replicate lists.Length [||]
        member val Partitions: Entry[] = [||] with get, set
        member val Cores: float[] = [||] with get, set
        member val HasSample = false with get, set
        member val Agent = nowhere with get, set
        member val Verdict = nowhere with get, set
        member val Jobs = nowhere with get, set

        /// Whether another warning is said, and not only counted.
        member progress.HasRoom = progress.Warnings.Count < MostWarnings - 1

        member progress.Warn(warning: string) =
            if progress.HasRoom then
                progress.Warnings.Add warning
            else
                progress.Unsaid <- progress.Unsaid + 1

        /// What the answer says.
        member progress.Said: string[] =
            if progress.Unsaid = 0 then
                progress.Warnings.ToArray()
            else
                [| yield! progress.Warnings; $"and {progress.Unsaid} more" |]

        member progress.Refuse(refusal: Refusal) =
            if progress.Refusal.IsNone then
                progress.Refusal <- ValueSome refusal

    let private wanted = "a finite number"
    let private wantedWhole = "a whole number from 0 to 9223372036854775807"

    /// Reads one figure into its place. "" when it is good or null, else the sentence about it, without its path.
    let private figure (reader: byref<Utf8JsonReader>) (schema: Schema) (figures: Figures) (index: int) : string =
        let decimals = schema.Decimals.Length

        if index < decimals then
            let mutable value = 0.0

            match decimalIn &reader &value with
            | Good ->
                figures.Decimals[index] <- value
                ""
            | Null ->
                figures.Decimals[index] <- nan
                ""
            | _ -> $"expected {wanted}, found {found &reader}"
        else
            let mutable value = 0L

            match wholeIn &reader &value with
            | Good ->
                figures.Integers[index - decimals] <- value
                ""
            | Null ->
                figures.Integers[index - decimals] <- -1L
                ""
            | _ -> $"expected {wantedWhole}, found {found &reader}"

    /// The first characters of a text, at most so many UTF-16 units.
    let internal cut (most: int) (text: string) : string =
        if text.Length <= most then
            text
        // Not within a character of two units: half of one is no text.
        elif Char.IsHighSurrogate text[most - 1] then
            text.Substring(0, most - 1)
        else
            text.Substring(0, most)

    let private labelOf (text: string) : string =
        (cut Sample.LongestLabel (text.Trim())).TrimEnd()

    /// The reasons of one GPU as the driver's bits; what is unknown is left out and named.
    let private throttleIn (reader: byref<Utf8JsonReader>) (progress: Progress) : int64 =
        if reader.TokenType <> JsonTokenType.StartArray then
            if reader.TokenType <> JsonTokenType.Null then
                progress.Warn $"{progress.Key}: expected an array, found {found &reader}; left out"
                reader.Skip()

            -1L
        else
            let mutable mask = 0L
            let mutable text = ""

            while reader.Read() && reader.TokenType <> JsonTokenType.EndArray do
                match textIn &reader &text with
                | Good when throttleBits.ContainsKey(text.Trim()) -> mask <- mask ||| throttleBits[text.Trim()]
                | _ ->
                    // A body may be full of them.
                    progress.Warn(
                        if progress.HasRoom then
                            $"{progress.Key}: {found &reader} is not a known reason; left out"
                        else
                            ""
                    )

                    reader.Skip()

            mask

    /// Reads one detail into its place, where true is 1 and false 0. "" when it is good or null.
    let private detail (reader: byref<Utf8JsonReader>) (schema: Schema) (figures: Figures) (index: int) : string =
        match reader.TokenType with
        | JsonTokenType.True
        | JsonTokenType.False when index >= schema.Decimals.Length ->
            figures.Integers[index - schema.Decimals.Length] <- if reader.TokenType = JsonTokenType.True then 1L else 0L
            ""
        | _ -> figure &reader schema figures index

    /// What stands where a list should: true when there are entries to read.
    let private isList (reader: byref<Utf8JsonReader>) (progress: Progress) (list: string) : bool =
        match reader.TokenType with
        | JsonTokenType.StartArray -> true
        | JsonTokenType.Null -> false
        | _ ->
            progress.Warn $"{list}: expected an array, found {found &reader}; left out"
            reader.Skip()
            false

    /// More entries than this are no machine's.
    [<Literal>]
    let private MostEntries = 256

    let private noEntries: Entry[] = [||]

    /// One object of a list. The complaint is empty when all of it is good.
    let rec private entryIn
        (reader: byref<Utf8JsonReader>)
        (progress: Progress)
        (list: EntryList)
        (position: int)
        (complaint: byref<string>)
        : Entry =
        let figures = Schema.empty list.Schema
        let details = Schema.empty list.Details
        let own = figures.Decimals.Length + figures.Integers.Length

        let texts = [| ""; ""; "" |]
        let mutable index = -1L
        let mutable number = -1L
        let mutable nested = noEntries
        let mutable next = 0
        let mutable problem = ""

        if reader.TokenType <> JsonTokenType.StartObject then
            complaint <- $"{placeOf list position}: expected an object, found {found &reader}"
            reader.Skip()
        else
            while reader.Read() && reader.TokenType <> JsonTokenType.EndObject do
                let place = list.Members.Find(&reader, &next)

                if place >= 0 then
                    progress.StandAt(list.Key, position, list.Members.Key place)

                reader.Read() |> ignore
                problem <- ""

                if place < 0 then
                    reader.Skip()
                elif place = list.Throttle then
                    figures.Integers[Schema.gpuThrottle] <- throttleIn &reader progress
                elif place < own then
                    problem <- figure &reader list.Schema figures place
                elif list.IsNumbered && place = own then
                    match wholeIn &reader &index with
                    | Good when index <= int64 Int32.MaxValue -> ()
                    | _ -> problem <- $"expected an index, found {found &reader}"
                elif place = list.Number then
                    match wholeIn &reader &number with
                    | Good -> ()
                    | _ -> problem <- $"expected a number, found {found &reader}"
                elif place = list.Nested then
                    nested <- entriesIn &reader progress migList
                elif place >= list.FirstDetail then
                    match detail &reader list.Details details (place - list.FirstDetail) with
                    | "" -> ()
                    | problem ->
                        progress.Warn $"{progress.Key}: {problem}; left out"
                        reader.Skip()
                else
                    let mutable text = ""

                    match textIn &reader &text with
                    | Good -> texts[place - own] <- text
                    | Null -> ()
                    | _ -> problem <- $"expected a text, found {found &reader}"

                if problem <> "" then
                    if complaint = "" then
                        complaint <- $"{progress.Key}: {problem}"

                    reader.Skip()

        {
            Identity =
                if list.IsNumbered then
                    if index < 0L then
                        ""
                    else
                        index.ToString CultureInfo.InvariantCulture
                elif list.Number >= 0 then
                    if number < 0L || texts[0] = "" then
                        ""
                    else
                        labelOf $"{labelOf texts[0]}/{number}"
                else
                    labelOf texts[0]
            Texts = texts
            Figures = figures
            Details = details
            Nested = nested
        }

    and private entriesIn (reader: byref<Utf8JsonReader>) (progress: Progress) (list: EntryList) : Entry[] =
        if isList &reader progress list.Key then
            let entries = ResizeArray<Entry>()
            let mutable position = 0

            while reader.Read() && reader.TokenType <> JsonTokenType.EndArray do
                let mutable complaint = ""

                // Not read, so that a body full of them costs no more than its bytes.
                if position >= MostEntries then
                    complaint <-
                        if progress.HasRoom then
                            $"{placeOf list position}: more than {MostEntries} entries"
                        else
                            "…"

                    reader.Skip()
                else
                    let entry = entryIn &reader progress list position &complaint

                    if complaint <> "" then
                        ()
                    elif entry.Identity = "" then
                        complaint <- $"{placeOf list position}: {list.Identity} is missing"
                    elif entries.Exists(fun other -> other.Identity = entry.Identity) then
                        let quote = if list.IsNumbered then "" else "\""
                        complaint <- $"{placeOf list position}: {list.Identity} {quote}{entry.Identity}{quote} is there twice"
                    else
                        entries.Add entry

                if complaint <> "" && not list.IsQuiet then
                    progress.Warn(complaint + "; left out")

                position <- position + 1

            entries.ToArray()
        else
            noEntries

    /// The use of each CPU; NaN where not known.
    let private coresIn (reader: byref<Utf8JsonReader>) (progress: Progress) : unit =
        if isList &reader progress "cpu_cores_percent" then
            let values = ResizeArray<float>(64)

            while reader.Read() && reader.TokenType <> JsonTokenType.EndArray do
                let mutable value = nan

                match decimalIn &reader &value with
                | Good -> ()
                | kind ->
                    value <- nan

                    if kind = Bad then
                        progress.Warn(
                            if progress.HasRoom then
                                $"cpu_cores_percent[{values.Count}]: expected {wanted}, found {found &reader}; left out"
                            else
                                ""
                        )

                    reader.Skip()

                if values.Count < Details.MostCores then
                    values.Add value

            progress.Cores <- values.ToArray()

    /// Members of an object into the machine's figures; the first bad one is the refusal.
    let private pressureIn (reader: byref<Utf8JsonReader>) (progress: Progress) : unit =
        match reader.TokenType with
        | JsonTokenType.Null -> ()
        | JsonTokenType.StartObject ->
            let mutable next = 0

            while reader.Read() && reader.TokenType <> JsonTokenType.EndObject do
                let index = pressureMembers.Find(&reader, &next)

                if index >= 0 then
                    progress.StandAt("pressure.", -1, pressureMembers.Key index)

                reader.Read() |> ignore

                if index < 0 then
                    reader.Skip()
                else
                    match figure &reader Schema.machine progress.Machine index with
                    | "" -> ()
                    | problem ->
                        progress.Refuse(badSample $"{progress.Key}: {problem}")
                        reader.Skip()
        | _ ->
            progress.Warn $"pressure: expected an object, found {found &reader}; left out"
            reader.Skip()

    let private machineOwn = Schema.machine.Decimals.Length + Schema.machine.Integers.Length

    let private instantIn (reader: byref<Utf8JsonReader>) (progress: Progress) : unit =
        let mutable text = ""

        match textIn &reader &text with
        | Good ->
            match instantOf text with
            | ValueSome instant when instant >= firstInstant -> progress.CollectedAt <- ValueSome instant
            | ValueSome _ ->
                progress.Refuse(badInstant $"collected_at: \"{excerpt reader.ValueSpan}\" is before the year 2000; set the machine's clock")
            | ValueNone ->
                progress.Refuse(
                    badInstant
                        $"collected_at: expected an instant such as 2026-02-26T02:37:49.120000+00:00, found \"{excerpt reader.ValueSpan}\""
                )
        | _ ->
            progress.Refuse(badInstant $"collected_at: expected a text with an instant, found {found &reader}")
            reader.Skip()

    /// Where an object or an array is in the body.
    let private partIn (reader: byref<Utf8JsonReader>) (progress: Progress) (name: string) (expected: JsonTokenType) : struct (int * int) =
        if reader.TokenType = expected then
            let start = int reader.TokenStartIndex
            reader.Skip()
            struct (start, int reader.BytesConsumed)
        else
            if reader.TokenType <> JsonTokenType.Null then
                let kind =
                    if expected = JsonTokenType.StartArray then
                        "an array"
                    else
                        "an object"

                progress.Warn $"{name}: expected {kind}, found {found &reader}; left out"

            reader.Skip()
            nowhere

    /// Where the agent's object is in the body. Its file systems are figures of the machine, and are read on the way.
    let private agentIn (reader: byref<Utf8JsonReader>) (progress: Progress) : struct (int * int) =
        if reader.TokenType <> JsonTokenType.StartObject then
            partIn &reader progress "agent" JsonTokenType.StartObject
        else
            let start = int reader.TokenStartIndex

            while reader.Read() && reader.TokenType <> JsonTokenType.EndObject do
                let isSystem = reader.ValueTextEquals "system_info"B
                reader.Read() |> ignore

                if isSystem && reader.TokenType = JsonTokenType.StartObject then
                    while reader.Read() && reader.TokenType <> JsonTokenType.EndObject do
                        let isPartitions = reader.ValueTextEquals "partitions"B
                        reader.Read() |> ignore

                        if isPartitions && reader.TokenType = JsonTokenType.StartArray then
                            progress.Partitions <- entriesIn &reader progress partitionList
                        else
                            reader.Skip()
                else
                    reader.Skip()

            struct (start, int reader.BytesConsumed)

    /// One member of the sample, on whose name the reader stands; `next` is the position of the name that probably follows.
    let private memberIn (reader: byref<Utf8JsonReader>) (progress: Progress) (next: byref<int>) : unit =
        let index = machineMembers.Find(&reader, &next)

        progress.StandAt("", -1, (if index >= 0 then machineMembers.Key index else ""))

        reader.Read() |> ignore

        if index < 0 then
            reader.Skip()
        elif index < machineOwn then
            match figure &reader Schema.machine progress.Machine index with
            | "" -> ()
            | problem ->
                progress.Refuse(badSample $"{progress.Key}: {problem}")
                reader.Skip()
        else
            match index - machineOwn with
            | 0 -> instantIn &reader progress
            | 1 -> pressureIn &reader progress
            | part when part - 2 < lists.Length -> progress.Entries[part - 2] <- entriesIn &reader progress lists[part - 2]
            | part when part - 2 = lists.Length -> progress.Verdict <- partIn &reader progress "verdict" JsonTokenType.StartObject
            | part when part - 2 = lists.Length + 1 -> progress.Jobs <- partIn &reader progress "jobs" JsonTokenType.StartArray
            | _ -> coresIn &reader progress

    let private sampleIn (reader: byref<Utf8JsonReader>) (progress: Progress) : unit =
        progress.HasSample <- true

        if reader.TokenType <> JsonTokenType.StartObject then
            progress.Refuse(refusal "Sample is not an object." $"sample: expected an object, found {found &reader}")
            reader.Skip()
        else
            let mutable next = 0

            while reader.Read() && reader.TokenType <> JsonTokenType.EndObject do
                memberIn &reader progress &next

    /// True when the body's object has a member `sample`: else it is a bare sample. What is no JSON is found out by reading it.
    let private hasSample (body: ReadOnlySpan<byte>) : bool =
        let mutable reader = Utf8JsonReader(body, depth)
        let mutable answer = false
        let mutable next = 0

        try
            if reader.Read() && reader.TokenType = JsonTokenType.StartObject then
                while not answer && reader.Read() && reader.TokenType <> JsonTokenType.EndObject do
                    answer <- bodyMembers.Find(&reader, &next) = 0

                    if not answer then
                        reader.Skip()
        with :? JsonException ->
            ()

        answer

    let private bodyIn (body: ReadOnlySpan<byte>) (progress: Progress) : unit =
        let mutable reader = Utf8JsonReader(body, depth)

        if not (reader.Read()) || reader.TokenType <> JsonTokenType.StartObject then
            progress.Refuse(refusal "Body is not a JSON object." $"expected an object, found {found &reader}")
            reader.Skip()
        elif hasSample body then
            let mutable next = 0

            while reader.Read() && reader.TokenType <> JsonTokenType.EndObject do
                let which = bodyMembers.Find(&reader, &next)

                progress.StandAt("", -1, (if which >= 0 then bodyMembers.Key which else ""))
                reader.Read() |> ignore

                match which with
                | 0 -> sampleIn &reader progress
                | 1 -> progress.Agent <- agentIn &reader progress
                | _ -> reader.Skip()
        else
            let mutable next = 0

            while reader.Read() && reader.TokenType <> JsonTokenType.EndObject do
                memberIn &reader progress &next

        // Whatever follows the object is no JSON, and belongs to no member.
        progress.StandAt("", -1, "")
        reader.Read() |> ignore

    let private knows (figures: Figures) =
        Array.exists (Double.IsNaN >> not) figures.Decimals
        || Array.exists (fun value -> value >= 0L) figures.Integers

    let private coreOf (index: int) (usage: float) : DetailReport =
        {
            Name = Details.coreNames[index]
            Figures =
                {
                    Decimals = [| usage |]
                    Integers = [||]
                }
        }

    /// The devices of each kind. Senders that say no more of their GPUs than the webapp's contract have none there.
    let private detailsOf (progress: Progress) : DetailReport[][] =
        let named (entries: Entry[]) : DetailReport[] =
            entries
            |> Array.map (fun entry ->
                {
                    Name = entry.Identity
                    Figures = entry.Figures
                })

        let gpus = progress.Entries[1]
        let details = Array.create Details.all.Length [||]

        if gpus |> Array.exists (fun gpu -> knows gpu.Details) then
            details[Details.ofGpus] <-
                gpus
                |> Array.map (fun gpu ->
                    {
                        Name = gpu.Identity
                        Figures = gpu.Details
                    }
                    : DetailReport)

        details[Details.ofMigDevices] <-
            gpus
            |> Array.collect (fun gpu ->
                gpu.Nested
                |> Array.map (fun entry ->
                    {
                        Name = $"{gpu.Identity}/{entry.Identity}"
                        Figures = entry.Figures
                    }
                    : DetailReport))
            |> Array.truncate MostEntries

        details[Details.ofInterfaces] <- named progress.Entries[3]
        details[Details.ofInfiniband] <- named progress.Entries[4]
        details[Details.ofPartitions] <- named progress.Partitions
        details[Details.ofCores] <- progress.Cores |> Array.mapi coreOf
        details

    let private byteOrderMark = [| 0xEFuy; 0xBBuy; 0xBFuy |]

    let private read (body: ReadOnlyMemory<byte>) (now: DateTimeOffset) : Result<Intake, Refusal> =
        let progress = Progress()

        let part (struct (start, past)) = body.Slice(start, past - start)

        let problem =
            try
                bodyIn body.Span progress
                ValueNone
            with
            | :? JsonException when body.IsEmpty -> ValueSome(notJson "the body is empty")
            | :? JsonException as error ->
                let at = if progress.Key = "" then "" else progress.Key + ": "
                // Both count from 0, where editors count from 1.
                let line = error.LineNumber.GetValueOrDefault() + 1L
                let column = error.BytePositionInLine.GetValueOrDefault() + 1L
                // The class library's first sentence quotes the byte that is wrong; its others speak of its own parameters.
                let sentences: string[] = error.Message.Split([| ". "; " LineNumber:" |], 2, StringSplitOptions.None)

                let first = sentences[0].TrimEnd '.'

                let what =
                    if first.StartsWith '\'' then
                        $"{first}, at"
                    elif first.Contains "maximum configured depth" then
                        $"nested deeper than {DeepestNesting} levels, at"
                    else
                        "it ends too early, or is wrong at"

                ValueSome(notJson $"{at}{what} line {line}, byte {column}")
            // An escape that is no Unicode, in a name or a number's text.
            | :? InvalidOperationException -> ValueSome(notJson $"{progress.Key}: text that is not Unicode")

        match problem, progress.Refusal, progress.CollectedAt with
        | ValueSome refusal, _, _
        | _, ValueSome refusal, _ -> Error refusal
        | _, _, ValueNone -> Error(badInstant "collected_at is missing")
        | _, _, ValueSome instant when instant > now + furthestAhead ->
            Error(
                refusal
                    "Sample is dated in the future."
                    $"collected_at is {Wire.instant instant}, the receiver's clock says {Wire.instant now}; more than {furthestAhead.TotalMinutes} minutes ahead is refused: set the machine's clock"
            )
        | _, _, ValueSome instant ->
            Ok
                {
                    Report =
                        {
                            CollectedAt = instant
                            Machine = progress.Machine
                            Disks =
                                progress.Entries[0]
                                |> Array.map (fun disk ->
                                    {
                                        Device = disk.Identity
                                        Figures = disk.Figures
                                    })
                            Gpus =
                                progress.Entries[1]
                                |> Array.map (fun gpu ->
                                    {
                                        Index = Int32.Parse(gpu.Identity, CultureInfo.InvariantCulture)
                                        Name = labelOf gpu.Texts[1]
                                        Uuid = labelOf gpu.Texts[2]
                                        Figures = gpu.Figures
                                    })
                            Fans =
                                progress.Entries[2]
                                |> Array.map (fun fan ->
                                    {
                                        Label = fan.Identity
                                        Figures = fan.Figures
                                    })
                            Details = detailsOf progress
                        }
                    Agent = part progress.Agent
                    Verdict = part progress.Verdict
                    Jobs = part progress.Jobs
                    Warnings = progress.Said
                }

    /// Reads one request body; `now` is the receiver's clock.
    [<CompiledName "Read">]
    let decode (body: ReadOnlyMemory<byte>) (now: DateTimeOffset) : Result<Intake, Refusal> =
        let body =
            if body.Span.StartsWith(ReadOnlySpan byteOrderMark) then
                body.Slice byteOrderMark.Length
            else
                body

        if not (Utf8.IsValid body.Span) then
            Error(notJson "the body is not UTF-8")
        else
            read body now

    /// The first members of an `agent` object, as JSON: so many are kept.
    [<Literal>]
    let private MostAgentKeys = 25

    /// The `agent` object as it is kept: its first 25 members. None when it has more bytes than anyone would want to read.
    [<CompiledName "KeptAgent">]
    let keptAgent (agent: ReadOnlyMemory<byte>) : string voption =
        if agent.IsEmpty || agent.Length > longestBody / 8 then
            ValueNone
        else
            Decode.fromBytes
                (fun _ element ->
                    element.EnumerateObject()
                    |> Seq.truncate MostAgentKeys
                    |> Seq.map (fun entry -> entry.Name, (fun (writer: Utf8JsonWriter) -> entry.Value.WriteTo writer))
                    |> Encode.object
                    |> Encode.toString 0
                    |> Ok)
                agent
            |> function
                | Ok text -> ValueSome text
                | Error _ -> ValueNone
