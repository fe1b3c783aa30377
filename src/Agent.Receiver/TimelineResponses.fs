namespace Agent.Receiver

open System
open Agent.Core

/// Something that happened, and where.
type TimelineEvent =
    {
        /// As it is told.
        Happening: Happening
        /// The slug of its machine; empty for all of them.
        Slug: string
        /// Who wrote it down; empty for what was observed.
        Author: string
        /// The key of its job; empty for none.
        Job: string
    }

/// The JSON of what happened. The keys stand in docs/dashboard-api.md.
[<RequireQualifiedAccess>]
module TimelineResponses =
    /// An answer has so many events at most: the newest.
    [<Literal>]
    let MostEvents = 2000

    /// The longest stretch that can be asked for, in minutes: a year.
    [<Literal>]
    let LongestMinutes = JobResponses.LongestMinutes

    /// The kinds that a question names, separated by commas; all of them where it names none.
    [<CompiledName "Kinds">]
    let kinds (text: string) : Result<EventKind[], Refusal> =
        let words = text.Split(',', StringSplitOptions.TrimEntries ||| StringSplitOptions.RemoveEmptyEntries)

        let found =
            words
            |> Array.map (fun word -> word, EventKind.All |> Array.tryFind (fun kind -> kind.Name = word))

        match found |> Array.tryFind (snd >> Option.isNone) with
        | Some(word, _) ->
            let all = EventKind.All |> Array.map _.Name |> String.concat ", "

            Error
                {
                    Error = "The query cannot be read."
                    Detail = $"kinds: expected some of {all}, found \"{Intake.cut 40 word}\""
                }
        | None when words.Length = 0 -> Ok EventKind.All
        | None -> Ok(found |> Array.choose snd)

    let private event (event: TimelineEvent) : JsonValue =
        Encode.object
            [|
                "at", Encode.string (Wire.instant (RowKey.instant event.Happening.At))
                "kind", Encode.string event.Happening.Kind.Name
                "text", Encode.string event.Happening.Text
                "server", JudgementJson.textOrNull event.Slug
                "job", JudgementJson.textOrNull event.Job
                "author", JudgementJson.textOrNull event.Author
            |]

    /// GET /api/timeline/: the newest first.
    [<CompiledName "Timeline">]
    let timeline (from: int64) (until: int64) (events: TimelineEvent[]) : byte[] =
        let ordered = events |> Array.sortByDescending _.Happening.At

        Responses.bytes (
            Encode.object
                [|
                    "from", Encode.string (Wire.instant (RowKey.instant from))
                    "to", Encode.string (Wire.instant (RowKey.instant until))
                    "left_out", Encode.int (max 0 (events.Length - MostEvents))
                    "events", Encode.arrayOf event (Array.truncate MostEvents ordered)
                |]
        )

    /// POST /api/annotations/: what was written down.
    [<CompiledName "Noted">]
    let noted (noted: TimelineEvent) : byte[] =
        Responses.bytes (Encode.object [| "ok", Encode.bool true; "event", event noted |])
